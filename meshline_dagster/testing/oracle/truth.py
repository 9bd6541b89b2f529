"""What a schedule knows to be true: which states of which orders were ever derived, and what must come of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from meshline_dagster.testing.oracle.records import Content

__all__ = ["Derivation", "EntityTruth", "Truth"]


@dataclass(frozen=True, slots=True)
class Derivation:
    """One event as one build derived it.

    Attributes:
        position: where it stands among the states of its entity; later states have higher ones.
        accepted: the ERP takes it; otherwise it refuses it for good.
    """

    event_id: str
    position: int
    content: Content
    accepted: bool


@dataclass(frozen=True, slots=True)
class EntityTruth:
    """One customer or order.

    Attributes:
        customer: entity key of the customer that must be there first; None for customers.
        published: everything that was ever in an outbox.
        final: what the last outbox holds.
    """

    entity_key: str
    external_id: str
    customer: str | None
    published: tuple[Derivation, ...]
    final: tuple[Derivation, ...]

    def contents_of(self, event_id: str) -> set[Content]:
        """All contents that were ever derived for one event."""
        return {one.content for one in self.published if one.event_id == event_id}

    def position_of(self, event_id: str) -> int | None:
        """Where an event stands in the entity's sequence; None when it was never derived."""
        return next((one.position for one in self.published if one.event_id == event_id), None)


@dataclass(frozen=True, slots=True)
class Truth:
    """A schedule's ground truth.

    Attributes:
        entities: by external id.
        protected: the ERP itself prevents second documents (by keys or unique external ids).
        unique: it does so by external id.
        shadows: names of processes that run in shadow mode.
        pauses: ``(from, to)`` in virtual seconds in which posting was paused. What was durably meant before may still be asked for
            until then plus ``grace``.
        forged: entity keys of postings that were changed in the database behind delivery's back.
        failed: requests that a fault may have struck, by external id.
        max_attempts: how many of them make a posting dead.
    """

    entities: Mapping[str, EntityTruth]
    protected: bool
    unique: bool
    shadows: frozenset[str]
    pauses: tuple[tuple[float, float], ...]
    max_attempts: int
    grace: float = 0.0
    forged: frozenset[str] = frozenset()
    failed: Mapping[str, int] = field(default_factory=dict)
