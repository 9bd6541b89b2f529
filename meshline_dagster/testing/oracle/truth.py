"""What a schedule knows to be true: which states of which orders were ever derived, and what must come of them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal

from meshline_dagster.testing.oracle.records import Content

__all__ = ["Billing", "Decided", "Derivation", "EntityTruth", "Hold", "Share", "Truth"]


@dataclass(frozen=True, slots=True)
class Derivation:
    """One event as one build derived it.

    Attributes:
        position: where it stands among the states of its entity; later states have higher ones.
        accepted: the ERP takes it; otherwise it refuses it for good.
        starts: the first day on which one of its lines starts; None: no line says.
        parts: where lines are billed by periods, ``(day on which it is due, item, amount)`` of each.
    """

    event_id: str
    position: int
    content: Content
    accepted: bool
    starts: date | None = None
    parts: tuple[tuple[date, str, Decimal], ...] = ()


@dataclass(frozen=True, slots=True)
class EntityTruth:
    """One master, order or payment.

    Attributes:
        customer: entity key of the customer that must be there first; None for masters.
        masters: the entity keys of all masters that must be there first.
        selling_entity, customer_key: what its postings say of themselves; None: nothing.
        published: everything that was ever in an outbox.
        final: what the last outbox holds.
    """

    entity_key: str
    external_id: str
    customer: str | None
    published: tuple[Derivation, ...]
    final: tuple[Derivation, ...]
    selling_entity: str | None = None
    customer_key: str | None = None
    masters: tuple[str, ...] = ()

    def contents_of(self, event_id: str) -> set[Content]:
        """All contents that were ever derived for one event."""
        return {one.content for one in self.published if one.event_id == event_id}

    def starts_of(self, event_id: str) -> set[date | None]:
        """The first days on which an event was ever derived to start; None: it does not say."""
        return {one.starts for one in self.published if one.event_id == event_id}

    def position_of(self, event_id: str) -> int | None:
        """Where an event stands in the entity's sequence; None when it was never derived."""
        return next((one.position for one in self.published if one.event_id == event_id), None)


@dataclass(frozen=True, slots=True)
class Hold:
    """A time (virtual seconds) in which posting was held back: what fits every part that is given; no part: everything."""

    start: float
    end: float
    selling_entity: str | None = None
    customer: str | None = None

    def covers(self, entity: EntityTruth) -> bool:
        """Whether it holds this customer or order. An order that does not say whose it is waits as well."""
        is_order = entity.customer is not None
        if self.selling_entity is not None and not (is_order and entity.selling_entity in {None, self.selling_entity}):
            return False
        return (
            self.customer is None or entity.customer_key == self.customer or (is_order and entity.customer_key is None)
        )

    def __str__(self) -> str:
        what = ", ".join(one for one in (self.selling_entity, self.customer) if one is not None) or "everything"
        return f"{what} {self.start:.1f}-{self.end:.1f} s"


@dataclass(frozen=True, slots=True)
class Billing:
    """How orders have to be invoiced.

    Attributes:
        epoch: the instant of virtual second zero.
        by_start: from the first day on which a line starts; else as soon as they are posted.
        rebills: whatever changes, all is credited and invoiced anew.
        closed_through: the last day of the closed periods; None: none is closed.
        by_periods: each line by the periods of its term. by_delivery: as it is delivered. by_milestones: as they are reached.
    """

    epoch: datetime
    by_start: bool
    rebills: bool
    closed_through: date | None
    by_periods: bool = False
    by_delivery: bool = False
    by_milestones: bool = False

    @property
    def in_parts(self) -> bool:
        """What is due changes without a new state of the order."""
        return self.by_delivery or self.by_milestones

    def day(self, at: float) -> date:
        """The day of a virtual second."""
        return (self.epoch + timedelta(seconds=at)).date()

    def dated(self, at: float) -> date:
        """The accounting date of a document that is planned then."""
        day = self.day(at)
        return day if self.closed_through is None else max(day, self.closed_through + timedelta(days=1))


@dataclass(frozen=True, slots=True)
class Share:
    """One milestone: a percentage of its order, or an amount of money; and the day from which it is invoiced, once somebody has said so."""

    percent: Decimal | None
    amount: Decimal | None
    reached_on: date | None = None


@dataclass(frozen=True, slots=True)
class Decided:
    """The milestones of one order from a virtual second on."""

    at: float
    milestones: tuple[Share, ...] = ()


@dataclass(frozen=True, slots=True)
class Truth:
    """A schedule's ground truth.

    Attributes:
        entities: by external id.
        protected: the ERP itself prevents second documents (by keys or unique external ids).
        unique: it does so by external id.
        shadows: names of processes that run in shadow mode.
        holds: pauses and freezes. ``grace`` seconds after the beginning of one, nothing that it covers may be asked for any more.
        billing: how orders have to be invoiced; None: not at all.
        released: when an operator released what had been planned by then, oldest first; None: nothing waits for that.
        planned: the virtual second from which on an event could be planned.
        approved: when an operator approved every reversal that waited by then; None: nothing waits for that.
        decided: when an operator approved anything.
        answered: when delivery was told that the ERP has what an event asks for. ``recorded_after`` seconds later its ledger says so, too.
        rate: requests a second that all runs together may start, with bursts of ``burst``; None: any number.
        waits: ``(from, to)``: the ERP had asked everybody to wait.
        steady: no process was stopped or killed, so that what one has read of the clock is never old; then the pace is judged.
        delay: seconds that may lie between the permission for a request and the request.
        coalesces: of an order's states that were not sent only the newest is.
        forged: entity keys of postings that were changed in the database behind delivery's back.
        failed: requests that a fault may have struck, by external id of the customer or order: the most for any one of its documents.
        max_attempts: how many of them make a posting dead.
        looked_within: seconds before an amendment or cancellation within which its order was looked up.
        retried: when an operator had something of an order tried again, by external id; closed: or has closed something of it.
        settled: the events that he has closed.
        decided_of: the milestones of each order that ever had some, oldest first, by external id.
    """

    entities: Mapping[str, EntityTruth]
    protected: bool
    unique: bool
    shadows: frozenset[str]
    max_attempts: int
    holds: tuple[Hold, ...] = ()
    grace: float = 0.0
    billing: Billing | None = None
    released: tuple[float, ...] | None = None
    approved: tuple[float, ...] | None = None
    decided: tuple[float, ...] = ()
    answered: Mapping[str, float] = field(default_factory=dict)
    recorded_after: float = 0.0
    planned: Mapping[str, float] = field(default_factory=dict)
    rate: float | None = None
    burst: int = 1
    waits: tuple[tuple[float, float], ...] = ()
    steady: bool = True
    delay: float = 0.0
    coalesces: bool = False
    forged: frozenset[str] = frozenset()
    failed: Mapping[str, int] = field(default_factory=dict)
    looked_within: float = math.inf
    retried: Mapping[str, Sequence[float]] = field(default_factory=dict)
    closed: Mapping[str, Sequence[float]] = field(default_factory=dict)
    settled: frozenset[str] = frozenset()
    decided_of: Mapping[str, Sequence[Decided]] = field(default_factory=dict)
