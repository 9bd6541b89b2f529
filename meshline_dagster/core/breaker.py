"""The circuit breaker of a destination: its states and the only ways between them. Pure: clock and jitter are passed in.

    closed ──failures in a row──> open ──its time has come: one probe──> half open
      ^                            ^                                        │  │
      │                            └───────────────the probe failed─────────┘  │
      └───────────────────a real answer to a request made since it opened──────┘

*In a row* counts rounds, not requests: what was already under way when the last failure was counted belongs to the same round. So a burst
of parallel requests that meets one restart of the ERP counts once, and a lone posting's repeated failures count each time.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from meshline_dagster.core.backoff import delay

__all__ = ["CLOSED_BREAKER", "Breaker", "BreakerState", "answered", "failed", "may_probe", "probing"]

_BASE = 2.0
_LONGEST = 300.0


class BreakerState(StrEnum):
    """Whether requests may be sent: all, none, or one probe."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


_S = BreakerState


@dataclass(frozen=True, slots=True)
class Breaker:
    """One destination's breaker.

    Attributes:
        failures: rounds that failed in a row while closed.
        failed_at: when the last of them was counted.
        trips: how often in a row it opened: the pause grows with it.
        opened_at: when the outage began; closed_at: when the last one ended.
        retry_at: when a probe may be made.
        probe: who makes it; probe_until: when it counts as lost.
        message: what the destination said last.
    """

    state: BreakerState = _S.CLOSED
    failures: int = 0
    failed_at: datetime | None = None
    trips: int = 0
    opened_at: datetime | None = None
    closed_at: datetime | None = None
    retry_at: datetime | None = None
    probe: str | None = None
    probe_until: datetime | None = None
    message: str = ""

    def admits(self, who: str) -> bool:
        """Whether ``who`` may send: anybody while closed, only the prober while half open."""
        return self.state is _S.CLOSED or (self.state is _S.HALF_OPEN and self.probe == who)


CLOSED_BREAKER = Breaker()
"""Of a destination that has never failed."""


def failed(
    breaker: Breaker, who: str, *, started: datetime, now: datetime, jitter: float, limit: int, message: str
) -> Breaker:
    """A request of ``who`` got no answer, or "not now". ``limit`` rounds in a row open the breaker."""
    if breaker.state is _S.CLOSED:
        if breaker.failed_at is not None and started < breaker.failed_at:
            return breaker
        counted = replace(breaker, failures=breaker.failures + 1, failed_at=now, message=message)
        return _opened(counted, now, jitter) if counted.failures >= limit else counted
    if breaker.state is _S.HALF_OPEN and breaker.probe == who:
        return _opened(replace(breaker, message=message), now, jitter)
    return breaker


def answered(breaker: Breaker, who: str, *, started: datetime, now: datetime) -> Breaker:
    """The destination gave ``who`` a real answer to a request that was started then.

    An answer to a request from before the outage says nothing of it, unless ``who`` is the prober: his clock may be another one.
    """
    if breaker.state is _S.CLOSED:
        return replace(breaker, failures=0, failed_at=None) if breaker.failures else breaker
    before = breaker.opened_at is not None and started < breaker.opened_at
    if before and not breaker.admits(who):
        return breaker
    return Breaker(trips=breaker.trips, closed_at=now, message=breaker.message)


def may_probe(breaker: Breaker, *, now: datetime) -> bool:
    """Whether somebody may find out if the destination is back: the pause is over, or the last prober never came back."""
    if breaker.state is _S.OPEN:
        return breaker.retry_at is None or now >= breaker.retry_at
    return breaker.state is _S.HALF_OPEN and (breaker.probe_until is None or now >= breaker.probe_until)


def probing(breaker: Breaker, who: str, *, now: datetime, seconds: float) -> Breaker:
    """``who`` probes, for at most so many seconds. The caller has asked :func:`may_probe`."""
    return replace(breaker, state=_S.HALF_OPEN, probe=who, probe_until=now + timedelta(seconds=seconds))


def _opened(breaker: Breaker, now: datetime, jitter: float) -> Breaker:
    """Open; the pause goes on growing where the last outage has only just ended."""
    recovered = breaker.closed_at is not None and now - breaker.closed_at >= timedelta(seconds=_LONGEST)
    trips = 1 if breaker.state is _S.CLOSED and recovered else breaker.trips + 1
    return Breaker(
        state=_S.OPEN,
        trips=trips,
        opened_at=breaker.opened_at or now,
        closed_at=breaker.closed_at,
        retry_at=now + timedelta(seconds=delay(trips, jitter, base=_BASE, cap=_LONGEST)),
        message=breaker.message,
    )
