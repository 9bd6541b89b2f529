"""The outage guard: when nothing gets through any more, stop asking, leave the work queued and tell somebody once.

It decides and words; whoever asks it makes the words durable with the results that led to them.
"""

from meshline_dagster.store.exceptions import Finding

__all__ = ["OutageGuard"]


class OutageGuard:
    """Counts answers in a row that say nothing, or "not now".

    Args:
        limit: how many of them open the guard.

    Attributes:
        is_open: the destination is given up for this delivery.
    """

    def __init__(self, destination: str, *, limit: int) -> None:
        self._destination = destination
        self._limit = limit
        self._failures = 0
        self._reported_well = False
        self.is_open = False

    def reached(self) -> list[str]:
        """The ERP gave a real answer. Returns the trace keys that this resolves: the outage's, the first time."""
        self._failures = 0
        if self._reported_well:
            return []
        self._reported_well = True
        return [f"outage:{self._destination}"]

    def missed(self, message: str) -> list[Finding]:
        """The ERP gave no answer, or asked us to come back later. Returns the exception to raise when that was once too often."""
        self._failures += 1
        if self._failures < self._limit or self.is_open:
            return []
        return [self.unreachable(message)]

    def unreachable(self, message: str) -> Finding:
        """Stop now. Returns the one P1 exception; the work stays queued."""
        self.is_open = True
        return Finding(
            trace_key=f"outage:{self._destination}",
            origin="delivery",
            code="destination_unavailable",
            title=f"{self._destination} does not take orders",
            detail=message or "no answer",
            fix="Bring the destination back; everything queued is posted by the next run.",
            owner="integrations",
            priority="P1",
        )
