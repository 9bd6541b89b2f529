"""The open postings that nobody has released, and the releases. Each release is a row, attributed and audited."""

import json
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, func, insert, select

from meshline_dagster.core.backlog import Backlog
from meshline_dagster.core.documents import ACCOUNTING_KINDS, MASTER_KINDS
from meshline_dagster.core.ledger import PostingState
from meshline_dagster.core.money import to_text
from meshline_dagster.store import audit
from meshline_dagster.store.counters import next_values
from meshline_dagster.store.exceptions import resolve
from meshline_dagster.store.tables import backlog_release, is_open, posting

__all__ = ["backlog_key", "backlog_of", "release", "released_through", "unreleased"]

_MASTERS = [kind.value for kind in MASTER_KINDS]
_UNSENT = [PostingState.PLANNED.value, PostingState.RETRY_DUE.value]


def backlog_key(destination: str) -> str:
    """The trace key of a backlog's exception."""
    return f"backlog:{destination}"


def released_through(connection: Connection, destination: str) -> int:
    """The id up to which postings were released; 0 before the first release."""
    query = select(func.max(backlog_release.c.through_id)).where(backlog_release.c.destination == destination)
    return connection.execute(query).scalar_one_or_none() or 0


def unreleased(through: int) -> ColumnElement[bool]:
    """The condition over ``posting`` that a row waits for release.

    What may have reached the ERP is settled in any case, and an invoice or credit note goes with its order, which was let go.
    """
    waits = (posting.c.id > through) & posting.c.state.in_(_UNSENT)
    return waits & posting.c.document_kind.not_in([kind.value for kind in ACCOUNTING_KINDS])


def backlog_of(connection: Connection, destination: str, *, amounts: bool = True) -> Backlog:
    """What is open and not released.

    Args:
        amounts: False leaves the money out, which is much cheaper.
    """
    through = released_through(connection, destination)
    here, waits = posting.c.destination == destination, unreleased(through)
    total = select(func.count(), func.max(posting.c.id)).where(here, is_open(posting), waits)
    count, last = connection.execute(total).one()
    if not amounts or not count:
        return Backlog(count, {}, last or through)
    newest = func.row_number().over(
        partition_by=posting.c.entity_key, order_by=(posting.c.event_time.desc(), posting.c.id.desc())
    )
    states = (
        select(posting.c.currency, posting.c.amount, newest.label("place"))
        .where(here, is_open(posting), waits, posting.c.document_kind.not_in(_MASTERS))
        .subquery("states")
    )
    sums = (
        select(states.c.currency, func.sum(states.c.amount, type_=posting.c.amount.type))
        .where(states.c.place == 1)
        .group_by(states.c.currency)
    )
    return Backlog(count, {row[0] or "XXX": row[1] for row in connection.execute(sums)}, last)


def release(connection: Connection, destination: str, *, actor: str, reason: str, now: datetime) -> Backlog:
    """Let everything go that is open now. What is planned later counts anew. Returns what was released."""
    found = backlog_of(connection, destination)
    (number,) = next_values(connection, "backlog_release")
    amounts = json.dumps({currency: to_text(amount) for currency, amount in sorted(found.amounts.items())})
    values = {"destination": destination, "through_id": found.through, "postings": found.count, "amounts": amounts}
    connection.execute(insert(backlog_release).values(id=number, actor=actor, reason=reason, created_at=now, **values))
    detail = {"postings": str(found.count), "amounts": amounts, "through": str(found.through), "reason": reason}
    audit.append(connection, [audit.Entry(actor, "backlog.released", f"destination:{destination}", detail)], at=now)
    resolve(connection, [backlog_key(destination)], resolution=f"released: {reason}", now=now, actor=actor)
    return found
