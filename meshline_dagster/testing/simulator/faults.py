"""What goes wrong between us and the ERP, drawn from a seed.

A fault strikes a request with a rate that each schedule draws for itself, until the schedule's faults stop. Outages are times in which
nobody answers at all.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["FaultKind", "FaultPlan", "draw_faults"]


class FaultKind(StrEnum):
    """What happens to one request."""

    RESET_BEFORE = "reset before send"
    RESET_AFTER = "reset after send"
    RESET_LOST = "reset after send, never processed"
    MID_BODY = "reset in the middle of the answer"
    ERROR_BEFORE = "5xx, nothing done"
    ERROR_AFTER = "5xx, done"
    BUSY = "429"
    BUSY_UNTIL = "429 with Retry-After"
    TIMEOUT_LOST = "time-out, nothing done"
    TIMEOUT_DONE = "time-out, done"
    LATE_COMMIT = "late commit"
    TOO_LATE = "commit beyond settle_after"
    COPIED = "delivered twice"
    SLOW = "slow drip"


_READS = (
    FaultKind.RESET_BEFORE,
    FaultKind.ERROR_BEFORE,
    FaultKind.BUSY,
    FaultKind.TIMEOUT_LOST,
    FaultKind.MID_BODY,
    FaultKind.SLOW,
)
_ALWAYS = tuple(kind for kind in FaultKind if kind is not FaultKind.TOO_LATE)
_KINDS_AT_ONCE = (2, 8)
_RATES = (0.0, 0.05, 0.15, 0.3, 0.5)
_TOO_LATE_SHARE = 0.08


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """The faults of one schedule.

    Attributes:
        rate: how likely one request is struck.
        weights: the kinds, by how likely each is.
        outages: ``(from, to)`` in virtual seconds.
        until: virtual seconds when all faults end.
        again: ``(from, to)`` in virtual seconds: later times in which there are faults once more.
    """

    rate: float
    weights: Mapping[FaultKind, float]
    outages: tuple[tuple[float, float], ...]
    until: float
    again: tuple[tuple[float, float], ...] = ()

    def strike(self, rng: random.Random, now: float, *, reading: bool) -> FaultKind | None:
        """What happens to a request that is sent now."""
        if now >= self.until and not any(start <= now < end for start, end in self.again):
            return None
        if any(start <= now < end for start, end in self.outages):
            return rng.choice((FaultKind.RESET_BEFORE, FaultKind.RESET_BEFORE, FaultKind.TIMEOUT_LOST))
        kinds = [kind for kind in self.weights if not reading or kind in _READS]
        if not kinds or rng.random() >= self.rate:
            return None
        return rng.choices(kinds, [self.weights[kind] for kind in kinds])[0]

    def __str__(self) -> str:
        kinds = ", ".join(kind.value for kind in self.weights)
        outages = ", ".join(f"{start:.1f}-{end:.1f}" for start, end in self.outages) or "none"
        return f"{self.rate:.0%} of requests until {self.until:.0f} s ({kinds}); outages: {outages}"


def draw_faults(rng: random.Random, until: float) -> FaultPlan:
    """Some kinds at once, each with a weight; now and then an outage, and now and then an ERP that breaks its promise."""
    kinds: list[FaultKind] = rng.sample(_ALWAYS, rng.randint(*_KINDS_AT_ONCE))
    if rng.random() < _TOO_LATE_SHARE:
        kinds.append(FaultKind.TOO_LATE)
    outages = []
    if rng.random() < 0.2:  # noqa: PLR2004 - one in five
        start = rng.uniform(0, until)
        outages.append((start, start + rng.uniform(1, until / 2)))
    return FaultPlan(rng.choice(_RATES), {kind: rng.uniform(0.2, 1.0) for kind in kinds}, tuple(outages), until)
