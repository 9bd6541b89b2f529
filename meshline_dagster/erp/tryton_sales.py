"""Sales orders in Tryton: looked up first, brought about in steps, and looked at again before anything is claimed.

A sale is created, quoted, confirmed and processed in transactions of their own. Where that stops half-way the sale is ``partial``,
and posting it again completes it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from meshline_dagster.core.documents import Answer, Document, Outcome
from meshline_dagster.core.errors import MeshlineError
from meshline_dagster.erp.tryton_documents import SALE_FIELDS, standing_rows
from meshline_dagster.erp.tryton_masters import load_masters
from meshline_dagster.erp.tryton_plan import Step, plan_order
from meshline_dagster.erp.tryton_rpc import TrytonSession
from meshline_dagster.erp.tryton_steps import Steps
from meshline_dagster.erp.tryton_values import Refusal, wanted_sale
from meshline_dagster.erp.tryton_work import Work

__all__ = ["post_orders", "sales_by_external_id"]

_TO_CONFIRM = frozenset({Step.CREATE, Step.REPLACE, Step.ADVANCE})
_WITHOUT_CONTENT = frozenset({Step.CANCEL, Step.EMPTY})


async def post_orders(
    session: TrytonSession, documents: Sequence[Document], *, invoice_method: str | None = None
) -> list[Answer]:
    """Bring all documents about; one answer each, same order. Never raises for what Tryton or the network did.

    Args:
        invoice_method: of the sales that are created; None leaves it to Tryton's configuration.
    """
    try:
        works = await _prepare(session, documents)
    except MeshlineError as error:  # only look-ups were sent: Tryton surely did nothing
        return [Answer(Outcome.RETRY, message=str(error))] * len(documents)
    steps = Steps(session, invoice_method)
    taken = await steps.create(_of(works, Step.CREATE))
    await steps.replace(_of(works, Step.REPLACE))
    await steps.amend(_of(works, Step.AMEND, Step.EMPTY))
    await steps.cancel(_of(works, Step.CANCEL))
    to_confirm = [work for work in works if work.step in _TO_CONFIRM and work not in taken]
    await steps.press("quote", [work for work in to_confirm if work.step is not Step.ADVANCE or work.state == "draft"])
    await steps.press(
        "confirm", [work for work in to_confirm if work.step is not Step.ADVANCE or work.state != "confirmed"]
    )
    await _conclude(session, steps, works, taken)
    await steps.undo(
        [work for work in works if work.step is Step.CREATE and work.sale is not None and _is_rejected(work)]
    )
    return [work.answer or Answer(Outcome.UNKNOWN, message="no step answered for it") for work in works]


async def sales_by_external_id(session: TrytonSession, external_ids: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
    """The company's sales under each id. Raises as :meth:`TrytonSession.ask` does."""
    ids = sorted(set(external_ids))
    domain = [["company", "=", session.company], ["external_id", "in", ids]]
    found: dict[str, list[dict[str, Any]]] = {}
    for row in await session.rows("sale.sale", domain, SALE_FIELDS) if ids else []:
        found.setdefault(row["external_id"], []).append(row)
    return found


async def _prepare(session: TrytonSession, documents: Sequence[Document]) -> list[Work]:
    """Look up what is there and what is referred to; answer what can be answered at once."""
    there = await sales_by_external_id(session, [document.external_id for document in documents])
    works: list[Work] = []
    for document in documents:
        plan = plan_order(document, there.get(document.external_id, []))
        sale = None if plan.row is None else int(plan.row["id"])
        works.append(Work(document, plan.step, plan.row, sale, answer=plan.answer))
    with_content = [work for work in works if work.is_open and work.step not in _WITHOUT_CONTENT]
    if with_content:
        masters = await load_masters(session, [work.document for work in with_content])
        for work in with_content:
            try:
                work.wanted = wanted_sale(work.document.payload, masters)
            except Refusal as refusal:
                work.refuse(str(refusal), refusal.field)
            except (KeyError, TypeError, ValueError, ArithmeticError) as error:
                work.refuse(f"the payload is not one of an order: {type(error).__name__}: {error}", "payload")
    return works


async def _conclude(session: TrytonSession, steps: Steps, works: Sequence[Work], taken: Sequence[Work]) -> None:
    """Look at every sale again; process what is confirmed and not processed."""
    rows = await _look(session, works)
    unprocessed = [work for work in works if work.is_open and _state(rows, work) == "confirmed"]
    await steps.press("process", unprocessed)
    if unprocessed:
        rows |= await _look(session, unprocessed)
    for work in works:
        row = rows.get(work.document.external_id)
        if work.is_open and work in taken and row is not None:
            plan = plan_order(work.document, [row])
            work.answer = plan.answer or Answer(
                Outcome.UNKNOWN, str(row["id"]), "somebody else is creating this order now"
            )
        elif work.is_open:
            work.conclude(row)
        elif work.is_doubtful and row is not None:
            work.reconsider(row)


async def _look(session: TrytonSession, works: Sequence[Work]) -> dict[str, Mapping[str, Any]]:
    ids = [work.document.external_id for work in works if work.is_open or work.is_doubtful]
    try:
        found = await sales_by_external_id(session, ids)
    except MeshlineError as error:
        for work in works:
            if work.is_open:
                work.answer = Answer(Outcome.UNKNOWN, message=f"the last look got no answer: {error}")
        return {}
    rows = {work.document.external_id: _row_of(work, found.get(work.document.external_id, [])) for work in works}
    return {external_id: row for external_id, row in rows.items() if row is not None}


def _row_of(work: Work, rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The work's own sale, else the one that stands; None where several do."""
    left = standing_rows(rows)
    own = [row for row in rows if row["id"] == work.sale]
    return next(iter([*own, *left]), None) if len(left) <= 1 else None


def _of(works: Sequence[Work], *steps: Step) -> list[Work]:
    return [work for work in works if work.step in steps and work.is_open]


def _state(rows: Mapping[str, Mapping[str, Any]], work: Work) -> str | None:
    row = rows.get(work.document.external_id)
    return None if row is None else str(row["state"])


def _is_rejected(work: Work) -> bool:
    return work.answer is not None and work.answer.outcome is Outcome.REJECTED
