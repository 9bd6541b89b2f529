"""Which documents follow from an order, in a sync's YAML: part of ``policy``."""

from datetime import date
from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict, model_validator

from meshline_dagster.core.followups import Amendments, BillingPolicy, InvoiceTrigger
from meshline_dagster.core.invoice_schedule import BilledIn, BillingEvery, BillingSchedule
from meshline_dagster.core.partials import PartialPolicy

__all__ = ["DocumentSettings", "Documents"]


class Documents(StrEnum):
    """What is made in the ERP of an order."""

    ORDER_ONLY = "order_only"
    ORDER_AND_INVOICE = "order_and_invoice"


class DocumentSettings(BaseModel):
    """What is invoiced, when, and what an amendment does to it.

    Attributes:
        documents: ``order_only`` leaves invoices to the ERP; ``order_and_invoice`` makes them, and credit notes.
        amendments: ``amend_in_place`` credits or invoices the difference; ``credit_and_rebill`` credits all and invoices anew.
        invoice_trigger: ``booking`` invoices from the order's date on, ``start`` from the first day on which one of its lines starts;
            ``schedule`` invoices each line by the periods of its term, ``delivery`` what the ERP says is delivered,
            ``milestone`` the share of each milestone that is reached.
        billing_every: with ``schedule``, how long a period is. billed_in: whether it is invoiced on its first day (``advance``) or on the
            day after its last (``arrears``).
        invoices_from: orders booked before this day are invoiced elsewhere; required outside a sandbox.
        partial: what becomes of a document that is in the ERP in part: ``complete`` it, ``reverse`` an order that never stood (it is
            cancelled, and a person asked), or ``escalate``. What holds anything that was not meant is always escalated. A posting keeps the policy under which
            it was first sent.
        books_closed_through: the last day of the closed periods: documents are dated after it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    documents: Documents = Documents.ORDER_ONLY
    amendments: Amendments = Amendments.AMEND_IN_PLACE
    invoice_trigger: InvoiceTrigger = InvoiceTrigger.BOOKING
    billing_every: BillingEvery | None = None
    billed_in: BilledIn | None = None
    invoices_from: date | None = None
    books_closed_through: date | None = None
    partial: PartialPolicy = PartialPolicy.COMPLETE

    @model_validator(mode="after")
    def _nothing_unread(self) -> Self:
        names = ("amendments", "invoice_trigger", "billing_every", "billed_in", "invoices_from", "books_closed_through")
        fields = type(self).model_fields
        unread = [name for name in names if getattr(self, name) != fields[name].default]
        if self.documents is Documents.ORDER_ONLY and unread:
            raise ValueError(f"{', '.join(unread)}: nothing reads this while documents is order_only")
        return self

    @model_validator(mode="after")
    def _periods_are_said(self) -> Self:
        """How long they are, and when they are invoiced, is nothing to guess; and nothing to say where nothing reads it."""
        said = [name for name in ("billing_every", "billed_in") if getattr(self, name) is not None]
        if self.invoice_trigger is InvoiceTrigger.SCHEDULE and len(said) < 2:  # noqa: PLR2004 - both
            raise ValueError(
                "invoice_trigger: schedule needs billing_every (month, quarter, half_year or year) and billed_in (advance or arrears)"
            )
        if self.invoice_trigger is not InvoiceTrigger.SCHEDULE and said:
            raise ValueError(f"{', '.join(said)}: nothing reads this while invoice_trigger is {self.invoice_trigger}")
        return self

    @property
    def schedule(self) -> BillingSchedule | None:
        """The periods by which lines are billed; None where they are not."""
        if self.billing_every is None or self.billed_in is None:
            return None
        return BillingSchedule(self.billing_every, self.billed_in)

    @property
    def billing(self) -> BillingPolicy | None:
        """The same for the delivery engine; None when orders only are posted."""
        if self.documents is Documents.ORDER_ONLY:
            return None
        return BillingPolicy(
            self.amendments,
            self.invoice_trigger,
            self.invoices_from,
            self.books_closed_through,
            schedule=self.schedule,
        )
