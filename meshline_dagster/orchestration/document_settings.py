"""Which documents follow from an order, in a sync's YAML: part of ``policy``."""

from datetime import date
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator

from meshline_dagster.core.followups import Amendments, BillingPolicy, InvoiceTrigger
from meshline_dagster.core.partials import PartialPolicy

__all__ = ["DocumentSettings", "Documents"]

_NEEDS = {
    "delivery": "the ERP's deliveries to be read back",
    "milestone": "milestones of an order, with their dates and amounts, in the CRM's feeds",
    "schedule": "a billing schedule for each line, with its dates and amounts, in the CRM's feeds",
}


class Documents(StrEnum):
    """What is made in the ERP of an order."""

    ORDER_ONLY = "order_only"
    ORDER_AND_INVOICE = "order_and_invoice"


def _known_trigger(value: Any) -> Any:
    if value in _NEEDS:
        raise ValueError(
            f"{value} needs {_NEEDS[value]}, which this version does not have: use booking or start, or order_only and "
            "let the ERP invoice"
        )
    return value


class DocumentSettings(BaseModel):
    """What is invoiced, when, and what an amendment does to it.

    Attributes:
        documents: ``order_only`` leaves invoices to the ERP; ``order_and_invoice`` makes them, and credit notes.
        amendments: ``amend_in_place`` credits or invoices the difference; ``credit_and_rebill`` credits all and invoices anew.
        invoice_trigger: ``booking`` invoices from the order's date on, ``start`` from the first day on which one of its lines starts.
        invoices_from: orders booked before this day are invoiced elsewhere; required outside a sandbox.
        partial: what becomes of a document that is in the ERP in part: ``complete`` it, ``reverse`` an order that never stood (it is
            cancelled, and a person asked), or ``escalate``. What holds anything that was not meant is always escalated. A posting keeps the policy under which
            it was first sent.
        books_closed_through: the last day of the closed periods: documents are dated after it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    documents: Documents = Documents.ORDER_ONLY
    amendments: Amendments = Amendments.AMEND_IN_PLACE
    invoice_trigger: Annotated[InvoiceTrigger, BeforeValidator(_known_trigger)] = InvoiceTrigger.BOOKING
    invoices_from: date | None = None
    books_closed_through: date | None = None
    partial: PartialPolicy = PartialPolicy.COMPLETE

    @model_validator(mode="after")
    def _nothing_unread(self) -> Self:
        names = ("amendments", "invoice_trigger", "invoices_from", "books_closed_through")
        fields = type(self).model_fields
        unread = [name for name in names if getattr(self, name) != fields[name].default]
        if self.documents is Documents.ORDER_ONLY and unread:
            raise ValueError(f"{', '.join(unread)}: nothing reads this while documents is order_only")
        return self

    @property
    def billing(self) -> BillingPolicy | None:
        """The same for the delivery engine; None when orders only are posted."""
        if self.documents is Documents.ORDER_ONLY:
            return None
        return BillingPolicy(self.amendments, self.invoice_trigger, self.invoices_from, self.books_closed_through)
