"""Reading the posting ledger: what is known of an event, and what is due.

The cost of finding what is due follows the open postings, not the settled ones: partial indexes cover the open and the dead.
"""

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

import orjson
from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Integer,
    Select,
    and_,
    bindparam,
    case,
    func,
    or_,
    select,
    text,
    true,
)

from meshline_dagster.core.documents import ACCOUNTING_KINDS, BOOKED_KINDS, MASTER_KINDS, DocumentKind
from meshline_dagster.core.ledger import CLOSED_IN_ERP, PostingState
from meshline_dagster.core.postings import KnownPosting
from meshline_dagster.store.bulk import among, among_given, each_of, listed
from meshline_dagster.store.exceptions import CLOSED
from meshline_dagster.store.tables import exception_item, is_dead, is_open, is_posted, posting

__all__ = [
    "Posting",
    "due_postings",
    "is_any_due",
    "is_in_erp",
    "known_postings",
    "last_posted",
    "next_due",
    "open_shards",
    "outdated_states",
    "payloads_of",
    "posting_by_key",
    "postings_by_key",
    "postings_of",
    "refused_states",
]


class Posting(NamedTuple):
    """A ledger row as the engine works with it; thousands are read in a pass, so its making is short.

    Attributes:
        partial_policy: the policy for documents that are there in part, as it was when this was first sent; None: it was not sent, or by
            a version that did not keep it.
    """

    id: int
    destination: str
    entity_key: str
    document_kind: DocumentKind
    event_id: str
    revision: int
    key: str
    external_id: str
    operation: str
    event_time: datetime
    selling_entity: str | None
    customer_key: str | None
    shard: int
    payload: str
    fingerprint: str
    amount: Decimal
    currency: str | None
    document_date: date | None
    state: PostingState
    attempts: int
    due_at: datetime | None
    lease_token: int | None
    erp_id: str | None
    outcome: str | None
    message: str | None
    cause: str
    sent_at: datetime | None
    partial_policy: str | None


_MASTERS = [kind.value for kind in MASTER_KINDS]
_BOOKED = [kind.value for kind in BOOKED_KINDS]
_FOLLOWING = [kind.value for kind in ACCOUNTING_KINDS]
_COLUMNS = [posting.c[name] for name in Posting._fields]


_MOST_AT_ONCE = 5_000
_KNOWN = (
    *("entity_key", "id", "event_id", "revision", "event_time", "fingerprint", "state", "document_kind"),
    *("cause", "operation"),
)

_KIND, _STATE = (Posting._fields.index(name) for name in ("document_kind", "state"))
_KINDS, _STATES = ({one.value: one for one in names} for names in (DocumentKind, PostingState))


def _from_row(row: Any) -> Posting:
    values = list(row)
    values[_KIND] = _KINDS[values[_KIND]]
    values[_STATE] = _STATES[values[_STATE]]
    return Posting._make(values)


def known_postings(
    connection: Connection, destination: str, entity_keys: Sequence[str]
) -> dict[str, list[KnownPosting]]:
    """The latest revision of every event of these entities that an outbox derives; what follows from orders is no event of it."""
    found: dict[tuple[str, str], KnownPosting] = {}
    columns = [posting.c[name] for name in _KNOWN]
    query = (
        select(*columns)
        .where(
            posting.c.destination == destination,
            among(connection, posting.c.entity_key, entity_keys),
            posting.c.document_kind.not_in(_FOLLOWING),
        )
        .order_by(posting.c.revision)
    )
    for entity, posting_id, event_id, revision, time, digest, state, kind, *rest in connection.execute(query):
        cause, operation = rest
        known = KnownPosting(
            *(posting_id, event_id, revision, time, digest, PostingState(state), cause, operation), DocumentKind(kind)
        )
        found[entity, event_id] = known
    grouped: dict[str, list[KnownPosting]] = {}
    for (entity, _), known in found.items():
        grouped.setdefault(entity, []).append(known)
    return grouped


def postings_of(connection: Connection, ids: Sequence[int]) -> list[Posting]:
    """Ledger rows by id."""
    found = connection.execute(_by_id(connection.dialect.name), {"among": listed(ids)})
    return [_from_row(row) for row in found]


@lru_cache(maxsize=2)
def _by_id(dialect: str) -> Select[Any]:
    return select(*_COLUMNS).where(among_given(dialect, posting.c.id))


