"""Rows on their way into the landing zone, as Arrow tables: content hash, refusal, duplicates, change days."""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from hashlib import sha256

import pyarrow as pa
import pyarrow.compute as pc

__all__ = [
    "KEY_COLUMNS",
    "RejectedRow",
    "days_of",
    "distinct",
    "fingerprinted",
    "in_order",
    "refuse",
    "split_by_day",
    "without_landed",
]

KEY_COLUMNS = ("_id", "_stamp", "_hash")
"""A row whose key is landed already is the same observation again."""

_HASH_BYTES = 16


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
    """Add ``_hash`` after ``_stamp``: the first 32 hexadecimal digits of the SHA-256 over deletion flag and payload.

    A table that has it already stays as it is. The standard library's SHA-256 uses the processor's instructions for it; DuckDB's
    takes three times the time.
    """
    if "_hash" in table.column_names:
        return table
    digests: list[bytes] = []
    deleted = table["_deleted"].to_pylist()
    for chunk in table["_payload"].cast(pa.binary()).chunks:
        start = len(digests)
        digests += _digests(chunk, deleted[start : start + len(chunk)])
    texts = b"".join(digests).hex().encode()
    ends = array("i", range(0, len(texts) + 1, 2 * _HASH_BYTES))
    hashes = pa.StringArray.from_buffers(len(digests), pa.py_buffer(ends), pa.py_buffer(texts))
    return table.add_column(table.schema.get_field_index("_stamp") + 1, "_hash", hashes)


def _digests(payloads: pa.Array, deleted: list[bool | None]) -> list[bytes]:
    """Reads the texts where they are: thousands of copies at once would cost as much as hashing them."""
    if not len(payloads):
        return []
    _, places, texts = payloads.buffers()
    ends = memoryview(places).cast("i")[payloads.offset : payloads.offset + len(payloads) + 1].tolist()
    data = memoryview(texts)
    digests = []
    for gone, start, end in zip(deleted, ends[:-1], ends[1:], strict=True):
        digest = sha256(b"1" if gone else b"0")
        digest.update(data[start:end])
        digests.append(digest.digest()[:_HASH_BYTES])
    return digests


def in_order(table: pa.Table) -> pa.Table:
    """The rows in ``(stamp, id)`` order; a table that is in order already is not copied."""
    stamp, one = table["_stamp"].combine_chunks(), table["_id"].combine_chunks()
    same = pc.equal(stamp[:-1], stamp[1:])
    rising = pc.or_(pc.less(stamp[:-1], stamp[1:]), pc.and_(same, pc.less_equal(one[:-1], one[1:])))
    if pc.all(rising, skip_nulls=False, min_count=0).as_py():
        return table
    return table.take(pc.sort_indices(table, sort_keys=[("_stamp", "ascending"), ("_id", "ascending")]))


def distinct(table: pa.Table) -> pa.Table:
    """The first row of each key, of a table in ``(stamp, id)`` order."""
    stamp, one = table["_stamp"].combine_chunks(), table["_id"].combine_chunks()
    same = pc.and_(pc.equal(stamp[:-1], stamp[1:]), pc.equal(one[:-1], one[1:]))
    if not pc.any(same, min_count=0).as_py():
        return table
    keys = table.select(KEY_COLUMNS).append_column("place", pa.array(range(table.num_rows), pa.int64()))
    first = keys.group_by(list(KEY_COLUMNS)).aggregate([("place", "min")])
    return table if first.num_rows == table.num_rows else table.take(first["place_min"].sort())


def without_landed(table: pa.Table, landed: pa.Table) -> pa.Table:
    """The rows whose key is not among the landed ones. Both sides are compared as whole columns, never row by row."""
    if not table.num_rows or not landed.num_rows:
        return table
    keys = table.select(KEY_COLUMNS).append_column("place", pa.array(range(table.num_rows), pa.int64()))
    left = keys.join(landed.select(KEY_COLUMNS), list(KEY_COLUMNS), join_type="left anti")
    return table if left.num_rows == table.num_rows else table.take(left["place"].sort())


def days_of(table: pa.Table) -> pa.ChunkedArray:
    """The UTC change day of each row."""
    return pc.cast(table["_stamp"].cast(pa.timestamp("us")), pa.date32(), safe=False)


def split_by_day(table: pa.Table) -> Iterator[tuple[date, pa.Table]]:
    """One table for each UTC change day, of a table in ``(stamp, id)`` order."""
    if not table.num_rows:
        return
    runs = pc.run_end_encode(days_of(table).combine_chunks())
    start = 0
    for day, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
        yield day, table.slice(start, end - start)
        start = end
