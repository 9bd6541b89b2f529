"""Reading windows and change days.

A feed is read in half-open windows ``[watermark - overlap, now - lag)``: the overlap catches rows that surfaced late, the
lag leaves out seconds that are not complete yet.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

__all__ = ["Window", "change_day", "later_windows", "next_window"]


@dataclass(frozen=True, slots=True)
class Window:
    """A half-open interval of source stamps, both ends UTC."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise ValueError("a window needs time zone aware ends (UTC)")
        if self.end < self.start:
            raise ValueError(f"a window ends before it starts: {self.start} > {self.end}")

    @property
    def is_empty(self) -> bool:
        """True when no stamp can lie inside."""
        return self.start == self.end

    def by_day(self) -> list["Window"]:
        """The same interval cut at midnight UTC, in order."""
        parts: list[Window] = []
        start = self.start
        while start < self.end:
            midnight = datetime.combine(change_day(start) + timedelta(days=1), datetime.min.time(), tzinfo=UTC)
            end = min(midnight, self.end)
            parts.append(Window(start, end))
            start = end
        return parts


def next_window(
    *, watermark: datetime | None, origin: datetime, now: datetime, overlap: timedelta, lag: timedelta
) -> Window:
    """The window of the next poll.

    Args:
        watermark: end of the last window that was read and stored, or None before the first.
        origin: where the history begins; nothing earlier is asked for.
        now: the source's present, UTC.
        overlap: how far behind the watermark to read again.
        lag: how much of the present to leave out.
    """
    start = origin if watermark is None else max(origin, watermark - overlap)
    return Window(start, max(start, now - lag))


def later_windows(
    window: Window,
    *,
    watermark: datetime | None,
    origin: datetime,
    overlap: timedelta,
    again_after: Sequence[timedelta],
) -> list[Window]:
    """What a poll reads besides its window: for each age, the stamps that have reached it since the last poll.

    Windows of one age lie end to end from poll to poll, with the overlap, so that every stamp is read once more at that age. None reaches
    into the poll's own window, which is read anyway.

    Args:
        window: the poll's own, as :func:`next_window` gives it.
        watermark: as given there; before the first poll there is nothing to read again.
        again_after: the ages.
    """
    if watermark is None:
        return []
    found = []
    for age in again_after:
        start = max(origin, watermark - age - overlap)
        end = min(window.end - age, window.start)
        if start < end:
            found.append(Window(start, end))
    return found


def change_day(stamp: datetime) -> date:
    """The UTC day under which a change is filed."""
    return stamp.astimezone(UTC).date()
