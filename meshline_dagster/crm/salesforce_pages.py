"""Cut a Salesforce query answer into its records without parsing them.

Every record begins with its ``attributes`` object. Inside a JSON string a quote is always escaped, so the unescaped
marker occurs nowhere else and plain splitting is safe; the digits of every number stay as they were received.
"""

import json
import re
from array import array
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from meshline_dagster.core.errors import SourceError

__all__ = ["Page", "parse_page"]

_MARKER = b'{"attributes":{'
_FIRST = re.compile(rb'\{\s*"attributes"\s*:\s*\{')
# What stands between the fields of two records: as Salesforce writes it, up to the next record's attributes; and with white
# space anywhere, up to its first field.
_BETWEEN = b"}," + _MARKER
_SPACED_BETWEEN = re.compile(rb'\}\s*,\s*\{\s*"attributes"\s*:\s*\{[^}]*\}\s*,\s*')
_LOCATOR_ROOT = "/services/data/"


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a query's answer. What following the query needs is read; the records are cut when they are asked for.

    Attributes:
        total: how many rows the whole query has.
        next_path: where the next page is, or None on the last.
        body: the answer as received.
        start: where the first record begins in it.
        end: where the last one ends.
        count: how many records they are.
        last_record: the last of them, parsed; None on a page without records.
    """

    total: int
    next_path: str | None
    body: bytes
    start: int
    end: int
    count: int
    last_record: dict[str, Any] | None

    def records(self) -> pa.Array:
        """Each record's JSON text without ``attributes``, in the order received.

        Raises:
            SourceError: no record can be cut out of it, though some begin there.
        """
        if not self.count:
            return pa.array([], pa.string())
        bodies = self._bodies()
        if not len(bodies):
            raise SourceError(f"{self.count} records that hold no field: {self.body[self.start :][:200]!r}")
        # Not checked to be UTF-8 here: whoever decodes it names the record that is none.
        return pc.binary_join_element_wise(b"{", bodies, b"}", b"").view(pa.string())

    def _bodies(self) -> pa.Array:
        """What stands between the braces of each record, without ``attributes``. Arrow cuts outside of the interpreter, which meanwhile
        reads the next page.
        """
        ends = array("i", (self.start + 1, self.end - 1))
        between = pa.Array.from_buffers(pa.binary(), 1, [None, pa.py_buffer(ends), pa.py_buffer(self.body)])
        pieces = pc.split_pattern(between, _BETWEEN).values
        if len(pieces) != self.count:
            spaced = _SPACED_BETWEEN.split(b"}," + self.body[self.start : self.end - 1])[1:]
            return pa.array(spaced, pa.binary())
        halves = pc.split_pattern(pieces, b"},", max_splits=1)
        if len(halves.values) != 2 * self.count:  # a record of nothing but attributes
            return pa.array([piece.partition(b"},")[2] for piece in pieces.to_pylist()], pa.binary())
        return pc.list_element(halves, 1)

    def last_stamp(self) -> datetime | None:
        """Stamp of the last record; None on a page without records."""
        return _key(self.last_record)[0] if self.last_record is not None else None

    def ids(self) -> list[str]:
        """The ids of all records, in the order received."""
        return [_key(json.loads(text))[1] for text in self.records().to_pylist()]


def parse_page(body: bytes) -> Page:
    """Read the answer of ``query`` or ``queryAll``.

    Raises:
        SourceError: it is no query answer. An empty body is an error too: it must not be taken for "no rows".
    """
    try:
        start, end, last_record = _span(body)
        envelope = json.loads(body[:start] + body[end:])
        total, done, next_path = int(envelope["totalSize"]), envelope["done"], envelope.get("nextRecordsUrl")
        consistent = envelope["records"] == [] and done == (next_path is None)
    except (ValueError, KeyError, TypeError) as error:
        raise SourceError(f"the answer to a query is no page of records: {body[:200]!r}") from error
    if not consistent:
        raise SourceError(f"a page says done={done} but its nextRecordsUrl is {next_path!r}: {body[:200]!r}")
    if next_path is not None and not next_path.startswith(_LOCATOR_ROOT):
        raise SourceError(f"nextRecordsUrl leaves {_LOCATOR_ROOT}: {next_path!r}; nothing is sent there")
    count = body.count(_MARKER) or len(_FIRST.findall(body))
    return Page(total, next_path, body, start, end, count, last_record)


def _span(body: bytes) -> tuple[int, int, dict[str, Any] | None]:
    """Where the first record begins, where the last one ends, and what the last one says."""
    first = _FIRST.search(body)
    if first is None:
        return 0, 0, None
    begin = body.rfind(_MARKER)
    if begin < 0:
        *_, last = _FIRST.finditer(body)
        begin = last.start()
    text = body[begin:].decode()
    record, length = json.JSONDecoder().raw_decode(text)
    return first.start(), begin + len(text[:length].encode()), record


def _key(record: dict[str, Any]) -> tuple[datetime, str]:
    try:
        return datetime.fromisoformat(record["SystemModstamp"]), record["Id"]
    except (ValueError, KeyError, TypeError) as error:
        raise SourceError(f"a record without Id or SystemModstamp: {str(record)[:200]}") from error
