"""How the files of a drop folder are to be read: the declaration that stands for a source's ``describe``."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Self
from zoneinfo import ZoneInfo

from meshline_dagster.core.errors import ConfigError
from meshline_dagster.crm.protocol import FieldSpec, FieldType

__all__ = ["FileColumn", "FileFormat", "FileLayout"]

_UTC = ZoneInfo("UTC")


class FileFormat(StrEnum):
    """The kinds of files that are understood."""

    CSV = "csv"
    NDJSON = "ndjson"
    PARQUET = "parquet"


@dataclass(frozen=True, slots=True)
class FileColumn:
    """One declared column; ``header`` is what the files call it, where that is another name."""

    name: str
    type: FieldType
    header: str | None = None

    @property
    def source_name(self) -> str:
        """The column's name in the files."""
        return self.header or self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class FileLayout:
    """The files of one object.

    Attributes:
        columns: what is read; other columns of the files stay in the payload only.
        id: the column that names the record.
        stamp: the column that says when the record changed, a timestamp; None: the time at which the file arrived.
        deleted: the boolean column that says a record is gone.
        pattern: which files of the folder, as a glob.
        encoding: of text files; one in which a line feed is one byte.
        delimiter, quote: of CSV.
        multiline: whether a quoted CSV value may hold line breaks; a stray quote can then swallow the lines behind it.
        decimal, thousands: the marks in numbers; a minus may stand before or behind.
        date_format, timestamp_format: as ``datetime.strptime`` takes them; None: ISO 8601.
        time_zone: of timestamps that name none.
        nulls: texts that mean "no value".
        no_flag: the text of a boolean column that means false, where a mark means true; None: ``false`` and ``0`` only.
    """

    format: FileFormat
    columns: tuple[FileColumn, ...]
    id: str
    stamp: str | None = None
    deleted: str | None = None
    pattern: str
    encoding: str = "utf-8"
    delimiter: str = ","
    quote: str = '"'
    multiline: bool = False
    decimal: str = "."
    thousands: str = ""
    date_format: str | None = None
    timestamp_format: str | None = None
    time_zone: ZoneInfo = _UTC
    nulls: frozenset[str] = frozenset({""})
    no_flag: str | None = None

    def __post_init__(self) -> None:
        types = {column.name: column.type for column in self.columns}
        wanted = {self.id: None, self.stamp: FieldType.TIMESTAMP, self.deleted: FieldType.BOOLEAN}
        for name, kind in wanted.items():
            if name is not None and (name not in types or kind not in {None, types[name]}):
                raise ConfigError(f"column {name} must be declared" + (f" as {kind.value}" if kind else ""))
        if len(types) != len(self.columns):
            raise ConfigError("two columns have one name; rename one of them and give it its header")
        if self._line_feed() != b"\n":
            raise ConfigError(f"encoding {self.encoding} cannot be read line by line; convert the files to UTF-8")

    def _line_feed(self) -> bytes:
        try:
            return "\n".encode(self.encoding)
        except LookupError as error:
            raise ConfigError(
                f"there is no encoding {self.encoding}; use a name that Python knows, e.g. cp1252"
            ) from error

    @classmethod
    def sap(
        cls,
        columns: Sequence[FileColumn],
        *,
        id: str,  # noqa: A002 - the attribute's name
        stamp: str | None = None,
        deleted: str | None = None,
        pattern: str = "*.csv",
        encoding: str = "cp1252",
        time_zone: ZoneInfo = _UTC,
    ) -> Self:
        """CSV as SAP downloads it: semicolons, decimal comma, dots between thousands, ``31.12.2026``, ``X`` or nothing for a flag."""
        return cls(
            format=FileFormat.CSV,
            columns=tuple(columns),
            id=id,
            stamp=stamp,
            deleted=deleted,
            pattern=pattern,
            encoding=encoding,
            delimiter=";",
            decimal=",",
            thousands=".",
            date_format="%d.%m.%Y",
            timestamp_format="%d.%m.%Y %H:%M:%S",
            time_zone=time_zone,
            no_flag="",
        )

    def specs(self) -> tuple[FieldSpec, ...]:
        """The declared columns as a feed's fields, sorted by name."""
        specs = [
            FieldSpec(column.name, column.type, self.format.value, column.name != self.id) for column in self.columns
        ]
        return tuple(sorted(specs, key=lambda spec: spec.name))
