"""The operators' queue: exceptions by trace key.

Sync from the warehouse is by set: what is there is open, what is gone has been cleared by itself. Nothing is deleted.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select, update

from meshline_dagster.store import audit
from meshline_dagster.store.bulk import among
from meshline_dagster.store.tables import exception_item

__all__ = [
    "CLOSED",
    "ExceptionItem",
    "Finding",
    "entities_in_exception",
    "exception_amounts",
    "exceptions",
    "exceptions_of",
    "open_about",
    "open_codes",
    "open_exceptions",
    "open_keys",
    "raise_exceptions",
    "resolve",
    "sync_origin",
]

CLOSED = "resolved"
_SLA = {"P1": timedelta(minutes=15), "P2": timedelta(hours=2), "P3": timedelta(hours=48)}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a person has to decide.

    Attributes:
        trace_key: what it is about; the same problem on the same thing has the same key.
        origin: ``disposition``, ``delivery``, ``check``, ``feed`` or ``read_back``: who found it.
        code: the reason's short name, e.g. ``product_unmapped``.
        fix: what to do, in the words of the owner's work.
    """

    trace_key: str
    origin: str
    code: str
    title: str
    detail: str
    fix: str
    owner: str = "revops"
    priority: str = "P2"
    entity_key: str | None = None
    event_id: str | None = None
    amount: Decimal | None = None
    currency: str | None = None


@dataclass(frozen=True, slots=True)
class ExceptionItem(Finding):
    """A finding in the queue, with its clock."""

    id: int = 0
    status: str = "open"
    opened_at: datetime | None = None
    due_at: datetime | None = None
    resolved_at: datetime | None = None
    resolution: str | None = None


_COLUMNS = [exception_item.c[name] for name in ExceptionItem.__dataclass_fields__]


def raise_exceptions(connection: Connection, findings: Sequence[Finding], *, now: datetime) -> int:
    """Put findings into the queue. One already open is refreshed; one resolved is reopened. Returns how many are new."""
    latest = {finding.trace_key: finding for finding in findings}
    if not latest:
        return 0
    known = _statuses(connection, latest)
    fresh = [finding for key, finding in latest.items() if key not in known]
    reopened = [finding for key, finding in latest.items() if known.get(key) == CLOSED]
    refreshed = [finding for key, finding in latest.items() if known.get(key, CLOSED) != CLOSED]
    if fresh:
        rows = [{**_values(finding, now), "status": "open", "opened_at": now} for finding in fresh]
        connection.execute(insert(exception_item), rows)
    _update(
        connection, reopened, now, {"status": "reopened", "opened_at": now, "resolved_at": None, "resolution": None}
    )
    _refresh(connection, refreshed, now)
    entries = [_entry("exception.opened", finding) for finding in fresh]
    entries += [_entry("exception.reopened", finding) for finding in reopened]
    audit.append(connection, entries, at=now)
    return len(fresh) + len(reopened)


def resolve(
    connection: Connection, trace_keys: Iterable[str], *, resolution: str, now: datetime, actor: str = "meshline"
) -> int:
    """Close what is open under these keys. Returns how many were."""
    wanted = list(trace_keys)
    known = _statuses(connection, wanted) if wanted else {}
    keys = [key for key, status in known.items() if status != CLOSED]
    if keys:
        connection.execute(
            update(exception_item)
            .where(exception_item.c.trace_key == bindparam("k"))
            .values(status=CLOSED, resolved_at=now, updated_at=now, resolution=resolution),
            [{"k": key} for key in keys],
        )
        entries = [audit.Entry(actor, "exception.resolved", key, {"resolution": resolution}) for key in keys]
        audit.append(connection, entries, at=now)
    return len(keys)


def sync_origin(connection: Connection, origin: str, findings: Sequence[Finding], *, now: datetime) -> tuple[int, int]:
    """Make the open exceptions of one origin equal to ``findings``. Returns (opened, resolved)."""
    opened = raise_exceptions(connection, findings, now=now)
    current = {finding.trace_key for finding in findings}
    query = select(exception_item.c.trace_key).where(
        exception_item.c.origin == origin, exception_item.c.status != CLOSED
    )
    gone = [key for key in connection.execute(query).scalars() if key not in current]
    return opened, resolve(connection, gone, resolution="cleared by later data", now=now)


def exceptions(connection: Connection, *, only_open: bool = True, limit: int | None = None) -> list[ExceptionItem]:
    """The queue, most urgent and oldest first."""
    query = select(*_COLUMNS).order_by(exception_item.c.priority, exception_item.c.due_at, exception_item.c.id)
    if only_open:
        query = query.where(exception_item.c.status != CLOSED)
    return [ExceptionItem(*row) for row in connection.execute(query.limit(limit))]


