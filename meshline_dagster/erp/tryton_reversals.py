"""One sale of several under one external id: shown, and cancelled, by Tryton's own id of it.

A sale in progress cannot be cancelled in Tryton; emptied by an amendment it stands for that. What has left the warehouse, or is in the books,
no amendment takes back: then a person has to.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from meshline_dagster.core.documents import Answer, Document, Outcome
from meshline_dagster.core.errors import MeshlineError
from meshline_dagster.erp.tryton_documents import SALE_FIELDS, order_from_row
from meshline_dagster.erp.tryton_plan import Step
from meshline_dagster.erp.tryton_rpc import TrytonSession
from meshline_dagster.erp.tryton_steps import Steps
from meshline_dagster.erp.tryton_work import Work

__all__ = ["reverse_orders", "sales_by_id"]

_FOLLOWED_BY = [f"{followers}.{name}" for followers in ("invoices", "shipments") for name in ("number", "state")]
_OPEN_INVOICES = frozenset({"draft", "validated", "cancelled"})
_OPEN_SHIPMENTS = frozenset({"draft", "waiting", "cancelled"})
"""An amendment removes what is in these states."""

_BIGGEST_ID = 2**31 - 1
_Row = Mapping[str, Any]


async def sales_by_id(session: TrytonSession, erp_ids: Iterable[str]) -> dict[str, _Row]:
    """The company's sales with these ids, with what followed from them. Raises as :meth:`TrytonSession.ask` does."""
    ids = sorted({int(one) for one in erp_ids if one.isdecimal() and int(one) <= _BIGGEST_ID})
    domain = [["company", "=", session.company], ["id", "in", ids]]
    rows = await session.rows("sale.sale", domain, [*SALE_FIELDS, *_FOLLOWED_BY]) if ids else []
    return {str(row["id"]): row for row in rows}


async def reverse_orders(session: TrytonSession, documents: Sequence[Document]) -> list[Answer]:
    """Cancel exactly these sales; one answer each, same order. Never raises for what Tryton or the network did."""
    try:
        rows = await sales_by_id(session, [one.erp_id or "" for one in documents])
    except MeshlineError as error:  # only looked at: Tryton surely did nothing
        return [Answer(Outcome.RETRY, message=str(error))] * len(documents)
    works = [_begin(document, rows.get(document.erp_id or "")) for document in documents]
    steps = Steps(session)
    await steps.withdraw([work for work in works if work.step is Step.CANCEL])
    await steps.amend([work for work in works if work.step is Step.EMPTY])
    await _conclude(session, works)
    return [work.answer or Answer(Outcome.UNKNOWN, message="no step answered for it") for work in works]


def _begin(document: Document, row: _Row | None) -> Work:
    """What there is to do about it: nothing is looked for by the external id."""
    if row is None:
        work = Work(document)
        work.refuse(f"there is no sale {document.erp_id} in this company", "erp_id")
        return work
    work = Work(document, row=row, sale=int(row["id"]))
    status = order_from_row(row).status
    problem = _in_the_way(row)
    if status == "cancelled":
        work.answer = Answer(Outcome.EXISTS, erp_id=document.erp_id)
    elif status == "partial":
        work.step = Step.CANCEL
    elif problem is not None:
        work.refuse(problem, "status")
    else:
        work.step = Step.EMPTY
    return work


def _in_the_way(row: _Row) -> str | None:
    """What keeps a sale in progress from being emptied, and what a person has to do about it."""
    booked = _numbers("invoice", row["invoices."], _OPEN_INVOICES)
    moved = _numbers("shipment", row["shipments."], _OPEN_SHIPMENTS)
    if not booked and not moved:
        return None
    steps = [text for found, text in ((moved, "take the goods back"), (booked, "credit the invoices")) if found]
    name = row["number"] or row["id"]
    return (
        f"sale {name} cannot be cancelled any more: {', '.join([*moved, *booked])}. In Tryton, {' and '.join(steps)}, and set the "
        "quantities of the sale to zero by an amendment; it counts as cancelled then"
    )


def _numbers(what: str, rows: Sequence[_Row] | None, unbound: frozenset[str]) -> list[str]:
    return [
        f"{what} {row['number'] or row['id']} is {row['state']}" for row in rows or [] if row["state"] not in unbound
    ]


async def _conclude(session: TrytonSession, works: Sequence[Work]) -> None:
    """Look at every sale again, and answer by what it is now; also where a call was refused, because another may have been faster."""
    waiting = [work for work in works if work.step is not None and (work.is_open or work.is_doubtful)]
    try:
        rows = await sales_by_id(session, [str(work.sale) for work in waiting])
    except MeshlineError as error:
        for work in waiting:
            work.answer = work.answer or Answer(Outcome.UNKNOWN, message=f"the last look got no answer: {error}")
        return
    for work in waiting:
        row = rows.get(str(work.sale))
        if work.is_open:
            work.conclude(row)
        elif row is not None and order_from_row(row).status == "cancelled":
            work.answer = Answer(Outcome.EXISTS, erp_id=str(work.sale))
