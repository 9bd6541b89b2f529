"""The file drop holds the conformance suite, as far as a folder can: once for each kind of file."""

import csv
import io
import itertools
import json
import os
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from meshline_dagster.crm.filedrop import FileDropFeed
from meshline_dagster.crm.filedrop_layout import FileColumn, FileFormat, FileLayout
from meshline_dagster.crm.protocol import FieldType
from meshline_dagster.testing.feed_conformance import FeedConformance

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
COLUMNS = (
    FileColumn("id", FieldType.STRING),
    FileColumn("changed", FieldType.TIMESTAMP),
    FileColumn("amount", FieldType.DECIMAL),
    FileColumn("day", FieldType.DATE),
    FileColumn("gone", FieldType.BOOLEAN),
)


def _layout(file_format, stamp):
    pattern = f"*.{file_format}"
    return FileLayout(format=file_format, columns=COLUMNS, id="id", stamp=stamp, deleted="gone", pattern=pattern)


class _Drop(FileDropFeed):
    """Files arrive by the control's clock."""

    def _arrived(self, path):
        return self._files.modified(path)


class FolderControl:
    can = frozenset({"delete"})
    page_size = 5
    decimal_field = "amount"
    date_field = "day"

    def __init__(self, folder, layout):
        self._folder = folder
        self._layout = layout
        self._now = NOW
        self._numbers = itertools.count(1)

    def feed(self):
        return _Drop(str(self._folder), "Deal", self._layout, clock=lambda: self._now)

    def put(self, records):
        rows = [{"id": f"D{next(self._numbers)}", "changed": self._now, "gone": False, **record} for record in records]
        self._write([{column.name: row.get(column.name) for column in COLUMNS} for row in rows])
        return [row["id"] for row in rows]

    def advance(self, seconds):
        self._now += timedelta(seconds=seconds)

    def delete(self, record_id):
        self.put([{"id": record_id, "gone": True}])

    def _write(self, rows):
        path = self._folder / f"part-{next(self._numbers)}.{self._layout.format}"
        path.write_bytes({"csv": _csv, "ndjson": _ndjson, "parquet": _parquet, "sap": _sap}[self._notation](rows))
        os.utime(path, (self._now.timestamp(), self._now.timestamp()))

    @property
    def _notation(self):
        return "sap" if self._layout.delimiter == ";" else self._layout.format.value


def _csv(rows):
    file = io.StringIO()
    writer = csv.DictWriter(file, [column.name for column in COLUMNS])
    writer.writeheader()
    writer.writerows(row | {"changed": row["changed"].isoformat()} for row in rows)
    return file.getvalue().encode()


def _sap(rows):
    lines = ["id;changed;amount;day;gone"]
    for row in rows:
        amount = "" if row["amount"] is None else f"{Decimal(row['amount']):,f}".translate(str.maketrans(",.", ".,"))
        day = "" if row["day"] is None else ".".join(reversed(row["day"].split("-")))
        changed = row["changed"].strftime("%d.%m.%Y %H:%M:%S")
        lines.append(
            f"{row['id']};{changed};{amount.removeprefix('-') + '-' * amount.startswith('-')};{day};{row['gone']}"
        )
    return "\r\n".join(lines).encode("cp1252")


def _ndjson(rows):
    lines = []
    for row in rows:
        amount = row["amount"] or "null"
        rest = json.dumps({name: row[name] for name in ("id", "day", "gone")} | {"changed": row["changed"].isoformat()})
        lines.append(f'{rest[:-1]}, "amount": {amount}}}')
    return "\n".join(lines).encode()


def _parquet(rows):
    values = [
        row
        | {
            "amount": None if row["amount"] is None else Decimal(row["amount"]),
            "day": None if row["day"] is None else datetime.fromisoformat(row["day"]).date(),
        }
        for row in rows
    ]
    types = {
        "id": pa.string(),
        "changed": pa.timestamp("us", tz="UTC"),
        "amount": pa.decimal128(38, 18),
        "day": pa.date32(),
    }
    schema = pa.schema([(column.name, types.get(column.name, pa.bool_())) for column in COLUMNS])
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(values, schema=schema), file)
    return file.getvalue()


LAYOUTS = {
    "csv": _layout(FileFormat.CSV, "changed"),
    "ndjson": _layout(FileFormat.NDJSON, "changed"),
    "parquet": _layout(FileFormat.PARQUET, "changed"),
    "sap": FileLayout.sap(COLUMNS, id="id", stamp="changed", deleted="gone"),
    "csv stamped by its file": _layout(FileFormat.CSV, None),
}


class TestFileDropFeed(FeedConformance):
    @pytest.fixture(params=LAYOUTS)
    def control(self, request, tmp_path):
        return FolderControl(tmp_path, LAYOUTS[request.param])
