"""The upkeep of one feed's landed files: closed days become one file each, day by day under the feed's lease, so that polls go on between."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from meshline_dagster.core.errors import LeaseHeldError, LeaseLostError, PermanentError
from meshline_dagster.crm.poll import feed_lease
from meshline_dagster.landing.compaction import compact_day, days_to_compact, sweep
from meshline_dagster.landing.zone import LandingZone

__all__ = ["KEEP", "MOST_FILES", "FeedCompaction", "compact_feed"]

MOST_FILES = 10_000
"""Files that one call reads; a day is never left half-way, so it may be one day more."""

KEEP = timedelta(days=7)
"""How long replaced files stay for whoever has listed them."""

_WAIT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class FeedCompaction:
    """What was done to a feed's files.

    Attributes:
        days: days that have one file now, of ``files_before``.
        days_left: closed days that still have several files: there was no room for them, or the feed was busy, or for ``problems``.
        removed: files that were gone long enough.
        busy: whether somebody else held the feed; the next call goes on.
    """

    feed: str
    days: int = 0
    files_before: int = 0
    days_left: int = 0
    removed: int = 0
    busy: bool = False
    problems: tuple[str, ...] = ()


def compact_feed(
    zone: LandingZone,
    feed: str,
    *,
    holder: str,
    most_files: int = MOST_FILES,
    keep: timedelta = KEEP,
    wait: float = _WAIT_SECONDS,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> FeedCompaction:
    """Compact the days before today (UTC), oldest first, and remove what was replaced ``keep`` ago. Safe at any time.

    Args:
        holder: who asks for the lease, e.g. a run's id.
        most_files: no further day is begun once so many files were read.
        wait: seconds to wait for a poll of the feed.
    """
    wanted = days_to_compact(zone, feed, before=clock().date())
    days, files, busy, problems = 0, 0, False, []
    for day in wanted:
        if files >= most_files:
            break
        try:
            with feed_lease(zone.store, feed, holder, wait=wait) as held:
                replaced = compact_day(zone, feed, day, held=held, now=clock())
        except (LeaseHeldError, LeaseLostError):
            busy = True
            break
        except PermanentError as error:
            problems.append(str(error))
            continue
        days, files = days + 1, files + replaced
    removed = sweep(zone, feed, now=clock(), keep=keep)
    return FeedCompaction(feed, days, files, len(wanted) - days, removed, busy, tuple(problems))
