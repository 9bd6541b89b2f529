"""The landing zone: what each system said and when, as immutable Parquet files by feed and change day.

A row whose ``(id, stamp, content hash)`` is landed already is dropped, so landing a page twice adds nothing. The files of one call are
listed in the ops store's manifest in one transaction, under the caller's lease: all of them count, or none.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc

from meshline_dagster.core.cursors import Window
from meshline_dagster.landing.rows import (
    KEY_COLUMNS,
    RejectedRow,
    days_of,
    distinct,
    fingerprinted,
    in_order,
    refuse,
    split_by_day,
    without_landed,
)
from meshline_dagster.landing.storage import Storage
from meshline_dagster.store.engine import Store
from meshline_dagster.store.leases import Lease, check
from meshline_dagster.store.manifest import NewFile, add_files, live_files

__all__ = ["LandResult", "LandingZone", "Provenance"]

_WRITERS = 4


@dataclass(frozen=True, slots=True)
class Provenance:
    """Who asked what when: kept beside each row and outside its hash."""

    run_id: str
    window: Window
    observed_at: datetime
    schema_hash: str


@dataclass(frozen=True, slots=True)
class LandResult:
    """What became of the rows: read = landed + dropped (landed before) + rejected."""

    rows_read: int = 0
    rows_landed: int = 0
    rows_dropped: int = 0
    rejected: Sequence[RejectedRow] = ()
    days: Mapping[date, int] = field(default_factory=dict)

    def __add__(self, other: "LandResult") -> "LandResult":
        """Both together."""
        days = {day: self.days.get(day, 0) + other.days.get(day, 0) for day in {*self.days, *other.days}}
        return LandResult(
            self.rows_read + other.rows_read,
            self.rows_landed + other.rows_landed,
            self.rows_dropped + other.rows_dropped,
            (*self.rejected, *other.rejected),
            days,
        )


class LandingZone:
    """Where landed files are.

    Args:
        location: a local folder or an fsspec URL.
        store: the ops store with the manifest.
    """

    def __init__(self, location: str, store: Store) -> None:
        self.storage = Storage.at(location)
        self.store = store

    @property
    def filesystem(self) -> Any:
        """For :func:`~meshline_dagster.warehouse.connection.open_warehouse`."""
        return self.storage.filesystem

    def absolute(self, path: str) -> str:
        """The full path or URL of a listed file."""
        return self.storage.absolute(path)

    def land(
        self, feed: str, table: pa.Table, provenance: Provenance, *, origin: datetime, now: datetime, held: Lease
    ) -> LandResult:
        """File rows under their change days.

        Args:
            table: as :class:`~meshline_dagster.crm.protocol.Feed` describes it, with or without
                :func:`~meshline_dagster.landing.rows.fingerprinted`.
            origin: stamps before it are rejected.
            now: the present, UTC; stamps more than a day after it are rejected.
            held: the feed's lease; it is checked in the transaction that lists the files.

        Raises:
            LeaseLostError: somebody else holds the feed now; nothing is listed.
        """
        good, rejected = refuse(fingerprinted(table), origin, now + timedelta(days=1))
        observed = distinct(in_order(good))
        fresh = without_landed(observed, self._landed_keys(feed, observed))
        files = self._write(feed, _with_provenance(fresh, provenance), provenance)
        if files:
            with self.store.write() as connection:
                check(connection, [held])
                add_files(connection, files, now=now)
        return LandResult(
            rows_read=table.num_rows,
            rows_landed=fresh.num_rows,
            rows_dropped=good.num_rows - fresh.num_rows,
            rejected=tuple(rejected),
            days={file.day: file.rows for file in files},
        )

    def _landed_keys(self, feed: str, table: pa.Table) -> pa.Table:
        """The landed keys that a table's rows may have; only files are opened whose stamps reach into the table's."""
        empty = pa.schema([table.schema.field(name) for name in KEY_COLUMNS]).empty_table()
        if not table.num_rows:
            return empty
        days = pc.unique(days_of(table)).to_pylist()
        first, last = table["_stamp"][0].as_py(), table["_stamp"][-1].as_py()
        with self.store.read() as connection:
            files = [
                one for one in live_files(connection, feed, days) if one.min_stamp <= last and one.max_stamp >= first
            ]
        if not files:
            return empty
        return self.storage.read([file.path for file in files], KEY_COLUMNS).cast(empty.schema)

    def _write(self, feed: str, table: pa.Table, provenance: Provenance) -> list[NewFile]:
        def one(part: tuple[date, pa.Table]) -> NewFile:
            return self.new_file(feed, *part, schema_hash=provenance.schema_hash, run_id=provenance.run_id)

        if not table.num_rows:
            return []
        with ThreadPoolExecutor(_WRITERS, thread_name_prefix="landing") as pool:
            return list(pool.map(one, split_by_day(table)))

    def new_file(self, feed: str, day: date, rows: pa.Table, *, schema_hash: str, run_id: str) -> NewFile:
        """Write one file that no manifest lists yet. Rows are in ``(stamp, id)`` order."""
        path = f"{feed}/{day.isoformat()}/{uuid4().hex}.parquet"
        size = self.storage.write(path, rows)
        stamps = rows["_stamp"]
        return NewFile(
            feed=feed,
            day=day,
            path=path,
            rows=rows.num_rows,
            bytes=size,
            min_stamp=stamps[0].as_py(),
            max_stamp=stamps[-1].as_py(),
            schema_hash=schema_hash,
            run_id=run_id,
        )


def _with_provenance(table: pa.Table, provenance: Provenance) -> pa.Table:
    instant = pa.timestamp("us", tz="UTC")
    columns: list[tuple[str, Any, pa.DataType]] = [
        ("_run_id", provenance.run_id, pa.string()),
        ("_window_start", provenance.window.start, instant),
        ("_window_end", provenance.window.end, instant),
        ("_observed_at", provenance.observed_at, instant),
        ("_schema_hash", provenance.schema_hash, pa.string()),
    ]
    for name, value, kind in columns:
        table = table.append_column(name, pa.repeat(pa.scalar(value, kind), table.num_rows))
    return table
