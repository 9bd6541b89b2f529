"""The sandbox's clock: an instant that only control calls move, or the wall clock with an offset."""

from datetime import UTC, datetime, timedelta

__all__ = ["SandboxClock"]


class SandboxClock:
    """The sandbox's present.

    Args:
        now: the instant it starts at, UTC.
        running: whether it follows the wall clock from there on.
    """

    def __init__(self, now: datetime, *, running: bool = False) -> None:
        self._running = running
        self._now = now
        self._offset = timedelta()
        self.set(now)

    @property
    def running(self) -> bool:
        """Whether time passes by itself."""
        return self._running

    def now(self) -> datetime:
        """The present, UTC."""
        return datetime.now(UTC) + self._offset if self._running else self._now

    def set(self, now: datetime, *, running: bool | None = None) -> None:
        """Go to an instant; keep standing or running unless told otherwise."""
        self._running = running if running is not None else self._running
        self._now = now.astimezone(UTC)
        self._offset = self._now - datetime.now(UTC)

    def advance(self, seconds: float) -> None:
        """Go forward by some seconds."""
        self.set(self.now() + timedelta(seconds=seconds))
