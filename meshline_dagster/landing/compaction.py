"""Compaction: a closed day's many small files become one. Rows stay as they are; the manifest swaps the names.

Replaced files stay for a while: for readers that listed them before, and for the build that has not looked at them yet.
"""

from datetime import date, datetime, timedelta

import pyarrow as pa

from meshline_dagster.core.errors import PermanentError
from meshline_dagster.landing.zone import LandingZone
from meshline_dagster.store.leases import Lease, check
from meshline_dagster.store.manifest import (
    known_paths,
    live_files,
    replace_files,
    replaced_files,
    unlist_files,
)

__all__ = ["compact_day", "days_to_compact", "sweep"]


def days_to_compact(zone: LandingZone, feed: str, *, before: date) -> list[date]:
    """The days before ``before`` that have several files, oldest first."""
    with zone.store.read() as connection:
        days = [file.day for file in live_files(connection, feed)]
    return sorted({day for day in days if day < before and days.count(day) > 1})


def compact_day(zone: LandingZone, feed: str, day: date, *, held: Lease, now: datetime) -> int:
    """Make one file of a day's several; returns how many there were, 0 where nothing was to be done.

    Args:
        held: the feed's lease, so that nobody else compacts the day meanwhile.

    Raises:
        LeaseLostError: somebody else holds the feed now; the day is left as it was.
        PermanentError: the files cannot become one, since the source changed a column's type; the day is left as it was.
    """
    with zone.store.read() as connection:
        old = live_files(connection, feed, [day])
    if len(old) < 2:  # noqa: PLR2004 - one file is compact
        return 0
    try:
        rows = zone.storage.read_all([file.path for file in old])
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise PermanentError(f"{feed}, {day}: the {len(old)} files of the day stay apart: {error}") from error
    if rows.num_rows != sum(file.rows for file in old):
        raise PermanentError(
            f"{feed}, {day}: the files hold {rows.num_rows} rows, the manifest says {sum(file.rows for file in old)}; "
            "compare the landing zone with a backup before anything else"
        )
    rows = rows.sort_by([("_stamp", "ascending"), ("_id", "ascending"), ("_observed_at", "ascending")])
    made = zone.new_file(feed, day, rows, schema_hash=old[-1].schema_hash, run_id="compaction")
    with zone.store.write() as connection:
        check(connection, [held])
        replace_files(connection, [file.seq for file in old], made, now=now)
    return len(old)


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
