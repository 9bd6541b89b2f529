"""When a backlog is so large that somebody has to let it go: after an outage, at go-live, or when something upstream went wrong."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

__all__ = ["NO_LIMITS", "Backlog", "BacklogLimits", "exceeds"]


@dataclass(frozen=True, slots=True)
class BacklogLimits:
    """What may be posted without anybody's release. None, and a currency that is not named: any number, any amount."""

    count: int | None = None
    amounts: Mapping[str, Decimal] = field(default_factory=dict)

    @property
    def is_set(self) -> bool:
        """Whether there is any limit."""
        return self.count is not None or bool(self.amounts)


NO_LIMITS = BacklogLimits()
"""Everything may go."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """Postings that are open and were never released.

    Attributes:
        amounts: per currency, what their orders are worth in their newest open state.
        through: the id of the newest of them: a release covers all up to it.
    """

    count: int = 0
    amounts: Mapping[str, Decimal] = field(default_factory=dict)
    through: int = 0


def exceeds(backlog: Backlog, limits: BacklogLimits) -> bool:
    """Whether it waits for release: all of it, so that what belongs together is not torn apart."""
    if limits.count is not None and backlog.count > limits.count:
        return True
    return any(backlog.amounts.get(currency, Decimal(0)) > most for currency, most in limits.amounts.items())
