"""The outage guard: when nothing gets through any more, stop asking, leave the work queued and tell somebody once."""

from collections.abc import Callable
from datetime import datetime

from meshline_dagster.store.engine import Store
from meshline_dagster.store.exceptions import Finding, raise_exceptions, resolve

__all__ = ["OutageGuard"]


class OutageGuard:
    """Counts answers in a row that say nothing, or "not now".

    Args:
        limit: how many of them open the guard.
    """

    def __init__(self, store: Store, destination: str, *, clock: Callable[[], datetime], limit: int) -> None:
        self._store = store
        self._destination = destination
        self._clock = clock
        self._limit = limit
        self._failures = 0
        self._reported_well = False
        self.is_open = False

    @property
    def _trace_key(self) -> str:
        return f"outage:{self._destination}"

    def reached(self) -> None:
        """The ERP gave a real answer."""
        self._failures = 0
        if not self._reported_well:
            self._reported_well = True
            with self._store.write() as connection:
                resolve(connection, [self._trace_key], resolution="the destination answers again", now=self._clock())

    def missed(self, message: str) -> None:
        """The ERP gave no answer, or asked us to come back later."""
        self._failures += 1
        if self._failures >= self._limit and not self.is_open:
            self.unreachable(message)

    def unreachable(self, message: str) -> None:
        """Stop now: raise one P1 exception; the work stays queued."""
        self.is_open = True
        finding = Finding(
            trace_key=self._trace_key,
            origin="delivery",
            code="destination_unavailable",
            title=f"{self._destination} does not take orders",
            detail=message or "no answer",
            fix="Bring the destination back; everything queued is posted by the next run.",
            owner="integrations",
            priority="P1",
        )
        with self._store.write() as connection:
            raise_exceptions(connection, [finding], now=self._clock())
