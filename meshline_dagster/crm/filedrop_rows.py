"""Read one dropped file row by row; what cannot be read is a :class:`RejectedRow`, and the rest goes on."""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from meshline_dagster.crm.columns import convert
from meshline_dagster.crm.filedrop_layout import FileFormat, FileLayout
from meshline_dagster.crm.filedrop_notation import plain

__all__ = ["FileRow", "RejectedRow", "read_rows"]

_EXCERPT = 200


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A row that was left out, and why.

    Attributes:
        file: path or URL.
        line: line (text) or row (Parquet) number from 1; 0 when the whole file cannot be read.
        reason: what is wrong, naming the column.
        text: the beginning of the row, as far as it is text.
        id: the record's id, as far as it can be read.
    """

    file: str
    line: int
    reason: str
    text: str = ""
    id: str | None = None


@dataclass(frozen=True, slots=True)
class FileRow:
    """A row's values by column name, and its payload as JSON text."""

    values: Mapping[str, Any]
    payload: str


@dataclass(frozen=True, slots=True)
class _Raw:
    line: int
    values: Mapping[str, Any]
    payload: str
    text: str


class _BadRowError(Exception):
    def __init__(self, line: int, reason: str, text: str = "") -> None:
        super().__init__(reason)
        self.line, self.reason, self.text = line, reason, text


def read_rows(layout: FileLayout, file: str, data: bytes) -> Iterator[FileRow | RejectedRow]:
    """All rows of one file, in its order."""
    readers = {FileFormat.CSV: _csv, FileFormat.NDJSON: _ndjson, FileFormat.PARQUET: _parquet}
    try:
        for raw in readers[layout.format](layout, data):
            if isinstance(raw, _BadRowError):
                yield RejectedRow(file, raw.line, raw.reason, raw.text[:_EXCERPT])
                continue
            try:
                yield FileRow(_values(layout, raw.values), raw.payload)
            except ValueError as error:
                yield RejectedRow(file, raw.line, str(error), raw.text[:_EXCERPT], _id_of(layout, raw.values))
    except _BadRowError as error:
        yield RejectedRow(file, error.line, error.reason, error.text[:_EXCERPT])


def _values(layout: FileLayout, raw: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for column in layout.columns:
        value = raw.get(column.source_name)
        try:
            values[column.name] = convert(plain(layout, value, column.type), column.type)
        except ValueError as error:
            raise ValueError(f"column {column.source_name}: {error}") from error
    for name in (layout.id, layout.stamp):
        if name is not None and values[name] is None:
            raise ValueError(f"column {name} is empty: a record needs it")
    return values


def _id_of(layout: FileLayout, raw: Mapping[str, Any]) -> str | None:
    column = next(one for one in layout.columns if one.name == layout.id)
    try:
        value = convert(plain(layout, raw.get(column.source_name), column.type), column.type)
    except ValueError:
        return None
    return None if value is None else str(value)


def _lines(layout: FileLayout, data: bytes) -> Iterator[tuple[int, str] | _BadRowError]:
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        try:
            text = line.removesuffix(b"\r").decode(layout.encoding)
        except UnicodeDecodeError as error:
            yield _BadRowError(
                number, f"the line is no {layout.encoding} text: {error.reason} at byte {error.start}", repr(line)
            )
            continue
        yield number, text


def _csv(layout: FileLayout, data: bytes) -> Iterator[_Raw | _BadRowError]:
    header: list[str] | None = None
    for item in _csv_records(layout, data):
        if isinstance(item, _BadRowError):
            if header is None:
                raise _BadRowError(item.line, f"the header cannot be read: {item.reason}", item.text)
            yield item
            continue
        number, cells, text = item
        if header is None:
            header = [cell.strip() for cell in cells]
            _check_header(layout, header)
        elif len(cells) != len(header):
            yield _BadRowError(number, f"{len(cells)} values stand under {len(header)} columns", text)
        else:
            values = dict(zip(header, cells, strict=True))
            yield _Raw(number, values, json.dumps(values, ensure_ascii=False, separators=(",", ":")), text)
    if header is None:
        raise _BadRowError(0, "the file is empty: not even a header")


def _csv_records(layout: FileLayout, data: bytes) -> Iterator[tuple[int, list[str], str] | _BadRowError]:
    options: dict[str, Any] = {"delimiter": layout.delimiter, "quotechar": layout.quote, "strict": True}
    if layout.multiline:
        yield from _csv_multiline(layout, data, options)
        return
    for item in _lines(layout, data):
        if isinstance(item, _BadRowError):
            yield item
            continue
        number, text = item
        if not text.strip():
            continue
        try:
            yield number, next(csv.reader([text], **options)), text
        except csv.Error as error:
            yield _BadRowError(number, f"not a line of CSV: {error}", text)


def _csv_multiline(
    layout: FileLayout, data: bytes, options: dict[str, Any]
) -> Iterator[tuple[int, list[str], str] | _BadRowError]:
    try:
        text = data.removeprefix(b"\xef\xbb\xbf").decode(layout.encoding)
    except UnicodeDecodeError as error:
        raise _BadRowError(0, f"the file is no {layout.encoding} text: {error.reason} at byte {error.start}") from error
    reader = csv.reader(io.StringIO(text, newline=""), **options)
    while True:
        number = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield _BadRowError(number, f"not a record of CSV: {error}")
            continue
        if cells:
            yield number, cells, layout.delimiter.join(cells)


def _check_header(layout: FileLayout, header: list[str]) -> None:
    missing = [column.source_name for column in layout.columns if column.source_name not in header]
    twice = sorted({name for name in header if header.count(name) > 1})
    if missing or twice:
        reason = f"the header lacks {', '.join(missing)}" if missing else f"the header has {', '.join(twice)} twice"
        raise _BadRowError(0, f"{reason}; the file is left out as a whole", layout.delimiter.join(header))


def _ndjson(layout: FileLayout, data: bytes) -> Iterator[_Raw | _BadRowError]:
    for item in _lines(layout, data):
        if isinstance(item, _BadRowError):
            yield item
            continue
        number, text = item
        if not text.strip():
            continue
        try:
            record = json.loads(text, parse_float=Decimal)
        except ValueError as error:
            yield _BadRowError(number, f"not a line of JSON: {error}", text)
            continue
        if isinstance(record, dict):
            yield _Raw(number, record, text.strip(), text)
        else:
            yield _BadRowError(number, "the line is no JSON object", text)


def _parquet(layout: FileLayout, data: bytes) -> Iterator[_Raw | _BadRowError]:
    try:
        table = pq.read_table(io.BytesIO(data))
    except (pa.ArrowException, OSError) as error:
        raise _BadRowError(0, f"the file is no Parquet: {error}") from error
    _check_header(layout, table.column_names)
    number = 0
    for batch in table.to_batches():
        for record in batch.to_pylist():
            number += 1
            payload = json.dumps(record, ensure_ascii=False, separators=(",", ":"), default=str)
            yield _Raw(number, record, payload, payload)
