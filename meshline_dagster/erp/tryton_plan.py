"""What to do about one sales order, given the sale that is there: pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import replace as changed
from enum import StrEnum
from typing import Any

from meshline_dagster.core.documents import Answer, Document, ErpDocument, Outcome
from meshline_dagster.core.settle import difference
from meshline_dagster.erp.tryton_documents import order_from_row, standing_rows

__all__ = ["Plan", "Step", "plan_order"]


class Step(StrEnum):
    """Where the work on a sale begins; what follows is the same for all."""

    CREATE = "create"
    REPLACE = "replace"  # back to draft where needed, then new content
    ADVANCE = "advance"  # the content is right: quote, confirm, process what is not yet
    AMEND = "amend"  # in progress: by an amendment
    CANCEL = "cancel"
    EMPTY = "empty"  # cancelled by an amendment, because it is in progress


@dataclass(frozen=True, slots=True)
class Plan:
    """Either a step, on the sale ``row`` when there is one, or the answer at once."""

    step: Step | None = None
    row: Mapping[str, Any] | None = None
    answer: Answer | None = None


def plan_order(document: Document, rows: Sequence[Mapping[str, Any]]) -> Plan:
    """Decide about one document.

    Args:
        rows: the sales that carry its external id; what was cancelled beside a live one is out of the way.
    """
    rows = standing_rows(rows)
    if not rows:
        return Plan(Step.CREATE) if document.operation == "create" else _refused("there is no such order")
    if len(rows) > 1:
        return _refused(f"{len(rows)} sales carry this external id")
    row, there = rows[0], order_from_row(rows[0])
    if document.operation == "cancel":
        return _cancel(row, there)
    field = difference(document.kind, document.payload, changed(there, status="open"))
    if there.status == "cancelled":
        return _reopen(document, row, there)
    if there.status == "open":
        return _in_progress(document, row, there, field)
    is_ours = there.event_id == document.event_id
    return Plan(Step.ADVANCE if is_ours and field is None else Step.REPLACE, row)


def _reopen(document: Document, row: Mapping[str, Any], there: ErpDocument) -> Plan:
    if document.operation != "amend" or there.event_id == document.event_id:
        return _different(there, "status")
    return Plan(Step.REPLACE if row["state"] == "cancelled" else Step.AMEND, row)


def _in_progress(document: Document, row: Mapping[str, Any], there: ErpDocument, field: str | None) -> Plan:
    is_ours = there.event_id == document.event_id
    if field is None and (is_ours or document.operation == "create"):
        return Plan(answer=Answer(Outcome.EXISTS, erp_id=there.erp_id))
    if document.operation == "create" or is_ours:
        return _different(there, field or "content")
    if field == "currency":
        return _refused("Tryton cannot change the currency of a sale in progress", "currency")
    return Plan(Step.AMEND, row)


def _cancel(row: Mapping[str, Any], there: ErpDocument) -> Plan:
    if there.status == "cancelled":
        return Plan(answer=Answer(Outcome.EXISTS, erp_id=there.erp_id))
    return Plan(Step.EMPTY if there.status == "open" else Step.CANCEL, row)


def _refused(message: str, field: str = "external_id") -> Plan:
    return Plan(answer=Answer(Outcome.REJECTED, message=message, field=field))


def _different(there: ErpDocument, field: str) -> Plan:
    text = f"the sale differs in {field}, and not by a document of ours"
    return Plan(answer=Answer(Outcome.EXISTS_DIFFERENT, erp_id=there.erp_id, message=text, field=field))
