"""Compaction: a closed day's many small files become one. Rows stay as they are; the manifest swaps the names.

Replaced files stay for readers that listed them before, and for the build that has not looked at them yet.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from meshline_dagster.landing.zone import LandingZone
from meshline_dagster.store.leases import Lease, check
from meshline_dagster.store.manifest import (
    LandingFile,
    known_paths,
    live_files,
    replace_files,
    replaced_files,
    unlist_files,
)

__all__ = ["Compacted", "compact", "sweep"]


@dataclass(frozen=True, slots=True)
class Compacted:
    """How many days were compacted, and how many files became how many."""

    days: int = 0
    files_before: int = 0


def compact(zone: LandingZone, feed: str, *, before: date, held: Lease, now: datetime) -> Compacted:
    """Make one file of each day before ``before`` that has several.

    Args:
        held: the feed's lease, so that no poll lands meanwhile.

    Raises:
        LeaseLostError: somebody else holds the feed now; the day at work is left as it was.
    """
    with zone.store.read() as connection:
        files = [file for file in live_files(connection, feed) if file.day < before]
    by_day: dict[date, list[LandingFile]] = {}
    for file in files:
        by_day.setdefault(file.day, []).append(file)
    result = Compacted()
    for day, old in sorted(by_day.items()):
        if len(old) < 2:  # noqa: PLR2004 - one file is compact
            continue
        rows = zone.storage.read_all([file.path for file in old])
        rows = rows.sort_by([("_stamp", "ascending"), ("_id", "ascending"), ("_observed_at", "ascending")])
        made = zone.new_file(feed, day, rows, schema_hash=old[-1].schema_hash, run_id="compaction")
        with zone.store.write() as connection:
            check(connection, [held])
            replace_files(connection, [file.seq for file in old], made, now=now)
        result = Compacted(result.days + 1, result.files_before + len(old))
    return result


def sweep(zone: LandingZone, feed: str, *, now: datetime, keep: timedelta = timedelta(days=7)) -> int:
    """Remove files that nobody can need: replaced long ago and seen by a planned build, or written and never listed.

    Returns:
        How many files were removed.
    """
    with zone.store.read() as connection:
        old = replaced_files(connection, feed, before=now - keep)
        known = known_paths(connection, feed)
    removed = zone.storage.remove(file.path for file in old)
    with zone.store.write() as connection:
        unlist_files(connection, [file.seq for file in old])
    orphans = [
        path for path, modified in zone.storage.files(feed).items() if path not in known and modified < now - keep
    ]
    return removed + zone.storage.remove(orphans)
