"""Before an amendment or a cancellation is sent: whether it would overwrite what somebody changed in the ERP.

One look-up, for all of a request's documents that need it, right before the request: a read-back is as old as the last run, and would let
through what was changed since. Creations ask for nothing, and neither does what follows a state that an operator closed by hand: what
stands in the ERP then is his.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import orjson

from meshline_dagster.core.documents import REVERSE, Answer, Document, DocumentKind, ErpDocument, Outcome, standing
from meshline_dagster.core.foreign import accepted_state, changes_text, erp_state, foreign_changes
from meshline_dagster.core.ledger import PostingState
from meshline_dagster.delivery.session import Session
from meshline_dagster.store.postings import Posting, payloads_of

__all__ = ["NOT_COMPARED", "Compared", "answers_by_comparison", "to_compare"]

_ORDER = DocumentKind.SALES_ORDER


class Compared(NamedTuple):
    """What a look-up before a request found.

    Attributes:
        started: when it was asked; None when it was not.
        answers: by posting id, for what must not be sent.
    """

    started: datetime | None
    answers: Mapping[int, Answer]


NOT_COMPARED = Compared(None, {})


def to_compare(
    rows: Sequence[Posting], documents: Sequence[Document], before: Mapping[str, Posting]
) -> dict[int, Posting]:
    """The rows that change what we have posted, by id. What is there in part has just been looked at: see ``core.partials``."""
    return {
        row.id: row
        for row, document in zip(rows, documents, strict=True)
        if document.kind is _ORDER
        and document.operation not in {"create", REVERSE}
        and row.state is not PostingState.PARTIAL
        and before[row.entity_key].state is PostingState.POSTED
    }


def answers_by_comparison(
    session: Session,
    rows: Mapping[int, Posting],
    before: Mapping[str, Posting],
    found: Mapping[str, Sequence[ErpDocument]],
) -> dict[int, Answer]:
    """An answer for each row that would overwrite somebody else's work. Absent and double documents are left to the writer."""
    answers: dict[int, Answer] = {}
    for row in rows.values():
        there = standing(found.get(row.external_id, ()))
        if len(there) == 1 and (answer := _answer(session, row, before[row.entity_key], there[0])) is not None:
            answers[row.id] = answer
    return answers


def _answer(session: Session, row: Posting, posted: Posting, there: ErpDocument) -> Answer | None:
    changes = foreign_changes(orjson.loads(posted.payload), _ours(session, orjson.loads(row.payload)), there)
    if not changes or accepted_state(row.cause) == erp_state(there) or _is_ours(session, row, there):
        return None
    raw = {"state": erp_state(there), "changed": {one.field: [one.posted, one.there] for one in changes}}
    return Answer(Outcome.CHANGED, there.erp_id, changes_text(changes), changes[0].field, raw=raw)


def _is_ours(session: Session, row: Posting, there: ErpDocument) -> bool:
    """It is a state that we have sent, whole, under that state's own event: an older request arrived late. Seldom asked."""
    if there.event_id is None:
        return False
    if there.event_id == row.event_id and there.status == "partial":
        return True
    with session.store.read() as connection:
        sent = payloads_of(connection, session.options.destination, row.entity_key, there.event_id)
    states = [orjson.loads(payload) for payload in sent]
    return any(not foreign_changes(state, _ours(session, state), there) for state in states)


def _ours(session: Session, payload: Mapping[str, Any]) -> Mapping[str, Any]:
    """What an amendment says of it: the rest is the ERP's, whatever it makes of it."""
    return session.options.ownership.sent(_ORDER, "amend", payload)
