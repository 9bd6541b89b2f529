"""Invoices and credit notes in Tryton: looked up first, created as drafts, posted, and looked at again before anything is claimed.

Creating and posting are two transactions. What stops in between is a draft, and ``partial``: posting it again completes it, under the
accounting date that is meant now.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from meshline_dagster.core.documents import Answer, Document, DocumentKind, ErpDocument, Outcome
from meshline_dagster.core.errors import MeshlineError
from meshline_dagster.core.settle import difference
from meshline_dagster.erp.tryton_batches import tell_all, tell_books
from meshline_dagster.erp.tryton_books import (
    INVOICE_FIELDS,
    accounting_date,
    dates_of,
    document_from_invoice,
    invoice_values,
)
from meshline_dagster.erp.tryton_documents import standing_rows
from meshline_dagster.erp.tryton_masters import load_masters
from meshline_dagster.erp.tryton_replies import Reply
from meshline_dagster.erp.tryton_rpc import TrytonSession
from meshline_dagster.erp.tryton_sales import sales_by_external_id
from meshline_dagster.erp.tryton_values import Refusal, wanted_sale

__all__ = ["invoices_by_external_id", "post_invoices"]

_INVOICE = "account.invoice"
_Row = Mapping[str, Any]


@dataclass(slots=True, eq=False)
class _Work:
    """A document on its way: what is sent for it, its invoice's id once it has one, its answer once there is nothing more to do.

    Attributes:
        is_misdated: its draft is from a request for another day.
    """

    document: Document
    values: dict[str, Any] | None = None
    invoice: int | None = None
    answer: Answer | None = None
    is_new: bool = False
    is_misdated: bool = False

    def settle(self, reply: Reply) -> None:
        erp_id = None if self.invoice is None else str(self.invoice)
        self.answer = reply.as_answer(erp_id, touched=self.invoice is not None)


async def post_invoices(session: TrytonSession, documents: Sequence[Document]) -> list[Answer]:
    """Bring all documents about; one answer each, same order. Never raises for what Tryton or the network did."""
    works = [_Work(document) for document in documents]
    try:
        await _prepare(session, works)
    except MeshlineError as error:  # only look-ups were sent: Tryton surely did nothing
        return [Answer(Outcome.RETRY, message=str(error))] * len(documents)
    await _create(session, works)
    await _date(session, works)
    await _post(session, works)
    await _conclude(session, works)
    return [work.answer or Answer(Outcome.UNKNOWN, message="no step answered for it") for work in works]


async def invoices_by_external_id(session: TrytonSession, external_ids: Iterable[str]) -> dict[str, list[_Row]]:
    """The company's invoices under each id. Raises as :meth:`TrytonSession.ask` does."""
    ids = sorted(set(external_ids))
    domain = [["company", "=", session.company], ["external_id", "in", ids]]
    found: dict[str, list[_Row]] = {}
    for row in await session.rows(_INVOICE, domain, INVOICE_FIELDS) if ids else []:
        found.setdefault(row["external_id"], []).append(row)
    return found


async def _prepare(session: TrytonSession, works: Sequence[_Work]) -> None:
    """Look up what is there and what is referred to; answer what can be answered at once."""
    there = await invoices_by_external_id(session, [work.document.external_id for work in works])
    for work in works:
        for row in there.get(work.document.external_id, []):
            _meet(work, row)
    missing = [work for work in works if work.answer is None and work.invoice is None]
    if not missing:
        return
    orders = await sales_by_external_id(session, [work.document.payload["order"] for work in missing])
    reversed_names = [work.document.payload.get("invoice") or "" for work in missing]
    invoices = await invoices_by_external_id(session, reversed_names)
    masters = await load_masters(session, [work.document for work in missing])
    for work in missing:
        payload = work.document.payload
        try:
            _check_refers(work.document, orders, invoices)
            wanted = wanted_sale(payload, masters)
            lines = _lines_of(invoices.get(payload.get("invoice") or "", []))
            [sale, *_] = standing_rows(orders[payload["order"]])
            work.values = invoice_values(work.document, wanted, sale, lines) | {"company": session.company}
        except Refusal as refusal:
            work.answer = Answer(Outcome.REJECTED, message=str(refusal), field=refusal.field)
        except (KeyError, TypeError, ValueError, ArithmeticError) as error:
            text = f"the payload is not one of an invoice: {type(error).__name__}: {error}"
            work.answer = Answer(Outcome.REJECTED, message=text, field="payload")


