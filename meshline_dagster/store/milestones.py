"""Milestones of orders: planned, recorded as reached, dropped. Data, not code: attributed, in the audit log, revoked and never edited."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from sqlalchemy import Connection, insert, select, update

from meshline_dagster.core.documents import DocumentKind
from meshline_dagster.core.errors import RefusedError
from meshline_dagster.core.invoice_milestones import Milestone
from meshline_dagster.core.money import to_text
from meshline_dagster.store import audit
from meshline_dagster.store.billing import put_off
from meshline_dagster.store.bulk import among
from meshline_dagster.store.counters import next_values
from meshline_dagster.store.tables import milestone, posting

__all__ = [
    "Author",
    "PlannedMilestone",
    "active_milestones",
    "drop_milestone",
    "milestones_of",
    "orders_named",
    "plan_milestone",
    "reach_milestone",
]

_PLACES = 4
_MOST_PERCENT, _MOST = Decimal(100), Decimal(9_200_000_000_000)  # an order's amount in the ledger


@dataclass(frozen=True, slots=True)
class Author:
    """Who decides, why, and when (UTC)."""

    actor: str
    reason: str
    now: datetime


@dataclass(frozen=True, slots=True)
class PlannedMilestone(Milestone):
    """One milestone in force, and who said so.

    Attributes:
        place: the number of the record that gives it its place among those that are reached, with the day that it told and when (UTC); recorded
            again it keeps its place once that day has come. None: it is not reached.
    """

    seq: int = 0
    entity_key: str = ""
    actor: str = ""
    reason: str = ""
    created_at: datetime | None = None
    place: int | None = None
    placed_on: date | None = None
    placed_at: datetime | None = None

    def billable_on(self, day: Callable[[datetime], date]) -> date:
        """The first day on which billing could know of it and had to; what is not reached comes last.

        Args:
            day: that of an instant, where the books are kept.
        """
        if self.placed_on is None or self.placed_at is None:
            return date.max
        return max(self.placed_on, day(self.placed_at))


def active_milestones(connection: Connection, entity_keys: Sequence[str] | None = None) -> list[PlannedMilestone]:
    """All milestones in force, of some orders or of all, in the order in which they were planned, or recorded as reached."""
    table = milestone.c
    names = ("name", "percent", "amount", "reached_on", "seq", "entity_key", "actor", "reason", "created_at")
    first = milestone.alias("first")
    query = (
        select(*[table[name] for name in names], table.place, first.c.reached_on, first.c.created_at)
        .join_from(milestone, first, first.c.seq == table.place, isouter=True)
        .where(table.revoked_seq.is_(None))
        .order_by(table.seq)
    )
    if entity_keys is not None:
        query = query.where(among(connection, table.entity_key, entity_keys))
    return [
        PlannedMilestone(name, _number(percent), _number(amount), *more)
        for name, percent, amount, *more in connection.execute(query)
    ]


def milestones_of(
    connection: Connection, entity_keys: Sequence[str], day: Callable[[datetime], date]
) -> dict[str, list[Milestone]]:
    """The milestones of these orders, in the order in which they became billable; without those that have none.

    Args:
        day: that of an instant, where the books are kept.
    """
    found: dict[str, list[Milestone]] = {}
    rows = active_milestones(connection, entity_keys)
    for one in sorted(rows, key=lambda row: (row.billable_on(day), row.place or row.seq)):
        found.setdefault(one.entity_key, []).append(one)
    return found


def orders_named(connection: Connection, identifier: str) -> list[str]:
    """The orders of the ledger that have this entity key, external id or ERP id, or whose key ends with it, as with a deal's id."""
    is_order = posting.c.document_kind == DocumentKind.SALES_ORDER.value
    exact = select(posting.c.entity_key).where(posting.c.entity_key == identifier, is_order)
    if (
        connection.execute(exact.limit(1)).first() is not None
    ):  # the only name that is found without reading the whole ledger
        return [identifier]
    query = (
        select(posting.c.entity_key)
        .where(
            is_order,
            (posting.c.external_id == identifier)
            | (posting.c.erp_id == identifier)
            | posting.c.entity_key.endswith(f"/{identifier}", autoescape=True),
        )
        .distinct()
        .order_by(posting.c.entity_key)
    )
    return list(connection.execute(query).scalars())


