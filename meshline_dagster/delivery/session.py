"""Everything that one delivery works with."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from meshline_dagster.delivery.options import DeliveryOptions
from meshline_dagster.erp.protocol import ErpWriter
from meshline_dagster.store.engine import Store

__all__ = ["DeliveryReport", "Session", "utc_now"]


def utc_now() -> datetime:
    """The default clock."""
    return datetime.now(UTC)


@dataclass(slots=True)
class DeliveryReport:
    """What one delivery did: postings by outcome, and whether the destination was given up as unreachable.

    Attributes:
        backlog: postings that wait for an operator's release.
        unapproved: postings that wait for an approval.
        waiting: entities that still have an open posting which nothing holds back but time.
    """

    outcomes: dict[str, int] = field(default_factory=dict)
    requests: int = 0
    lookups: int = 0
    commits: int = 0
    outage: bool = False
    waiting: int = 0
    backlog: int = 0
    unapproved: int = 0

    def count(self, outcome: str) -> None:
        """Add one."""
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1


@dataclass(frozen=True, slots=True)
class Session:
    """One delivery's surroundings.

    Attributes:
        actor: the run that delivers: it holds the leases and signs the audit entries.
        clock: UTC now. jitter: random numbers in [0, 1). Both are passed in so that tests decide them.
    """

    store: Store
    writer: ErpWriter
    options: DeliveryOptions
    actor: str
    clock: Callable[[], datetime]
    jitter: Callable[[], float]
    report: DeliveryReport

    @property
    def timeout(self) -> float:
        """Seconds until a request without an answer counts as unknown."""
        return self.writer.capabilities.request_timeout