def _meet(work: _Work, row: _Row) -> None:
    """It is there already: as it was meant, in part, or otherwise."""
    found = document_from_invoice(row)
    field = _difference(work.document, found)
    if field is not None:
        what = "draft" if found.status == "partial" else "invoice"
        text = f"the {what} differs in {field}, and what is in the ERP is not changed without a word"
        work.answer = Answer(Outcome.EXISTS_DIFFERENT, erp_id=found.erp_id, message=text, field=field)
    elif found.status == "open":
        work.answer = Answer(Outcome.EXISTS, erp_id=found.erp_id)
    else:
        work.invoice = int(row["id"])
        work.is_misdated = found.document_date != accounting_date(work.document)


def _difference(document: Document, found: ErpDocument) -> str | None:
    if found.kind is not document.kind:
        return "kind"
    status = "cancelled" if found.status == "cancelled" else "open"
    return difference(document.kind, document.payload, replace(found, status=status))


def _check_refers(document: Document, orders: Mapping[str, Any], invoices: Mapping[str, Any]) -> None:
    payload = document.payload
    if payload["order"] not in orders:
        raise Refusal(f"no sale has the external id {payload['order']}", "order")
    if document.kind is DocumentKind.CREDIT_NOTE and payload["invoice"] not in invoices:
        raise Refusal(f"no invoice has the external id {payload['invoice']}", "invoice")


def _lines_of(rows: Sequence[_Row]) -> dict[int, int]:
    return {int(line["sequence"]): int(line["id"]) for row in rows[:1] for line in row["lines."] or []}


async def _create(session: TrytonSession, works: Sequence[_Work]) -> None:
    async def send(part: Sequence[_Work]) -> Reply:
        return await session.tell(_INVOICE, "create", [work.values for work in part])

    for work, reply in await tell_all([work for work in works if work.values is not None and not work.answer], send):
        if reply.outcome is None:
            work.invoice, work.is_new = int(reply.value), True
        elif reply.says_taken("external id"):
            work.answer = Answer(Outcome.UNKNOWN, message="somebody else is creating this document now")
        else:
            work.settle(reply)


async def _date(session: TrytonSession, works: Sequence[_Work]) -> None:
    """Give a draft the day of the revision that is posted now: the one that left it may have been refused for its day."""

    async def send(part: Sequence[_Work]) -> Reply:
        pairs = [one for work in part for one in ([work.invoice], dates_of(work.document))]
        return await session.tell(_INVOICE, "write", *pairs)

    for work, reply in await tell_all(_drafts(works, lambda work: work.is_misdated), send):
        if reply.outcome is not None:
            work.settle(reply)


async def _post(session: TrytonSession, works: Sequence[_Work]) -> None:
    async def send(part: Sequence[_Work]) -> Reply:
        return await tell_books(session, _INVOICE, "post", [work.invoice for work in part])

    for work, reply in await tell_all(_drafts(works, lambda work: work.answer is None), send):
        if reply.outcome is not None:
            work.settle(reply)
    refused = _drafts(works, lambda work: work.is_new and _is_rejected(work))
    if refused:  # a draft that cannot be deleted stays one, and is met again
        await session.tell(_INVOICE, "delete", [work.invoice for work in refused])


async def _conclude(session: TrytonSession, works: Sequence[_Work]) -> None:
    """Look at every document again, and answer by what is there."""
    waiting = _drafts(works, lambda work: work.answer is None)
    try:
        rows = await invoices_by_external_id(session, [work.document.external_id for work in waiting])
    except MeshlineError as error:
        for work in waiting:
            work.answer = Answer(Outcome.UNKNOWN, message=f"the last look got no answer: {error}")
        return
    for work in waiting:
        found = rows.get(work.document.external_id, [])
        if len(found) != 1:
            work.answer = Answer(Outcome.UNKNOWN, message=f"Tryton took it and shows {len(found)} of it")
            continue
        shown = document_from_invoice(found[0])
        field = _difference(work.document, shown)
        if shown.status == "partial":
            work.answer = Answer(Outcome.UNKNOWN, erp_id=shown.erp_id, message=f"it is still {found[0]['state']}")
        elif field is not None:
            text = f"the {field} came out otherwise than meant"
            work.answer = Answer(Outcome.EXISTS_DIFFERENT, erp_id=shown.erp_id, message=text, field=field)
        else:
            work.answer = Answer(Outcome.CREATED, erp_id=shown.erp_id, raw={"number": shown.number, **shown.raw})


def _drafts(works: Sequence[_Work], wanted: Callable[[_Work], bool]) -> list[_Work]:
    return [work for work in works if work.invoice is not None and wanted(work)]


def _is_rejected(work: _Work) -> bool:
    return work.answer is not None and work.answer.outcome is Outcome.REJECTED
