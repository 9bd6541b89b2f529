"""One sales order on its way through the steps of a post."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from meshline_dagster.core.documents import Answer, Document, Outcome
from meshline_dagster.core.settle import difference
from meshline_dagster.erp.tryton_documents import order_from_row
from meshline_dagster.erp.tryton_plan import Step
from meshline_dagster.erp.tryton_replies import Reply
from meshline_dagster.erp.tryton_values import WantedSale

__all__ = ["Work"]


@dataclass(slots=True, eq=False)
class Work:
    """A document, what is to be done about it, and how far it came.

    Attributes:
        row: the sale as it was found; None for one that is made now.
        sale: the sale's id, once it has one.
        wanted: the target state in Tryton's ids; None for cancellations.
        answer: set as soon as nothing more is to be done.
        touched: a call did something for it, so that "not now" may not be said any more.
    """

    document: Document
    step: Step | None = None
    row: Mapping[str, Any] | None = None
    sale: int | None = None
    wanted: WantedSale | None = None
    answer: Answer | None = None
    touched: bool = False

    @property
    def is_open(self) -> bool:
        """Something is still to be done."""
        return self.answer is None

    @property
    def is_doubtful(self) -> bool:
        """Refused after it existed: a request of an earlier post may have done it in between."""
        return self.sale is not None and self.answer is not None and self.answer.outcome is Outcome.REJECTED

    @property
    def state(self) -> str:
        """The sale's state as it was found; a new one is a draft."""
        return "draft" if self.row is None else str(self.row["state"])

    @property
    def header(self) -> dict[str, Any]:
        """The header's values, with the event that they belong to."""
        assert self.wanted is not None
        return {**self.wanted.header, "event_id": self.document.event_id}

    def settle(self, reply: Reply) -> None:
        """The call for it was refused, or got no answer."""
        erp_id = None if self.sale is None else str(self.sale)
        self.answer = reply.as_answer(erp_id, touched=self.touched)

    def refuse(self, message: str, field: str) -> None:
        """It cannot be said in Tryton's terms; nothing was sent."""
        self.answer = Answer(Outcome.REJECTED, message=message, field=field)

    def reconsider(self, row: Mapping[str, Any]) -> None:
        """Refused, but what was meant is there."""
        there = order_from_row(row)
        is_ours = there.event_id == self.document.event_id
        if (
            is_ours
            and there.status != "partial"
            and difference(self.document.kind, self.document.payload, there) is None
        ):
            self.answer = Answer(Outcome.EXISTS, erp_id=there.erp_id)

    def conclude(self, row: Mapping[str, Any] | None) -> None:
        """Answer by the sale as it is now."""
        if row is None:
            self.answer = Answer(Outcome.UNKNOWN, message="Tryton took everything and shows nothing")
            return
        there = order_from_row(row)
        if there.status == "partial":
            text = f"the sale is still {row['state']}"
            self.answer = Answer(Outcome.UNKNOWN, erp_id=there.erp_id, message=text)
            return
        field = difference(self.document.kind, self.document.payload, there)
        if field is not None:
            text = f"the sale's {field} came out otherwise than meant"
            self.answer = Answer(Outcome.EXISTS_DIFFERENT, erp_id=there.erp_id, message=text, field=field)
            return
        outcome = Outcome.CREATED if self.document.operation == "create" else Outcome.UPDATED
        self.answer = Answer(outcome, erp_id=there.erp_id, raw={"number": there.number, **there.raw})
