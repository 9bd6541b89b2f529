"""Rows on their way into the landing zone, as Arrow tables: content hash, refusal, duplicates, change days."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["KEY_COLUMNS", "RejectedRow", "fingerprinted", "refuse", "split_by_day", "without_landed"]

KEY_COLUMNS = ("_id", "_stamp", "_hash")
"""A row whose key is landed already is the same observation again."""


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A row that cannot be filed under any change day."""

    id: str | None
    stamp: datetime | None
    reason: str


def refuse(table: pa.Table, origin: datetime, until: datetime) -> tuple[pa.Table, list[RejectedRow]]:
    """Split off the rows that have no id or stamp, or whose stamp lies outside ``[origin, until)``."""
    stamp = table["_stamp"]
    bad_keys = pc.or_(pc.is_null(table["_id"]), pc.is_null(stamp))
    unit = stamp.type
    early = pc.fill_null(pc.less(stamp, pa.scalar(origin, unit)), fill_value=False)
    late = pc.fill_null(pc.greater_equal(stamp, pa.scalar(until, unit)), fill_value=False)
    bad = pc.or_(bad_keys, pc.or_(early, late))
    if not pc.any(bad).as_py():
        return table, []
    refused = table.filter(bad).select(["_id", "_stamp"]).to_pylist()
    return table.filter(pc.invert(bad)), [_rejected(row["_id"], row["_stamp"], origin, until) for row in refused]


def _rejected(row_id: str | None, stamp: datetime | None, origin: datetime, until: datetime) -> RejectedRow:
    if row_id is None:
        return RejectedRow(None, stamp, "it has no id")
    if stamp is None:
        return RejectedRow(row_id, None, "it has no change stamp")
    if stamp < origin:
        return RejectedRow(row_id, stamp, f"its change stamp lies before the sync's origin {origin.date()}")
    return RejectedRow(row_id, stamp, f"its change stamp lies after {until.isoformat()}, in the source's future")


def fingerprinted(table: pa.Table) -> pa.Table:
    """Add ``_hash`` after ``_stamp``: the first 32 hexadecimal digits of the SHA-256 over deletion flag and payload; drop repeats."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("rows", table)
        hashed = connection.sql(
            "SELECT left(sha256(CASE WHEN _deleted THEN '1' ELSE '0' END || _payload), 32) AS h FROM rows"
        ).to_arrow_table()
    place = table.schema.get_field_index("_stamp") + 1
    result = table.add_column(place, "_hash", hashed["h"].cast(pa.string()))
    return _first_of_each(result)


def without_landed(table: pa.Table, landed: pa.Table) -> pa.Table:
    """The rows whose key is not among the landed ones. Both sides are compared as whole columns, never row by row."""
    if not table.num_rows or not landed.num_rows:
        return table
    keys = table.select(KEY_COLUMNS).append_column("place", pa.array(range(table.num_rows), pa.int64()))
    left = keys.join(landed.select(KEY_COLUMNS), list(KEY_COLUMNS), join_type="left anti")
    return table if left.num_rows == table.num_rows else table.take(left["place"].sort())


def split_by_day(table: pa.Table) -> Iterator[tuple[date, pa.Table]]:
    """One table for each UTC change day, in ``(stamp, id)`` order."""
    order = pc.sort_indices(table, sort_keys=[("_stamp", "ascending"), ("_id", "ascending")])
    in_order = pc.all(pc.equal(order, pa.array(range(table.num_rows), pa.uint64()))).as_py()
    ordered = table if in_order else table.take(order)
    days = pc.cast(ordered["_stamp"].cast(pa.timestamp("us")), pa.date32(), safe=False)
    runs = pc.run_end_encode(days.combine_chunks()) if table.num_rows else None
    if runs is None:
        return
    start = 0
    for day, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
        yield day, ordered.slice(start, end - start)
        start = end


def _first_of_each(table: pa.Table) -> pa.Table:
    keys = table.select(KEY_COLUMNS).append_column("place", pa.array(range(table.num_rows), pa.int64()))
    first = keys.group_by(list(KEY_COLUMNS)).aggregate([("place", "min")])
    return table if first.num_rows == table.num_rows else table.take(first["place_min"].sort())