def open_exceptions(connection: Connection) -> int:
    """How many exceptions wait for somebody."""
    query = select(func.count()).select_from(exception_item).where(exception_item.c.status != CLOSED)
    return connection.execute(query).scalar_one()


def open_codes(connection: Connection) -> dict[str, int]:
    """Reason -> how many exceptions wait for it, the most frequent first."""
    count = func.count()
    query = (
        select(exception_item.c.code, count).where(exception_item.c.status != CLOSED).group_by(exception_item.c.code)
    )
    return {row[0]: row[1] for row in connection.execute(query.order_by(count.desc(), exception_item.c.code))}


def entities_in_exception(connection: Connection) -> int:
    """How many orders have at least one open exception."""
    query = select(func.count(exception_item.c.entity_key.distinct())).where(exception_item.c.status != CLOSED)
    return connection.execute(query).scalar_one()


def exception_amounts(connection: Connection) -> dict[str, Decimal]:
    """Money in open exceptions per currency, ``XXX`` (ISO 4217) where it has none; each entity counts once."""
    once = (
        select(exception_item.c.currency, func.max(exception_item.c.amount).label("amount"))
        .where(exception_item.c.status != CLOSED, exception_item.c.amount.is_not(None))
        .group_by(func.coalesce(exception_item.c.entity_key, exception_item.c.trace_key), exception_item.c.currency)
        .subquery()
    )
    query = select(once.c.currency, func.sum(once.c.amount, type_=exception_item.c.amount.type)).group_by(
        once.c.currency
    )
    return {row[0] or "XXX": row[1] for row in connection.execute(query)}


def _statuses(connection: Connection, keys: Iterable[str]) -> dict[str, str]:
    query = select(exception_item.c.trace_key, exception_item.c.status).where(
        among(connection, exception_item.c.trace_key, keys)
    )
    return {row.trace_key: row.status for row in connection.execute(query)}


def _values(finding: Finding, now: datetime) -> dict[str, Any]:
    values = {name: getattr(finding, name) for name in Finding.__dataclass_fields__}
    return {**values, "due_at": now + _SLA[finding.priority], "updated_at": now}


def _refresh(connection: Connection, findings: Sequence[Finding], now: datetime) -> None:
    """Keep the text of an open item current without moving its clock; untouched items cost nothing."""
    current = {finding.trace_key: finding for finding in findings}
    if not current:
        return
    names = ("trace_key", "detail", "fix", "event_id", "amount")
    query = select(*[exception_item.c[name] for name in names]).where(
        among(connection, exception_item.c.trace_key, current)
    )
    for row in connection.execute(query).all():
        finding = current[row.trace_key]
        if tuple(row[1:]) != (finding.detail, finding.fix, finding.event_id, finding.amount):
            values = {**_values(finding, now)}
            del values["due_at"]
            connection.execute(
                update(exception_item).where(exception_item.c.trace_key == row.trace_key).values(**values)
            )


def _update(connection: Connection, findings: Sequence[Finding], now: datetime, extra: dict[str, Any]) -> None:
    for finding in findings:
        connection.execute(
            update(exception_item)
            .where(exception_item.c.trace_key == finding.trace_key)
            .values(**{**_values(finding, now), **extra})
        )


def _entry(action: str, finding: Finding) -> audit.Entry:
    return audit.Entry("meshline", action, finding.trace_key, {"code": finding.code, "title": finding.title})


def open_keys(connection: Connection, origin: str) -> set[str]:
    """The trace keys of one origin's open exceptions."""
    return set(connection.execute(_OPEN_KEYS, {"of": origin}).scalars())


_OPEN_KEYS = select(exception_item.c.trace_key).where(
    exception_item.c.origin == bindparam("of"), exception_item.c.status != CLOSED
)


def open_about(connection: Connection, origin: str, start: str) -> dict[str, str | None]:
    """Trace key -> entity, of one origin's open exceptions whose keys start with a text."""
    query = select(exception_item.c.trace_key, exception_item.c.entity_key).where(
        exception_item.c.origin == origin,
        exception_item.c.status != CLOSED,
        exception_item.c.trace_key.startswith(start, autoescape=True),
    )
    return {row[0]: row[1] for row in connection.execute(query)}


def exceptions_of(connection: Connection, entities: Sequence[str]) -> list[dict[str, Any]]:
    """The exceptions of some entities, resolved ones included, oldest first."""
    names = ("trace_key", "status", "owner", "title", "detail", "fix", "opened_at", "resolved_at", "resolution")
    query = (
        select(*[exception_item.c[name] for name in names])
        .where(exception_item.c.entity_key.in_(entities))
        .order_by(exception_item.c.id)
    )
    return [row._asdict() for row in connection.execute(query)]