def plan_milestone(connection: Connection, entity_key: str, planned: Milestone, author: Author) -> int:
    """Plan a milestone of an order; one of this name is replaced, unless it is reached.

    Raises:
        RefusedError: not exactly one of percentage and amount, not above nothing, finer than a ten-thousandth, more than a whole order, or
            than the ledger holds; or it is reached.
    """
    given = [
        (value, most)
        for value, most in ((planned.percent, _MOST_PERCENT), (planned.amount, _MOST))
        if value is not None
    ]
    if len(given) != 1 or not all(0 < value <= most and value == round(value, _PLACES) for value, most in given):
        raise RefusedError(
            f"{planned.name!r} needs a percentage or an amount, above 0, with {_PLACES} decimals and 100 % or {_MOST} at most, "
            "and not both"
        )
    if not planned.name.strip():
        raise RefusedError("a milestone has a name")
    (seq,) = next_values(connection, "milestone")
    before = _active(connection, entity_key, planned.name)
    if before is not None and before.reached_on is not None:
        raise RefusedError(f"{planned.name!r} of {entity_key} is reached: drop it first, which credits what it billed")
    return _write(connection, seq, entity_key, planned, author, action="milestone.planned")


def reach_milestone(connection: Connection, entity_key: str, name: str, on: date, author: Author) -> int:
    """Record that a milestone is reached: its share is invoiced from that day on. Recorded again, the day is another one.

    Raises:
        RefusedError: no such milestone is planned.
    """
    (seq,) = next_values(connection, "milestone")
    before = _active(connection, entity_key, name)
    if before is None:
        raise RefusedError(f"{entity_key} has no milestone {name!r}: see `meshline milestones list`")
    reached = Milestone(name, before.percent, before.amount, on)
    return _write(connection, seq, entity_key, reached, author, action="milestone.reached")


def drop_milestone(connection: Connection, entity_key: str, name: str, author: Author) -> bool:
    """Take a milestone back; what it billed is credited once the others are the whole order. False when there is none."""
    (seq,) = next_values(connection, "milestone")
    dropped = _revoke(connection, seq, entity_key, name, author)
    _wake(connection, entity_key, author.now)
    return dropped


def _write(connection: Connection, seq: int, entity_key: str, one: Milestone, author: Author, *, action: str) -> int:
    """Put it in force instead of what has its name. Its number is taken before anything is read: it keeps others from deciding until we have."""
    before = _active(connection, entity_key, one.name)
    _revoke(connection, seq, entity_key, one.name, author)
    values = {
        "name": one.name,
        "percent": None if one.percent is None else to_text(one.percent),
        "amount": None if one.amount is None else to_text(one.amount),
    }
    connection.execute(
        insert(milestone).values(
            **values,
            seq=seq,
            entity_key=entity_key,
            reached_on=one.reached_on,
            place=_place(seq, one, before, author.now),
            actor=author.actor,
            reason=author.reason,
            created_at=author.now,
        )
    )
    day = None if one.reached_on is None else one.reached_on.isoformat()
    detail = {**values, "entity_key": entity_key, "reached_on": day, "reason": author.reason}
    audit.append(connection, [audit.Entry(author.actor, action, f"milestone:{seq}", detail)], at=author.now)
    _wake(connection, entity_key, author.now)
    return seq


def _place(seq: int, one: Milestone, before: PlannedMilestone | None, now: datetime) -> int | None:
    """What is billable already stays where it is: behind what was billed since, cents would be credited and billed anew."""
    if one.reached_on is None:
        return None
    is_kept = before is not None and before.billable_on(datetime.date) <= now.date() >= one.reached_on
    return before.place if before is not None and is_kept else seq


def _revoke(connection: Connection, seq: int, entity_key: str, name: str, author: Author) -> bool:
    before = _active(connection, entity_key, name)
    if before is None:
        return False
    connection.execute(
        update(milestone)
        .where(milestone.c.seq == before.seq)
        .values(revoked_seq=seq, revoked_at=author.now, revoked_by=author.actor)
    )
    detail = {"entity_key": entity_key, "name": name, "reason": author.reason}
    entry = audit.Entry(author.actor, "milestone.revoked", f"milestone:{before.seq}", detail)
    audit.append(connection, [entry], at=author.now)
    return True


def _active(connection: Connection, entity_key: str, name: str) -> PlannedMilestone | None:
    return next((one for one in active_milestones(connection, [entity_key]) if one.name == name), None)


def _wake(connection: Connection, entity_key: str, now: datetime) -> None:
    """Have the order looked at by the next delivery of each destination: yesterday has come wherever books are kept."""
    query = (
        select(posting.c.destination, posting.c.shard)
        .where(posting.c.entity_key == entity_key, posting.c.document_kind == DocumentKind.SALES_ORDER.value)
        .distinct()
    )
    for destination, shard in connection.execute(query).all():
        put_off(connection, destination, [entity_key], [(entity_key, shard, (now - timedelta(days=1)).date())])


def _number(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
