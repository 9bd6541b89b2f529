"""A delivery's view of its destination's circuit breaker, which the ops store keeps for all runs.

While the breaker is open nothing is sent and the work stays queued: one P1 exception for the outage. When the pause is over, one run sends
one request; a real answer closes the breaker and resolves the exception. What a request tells the breaker is written in the transaction
that records the request's outcome, so hearing good news from a healthy destination costs nothing at all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from meshline_dagster.core.breaker import CLOSED_BREAKER, Breaker, BreakerState, answered, failed, may_probe, probing
from meshline_dagster.core.text import kept_text
from meshline_dagster.delivery.pace import Pace
from meshline_dagster.delivery.session import Session
from meshline_dagster.store import audit
from meshline_dagster.store.breakers import breaker_of, held_breaker, save_breaker
from meshline_dagster.store.exceptions import Finding, raise_exceptions, resolve

__all__ = ["OUTAGE", "OutageGuard", "Signal"]

OUTAGE = "destination_unavailable"
"""The code of an outage's exception."""

_CLOSED = BreakerState.CLOSED


@dataclass(frozen=True, slots=True)
class Signal:
    """What one request learnt of the destination.

    Attributes:
        started: when the request was started.
        answered: it got a real answer; else it failed.
        message: what went wrong.
        wait: seconds that the destination asked us to wait: from now on, everybody waits.
        for_good: nothing at all gets through, so the breaker opens without counting further.
    """

    started: datetime
    answered: bool = False
    message: str = ""
    wait: float | None = None
    for_good: bool = False


class OutageGuard:
    """The breaker as one delivery sees it.

    Args:
        limit: how many rounds of failures in a row open it.
    """

    def __init__(self, session: Session, pace: Pace, *, limit: int) -> None:
        self._pace = pace
        self._store, self._destination, self._who = session.store, session.options.destination, session.actor
        self._clock, self._jitter, self._limit = session.clock, session.jitter, limit
        self._probe_seconds = 5 * session.timeout + 10
        self._view = CLOSED_BREAKER

    @property
    def is_open(self) -> bool:
        """Whether this delivery may not send."""
        return not self._view.admits(self._who)

    @property
    def is_probing(self) -> bool:
        """Whether it may send one request, and only that."""
        return self._view.state is BreakerState.HALF_OPEN and not self.is_open

    @property
    def retry_at(self) -> datetime | None:
        """When the destination may be probed; None unless it is given up."""
        return self._view.retry_at if self._view.state is not _CLOSED else None

    def read(self, connection: Connection) -> None:
        """See what other runs have found."""
        self._view = breaker_of(connection, self._destination)
        self._pace.read(connection)

    def begin(self) -> bool:
        """Whether this delivery may speak to the destination. When the breaker's pause is over, the first to ask becomes the prober."""
        with self._store.read() as connection:
            self.read(connection)
        if not self.is_open:
            return True
        now = self._clock()
        if not may_probe(self._view, now=now):
            return False
        with self._store.write() as connection:
            self._view = held_breaker(connection, self._destination)
            if may_probe(self._view, now=now):
                self._view = probing(self._view, self._who, now=now, seconds=self._probe_seconds)
                save_breaker(connection, self._destination, self._view)
        return not self.is_open

    def reached(self, started: datetime) -> list[Signal]:
        """The ERP gave a real answer to a request that was started then: worth telling only to a breaker that has seen failures."""
        return [] if self._view.state is _CLOSED and not self._view.failures else [Signal(started, answered=True)]

    def missed(self, message: str, started: datetime, *, wait: float | None = None) -> list[Signal]:
        """The ERP gave no answer to a request that was started then, or asked us to come back later: after ``wait`` seconds, if it said."""
        return [Signal(started, message=message, wait=wait)]

    def tell(self, signals: Sequence[Signal]) -> None:
        """Apply signals in a transaction of their own."""
        if signals:
            with self._store.write() as connection:
                self.apply(connection, signals)

    def apply(self, connection: Connection, signals: Sequence[Signal]) -> None:
        """Move the breaker by what requests have learnt, in the caller's transaction; an outage begins or ends with its exception."""
        now = self._clock()
        for seconds in (signal.wait for signal in signals if signal.wait is not None):
            self._pace.delay(connection, seconds)
        before = after = held_breaker(connection, self._destination)
        for signal in signals:
            after = self._after(after, signal, now)
        if after != before:
            save_breaker(connection, self._destination, after)
            self._announce(connection, before, after, now)
        self._view = after

    def _after(self, breaker: Breaker, signal: Signal, now: datetime) -> Breaker:
        if signal.answered:
            return answered(breaker, self._who, started=signal.started, now=now)
        return failed(
            breaker,
            self._who,
            started=now if signal.for_good else signal.started,
            now=now,
            jitter=self._jitter(),
            limit=1 if signal.for_good else self._limit,
            message=kept_text(signal.message),
        )

    def _announce(self, connection: Connection, before: Breaker, after: Breaker, now: datetime) -> None:
        key = f"outage:{self._destination}"
        if before.state is _CLOSED and after.state is BreakerState.OPEN:
            raise_exceptions(connection, [self._finding(key, after.message)], now=now)
        elif before.state is not _CLOSED and after.state is _CLOSED:
            since = f" after {_length(now - before.opened_at)}" if before.opened_at else ""
            resolve(connection, [key], resolution=f"{self._destination} answers again{since}", now=now)
        if before.state is not after.state:
            detail = {"from": before.state.value, "message": after.message}
            entry = audit.Entry(self._who, f"breaker.{after.state.value}", f"destination:{self._destination}", detail)
            audit.append(connection, [entry], at=now)

    def _finding(self, key: str, message: str) -> Finding:
        return Finding(
            trace_key=key,
            origin="delivery",
            code=OUTAGE,
            title=f"{self._destination} does not take orders",
            detail=message or "no answer",
            fix="Bring the destination back; everything queued is posted by itself then, and this is resolved.",
            owner="integrations",
            priority="P1",
        )


def _length(spent: timedelta) -> str:
    return str(spent).split(".", maxsplit=1)[0]