def posting_by_key(connection: Connection, key: str) -> Posting | None:
    """The ledger row with this idempotency key; None when there is none."""
    row = connection.execute(select(*_COLUMNS).where(posting.c.key == key)).first()
    return None if row is None else _from_row(row)


def payloads_of(connection: Connection, destination: str, entity_key: str, event_id: str) -> list[str]:
    """The payloads of an event of this entity, one for each revision that was sent."""
    query = select(posting.c.payload).where(
        posting.c.destination == destination,
        posting.c.event_id == event_id,
        posting.c.entity_key == entity_key,
        posting.c.attempts > 0,
    )
    return list(connection.execute(query).scalars())


def postings_by_key(connection: Connection, keys: Sequence[str]) -> list[Posting]:
    """Ledger rows by idempotency key, in sequence."""
    query = select(*_COLUMNS).where(among(connection, posting.c.key, keys)).order_by(posting.c.event_time, posting.c.id)
    return [_from_row(row) for row in connection.execute(query)]


def due_postings(
    connection: Connection,
    destination: str,
    shards: Sequence[int],
    *,
    now: datetime,
    limit: int,
    held: ColumnElement[bool] | None = None,
) -> list[int]:
    """The ids of the oldest open row of each entity in these shards, if it is due now and nothing holds it back; masters first.

    Held back are: rows of which a master is not posted yet, and entities with a dead posting.

    Args:
        held: a condition over ``posting``: rows that an operator holds back, too.
    """
    query = _due(connection.dialect.name)
    if held is not None:
        query = query.where(~held)
    given = {"to": destination, "among": listed(shards), "now": now, "most": limit}
    return list(connection.execute(query, given).scalars().all())


@lru_cache(maxsize=2)
def _due(dialect: str) -> Select[tuple[int]]:
    """Of :func:`due_postings`: built once, because building it takes longer than asking a small ledger."""
    to: BindParameter[str] = bindparam("to")
    now = bindparam("now", type_=posting.c.due_at.type)
    place = func.row_number().over(partition_by=posting.c.entity_key, order_by=(posting.c.event_time, posting.c.id))
    opened = (
        select(
            *[posting.c[name] for name in ("id", "entity_key", "shard", "due_at", "depends_on")], place.label("place")
        )
        .where(posting.c.destination == to, is_open(posting))
        .subquery("opened")
    )
    master, dead = posting.alias("master"), posting.alias("dead")
    masters_posted = text(
        f"NOT EXISTS (SELECT 1 FROM {each_of(dialect, 'opened.depends_on')} WHERE NOT EXISTS (SELECT 1 FROM posting AS master "  # noqa: S608 - fixed names
        f"WHERE master.destination = :to AND master.entity_key = each_one.value AND {is_posted(master)}))"
    )
    entity_dead = (
        select(dead.c.id)
        .where(dead.c.destination == to, dead.c.entity_key == opened.c.entity_key, is_dead(dead))
        .exists()
    )
    masters_first = case((posting.c.document_kind.in_(_MASTERS), 0), else_=1)
    return (
        select(posting.c.id)
        .join(opened, opened.c.id == posting.c.id)
        .where(
            opened.c.place == 1,
            among_given(dialect, opened.c.shard),
            or_(opened.c.due_at.is_(None), opened.c.due_at <= now),
            masters_posted,
            ~entity_dead,
        )
        .order_by(masters_first, posting.c.event_time, posting.c.id)
        .limit(bindparam("most", type_=Integer()))
    )


def outdated_states(
    connection: Connection, destination: str, shards: Sequence[int], *, held: ColumnElement[bool] | None = None
) -> list[Posting]:
    """Order states that were never sent and behind which a newer one waits that nobody holds back."""
    older = posting.alias("older")
    unsent = [PostingState.PLANNED.value, PostingState.RETRY_DUE.value]
    newer = (
        select(posting.c.id)
        .where(
            posting.c.destination == destination,
            posting.c.entity_key == older.c.entity_key,
            posting.c.document_kind == DocumentKind.SALES_ORDER.value,
            is_open(posting),
            posting.c.state.in_(unsent),
            or_(
                posting.c.event_time > older.c.event_time,
                and_(posting.c.event_time == older.c.event_time, posting.c.id > older.c.id),
            ),
            true() if held is None else ~held,
        )
        .exists()
    )
    query = select(*[older.c[name] for name in Posting._fields]).where(
        older.c.destination == destination,
        older.c.document_kind == DocumentKind.SALES_ORDER.value,
        is_open(older),
        older.c.state.in_(unsent),
        among(connection, older.c.shard, shards),
        newer,
    )
    return [_from_row(row) for row in connection.execute(query.order_by(older.c.id).limit(_MOST_AT_ONCE))]


