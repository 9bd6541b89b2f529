"""The landing zone's manifest: which Parquet files count. A file that is not listed does not exist."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from meshline_dagster.store.counters import current_value, next_values
from meshline_dagster.store.tables import build, landing_file

__all__ = [
    "LandingFile",
    "NewFile",
    "add_files",
    "has_new_files",
    "known_paths",
    "landing_seq",
    "live_files",
    "new_files",
    "replace_files",
    "replaced_files",
    "rows_by_day",
    "rows_total",
    "unlist_files",
]


@dataclass(frozen=True, slots=True)
class NewFile:
    """A Parquet file that is complete on storage and not yet listed."""

    feed: str
    day: date
    path: str
    rows: int
    bytes: int
    min_stamp: datetime
    max_stamp: datetime
    schema_hash: str
    run_id: str


@dataclass(frozen=True, slots=True)
class LandingFile(NewFile):
    """A listed file. ``seq`` grows in commit order over all feeds; ``kind`` is ``data`` or ``compacted``."""

    seq: int
    kind: str


_COLUMNS = [landing_file.c[name] for name in LandingFile.__dataclass_fields__]


def landing_seq(connection: Connection) -> int:
    """The highest committed file number: a build that reads up to here has seen everything before."""
    return current_value(connection, "landing")


def add_files(connection: Connection, files: Sequence[NewFile], *, now: datetime, kind: str = "data") -> list[int]:
    """List files; all of them become visible together when the transaction commits."""
    if not files:
        return []
    numbers = next_values(connection, "landing", len(files))
    connection.execute(
        insert(landing_file),
        [
            {**asdict(file), "seq": seq, "kind": kind, "created_at": now}
            for seq, file in zip(numbers, files, strict=True)
        ],
    )
    return list(numbers)


def replace_files(connection: Connection, old: Sequence[int], new: NewFile, *, now: datetime) -> int:
    """Put one compacted file in the place of several; the rows stay the same, so no build has to look again."""
    (seq,) = add_files(connection, [new], now=now, kind="compacted")
    connection.execute(
        update(landing_file)
        .where(landing_file.c.seq.in_(old), landing_file.c.replaced_by.is_(None))
        .values(replaced_by=seq)
    )
    return seq


def live_files(connection: Connection, feed: str, days: Sequence[date] | None = None) -> list[LandingFile]:
    """The files that hold the feed's rows now, in order; optionally of some days only."""
    query = select(*_COLUMNS).where(landing_file.c.feed == feed, landing_file.c.replaced_by.is_(None))
    if days is not None:
        query = query.where(landing_file.c.day.in_(days))
    return [LandingFile(*row) for row in connection.execute(query.order_by(landing_file.c.seq))]


def new_files(connection: Connection, feed: str, after: int, up_to: int) -> list[LandingFile]:
    """Files of new rows with ``after < seq <= up_to``, compacted away since or not."""
    query = select(*_COLUMNS).where(
        landing_file.c.feed == feed,
        landing_file.c.kind == "data",
        landing_file.c.seq > after,
        landing_file.c.seq <= up_to,
    )
    return [LandingFile(*row) for row in connection.execute(query.order_by(landing_file.c.seq))]


def replaced_files(connection: Connection, feed: str, *, before: datetime) -> list[LandingFile]:
    """Files that a compacted one replaced before an instant, and that the last planned build has covered."""
    by = landing_file.alias("by")
    covered = select(func.max(build.c.landing_to)).where(build.c.planned_at.is_not(None)).scalar_subquery()
    query = (
        select(*_COLUMNS)
        .join(by, landing_file.c.replaced_by == by.c.seq)
        .where(landing_file.c.feed == feed, by.c.created_at < before, landing_file.c.seq <= covered)
    )
    return [LandingFile(*row) for row in connection.execute(query)]


def known_paths(connection: Connection, feed: str) -> set[str]:
    """Every path that the manifest lists for a feed, replaced ones included."""
    return set(connection.execute(select(landing_file.c.path).where(landing_file.c.feed == feed)).scalars())


def unlist_files(connection: Connection, numbers: Sequence[int]) -> None:
    """Forget replaced files whose content is gone; a file that still holds rows stays listed."""
    connection.execute(
        delete(landing_file).where(landing_file.c.seq.in_(numbers), landing_file.c.replaced_by.is_not(None))
    )


def has_new_files(connection: Connection, feeds: Sequence[str], after: int) -> bool:
    """Whether any of the feeds has rows that a build up to ``after`` has not seen."""
    query = select(landing_file.c.seq).where(
        landing_file.c.feed.in_(feeds), landing_file.c.kind == "data", landing_file.c.seq > after
    )
    return connection.execute(query.limit(1)).first() is not None


def rows_by_day(connection: Connection, feed: str, first: date, last: date) -> dict[date, dict[str, Any]]:
    """Per change day from ``first`` to ``last``: rows, files, bytes, newest stamp and schema hash."""
    query = (
        select(
            landing_file.c.day,
            func.sum(landing_file.c.rows).label("rows"),
            func.count().label("files"),
            func.sum(landing_file.c.bytes).label("bytes"),
            func.max(landing_file.c.max_stamp).label("newest"),
            func.max(landing_file.c.schema_hash).label("schema_hash"),
        )
        .where(
            landing_file.c.feed == feed,
            landing_file.c.replaced_by.is_(None),
            landing_file.c.day.between(first, last),
        )
        .group_by(landing_file.c.day)
    )
    return {
        row.day: {
            "rows": int(row.rows),
            "files": int(row.files),
            "bytes": int(row.bytes),
            "newest": row.newest,
            "schema_hash": row.schema_hash,
        }
        for row in connection.execute(query)
    }


def rows_total(connection: Connection) -> dict[str, int]:
    """Rows landed per feed."""
    query = (
        select(landing_file.c.feed, func.sum(landing_file.c.rows).label("rows"))
        .where(landing_file.c.replaced_by.is_(None))
        .group_by(landing_file.c.feed)
    )
    return {row.feed: int(row.rows) for row in connection.execute(query)}