def is_any_due(connection: Connection, destination: str, *, now: datetime) -> bool:
    """Whether the time of an open posting has come, whatever else it may wait for: a cheap question before :func:`due_postings`."""
    query = select(posting.c.id).where(
        posting.c.destination == destination,
        is_open(posting),
        or_(posting.c.due_at.is_(None), posting.c.due_at <= now),
    )
    return connection.execute(query.limit(1)).first() is not None


def last_posted(connection: Connection, destination: str, entity_keys: Sequence[str]) -> dict[str, Posting]:
    """The newest state of each entity that the ERP holds, posted by us or closed by hand: what it should show. Invoices, credit notes
    and payments are no states.
    """
    given = {"to": destination, "among": listed(entity_keys)}
    found = connection.execute(_in_erp(connection.dialect.name), given)
    return {row.entity_key: _from_row(row) for row in found}


@lru_cache(maxsize=2)
def _in_erp(dialect: str) -> Select[Any]:
    in_erp = or_(is_posted(posting), posting.c.cause == CLOSED_IN_ERP)  # a cause that a row never loses again
    is_state = posting.c.document_kind.not_in(_BOOKED)
    here = posting.c.destination == bindparam("to"), among_given(dialect, posting.c.entity_key), in_erp, is_state
    return select(*_COLUMNS).where(*here).order_by(posting.c.event_time, posting.c.id)


def is_in_erp(connection: Connection, row: Posting, external_id: str) -> bool:
    """Whether the ERP has shown, or given us, an id of its own for this document of the posting's entity, or of a master that it waits for."""
    masters = connection.execute(select(posting.c.depends_on).where(posting.c.id == row.id)).scalar()
    keys = [row.entity_key, *orjson.loads(masters or "[]")]
    given = {"to": row.destination, "among": listed(keys), "name": external_id}
    return connection.execute(_with_erp_id(connection.dialect.name), given).first() is not None


@lru_cache(maxsize=2)
def _with_erp_id(dialect: str) -> Select[Any]:
    here = posting.c.destination == bindparam("to"), among_given(dialect, posting.c.entity_key)
    named = posting.c.external_id == bindparam("name"), posting.c.erp_id.is_not(None)
    return select(posting.c.id).where(*here, *named).limit(1)


def refused_states(connection: Connection, destination: str) -> dict[str, datetime]:
    """The time of the newest refused or dead state of each entity that delivery has an open exception about."""
    return {row[0]: row[1] for row in connection.execute(_REFUSED, {"to": destination})}


_REFUSED = (
    select(posting.c.entity_key, func.max(posting.c.event_time, type_=posting.c.event_time.type))
    .join(exception_item, exception_item.c.entity_key == posting.c.entity_key)
    .where(
        exception_item.c.origin == "delivery",
        exception_item.c.status != CLOSED,
        posting.c.destination == bindparam("to"),
        posting.c.state.in_([PostingState.REJECTED.value, PostingState.DEAD.value]),
    )
    .group_by(posting.c.entity_key)
)


def open_shards(connection: Connection, destination: str) -> set[int]:
    """The shards in which a posting has work to do."""
    return set(connection.execute(_OPEN_SHARDS, {"to": destination}).scalars())


_OPEN_SHARDS = select(posting.c.shard).where(posting.c.destination == bindparam("to"), is_open(posting)).distinct()


def next_due(
    connection: Connection,
    destination: str,
    shards: Sequence[int],
    *,
    now: datetime,
    held: ColumnElement[bool] | None = None,
) -> datetime | None:
    """When the next posting that waits for nothing but its time is due; None when none waits."""
    query = _next(connection.dialect.name)
    if held is not None:
        query = query.where(~held)
    given = {"to": destination, "among": listed(shards), "now": now}
    return connection.execute(query, given).scalar_one_or_none()


@lru_cache(maxsize=2)
def _next(dialect: str) -> Select[tuple[datetime]]:
    return select(func.min(posting.c.due_at, type_=posting.c.due_at.type)).where(
        posting.c.destination == bindparam("to"),
        among_given(dialect, posting.c.shard),
        is_open(posting),
        posting.c.due_at > bindparam("now", type_=posting.c.due_at.type),
    )
