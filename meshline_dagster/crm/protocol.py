"""The feed protocol: one object's change stream on one CRM instance.

A feed knows how to ask its source; it never stores anything. Leases, watermarks and landing belong to the poll.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol, runtime_checkable

import pyarrow as pa

from meshline_dagster.core.cursors import Window
from meshline_dagster.core.identity import canonical_json, sha256_hex

__all__ = ["Feed", "FeedProblem", "FeedSchema", "FieldSpec", "FieldType", "Peek", "ReadsAgain", "ReportsProblems"]


class FieldType(StrEnum):
    """Column types of the landing zone. Money and other exact numbers are ``DECIMAL`` (38, 9), never float."""

    STRING = "string"
    BOOLEAN = "boolean"
    INTEGER = "integer"
    DECIMAL = "decimal"
    DATE = "date"
    TIMESTAMP = "timestamp"


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """One field as the source describes it.

    Attributes:
        name: the source's own name, also the landed column's name.
        type: the landed column's type.
        source_type: the source's word for it, e.g. ``currency``.
        picklist: the active values of an enumeration, sorted; empty otherwise.
    """

    name: str
    type: FieldType
    source_type: str
    nullable: bool = True
    length: int = 0
    precision: int = 0
    scale: int = 0
    picklist: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FeedSchema:
    """What the source said about an object's fields, sorted by name."""

    object_name: str
    fields: tuple[FieldSpec, ...]

    def as_json(self) -> dict[str, object]:
        """Plain JSON, the form that is stored and hashed."""
        return {
            "object": self.object_name,
            "fields": [
                {
                    "name": spec.name,
                    "type": spec.type.value,
                    "source_type": spec.source_type,
                    "nullable": spec.nullable,
                    "length": spec.length,
                    "precision": spec.precision,
                    "scale": spec.scale,
                    "picklist": list(spec.picklist),
                }
                for spec in self.fields
            ],
        }

    @property
    def hash(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 over the canonical JSON."""
        return sha256_hex(canonical_json(self.as_json()))[:16]


@dataclass(frozen=True, slots=True)
class Peek:
    """What a sensor learns in one cheap request.

    Attributes:
        changed: whether anything lies at or after the watermark, or a poll is due although nothing does.
        hint: a short text that changes when the source changes, e.g. ``<newest stamp>/<rows since>``.
    """

    changed: bool
    hint: str


@dataclass(frozen=True, slots=True)
class FeedProblem:
    """Something that the last read had to leave out, for a person to decide on.

    Attributes:
        key: what it is about; the same problem has the same key in every read.
        record: the id of the record, where it can be read: a later row of it settles the problem.
        of_history: it concerns what was before the first poll, which may do without it.
    """

    key: str
    detail: str
    fix: str
    of_history: bool = False
    record: str | None = None

    @property
    def name(self) -> str:
        """Record and key in one text."""
        return self.key if self.record is None else f"{self.record}:{self.key}"


@runtime_checkable
class ReportsProblems(Protocol):
    """A feed that can leave something out. Others must fail instead."""

    def problems(self) -> Sequence[FeedProblem]:
        """What the last read left out."""
        ...

    def settled(self, names: Collection[str]) -> set[str]:
        """Of the problems with these names, left by earlier reads, those that the last read looked for and did not find any more."""
        ...


@runtime_checkable
class ReadsAgain(Protocol):
    """A feed whose source shows some changes late: a poll reads each stamp once near the present, and again as it ages."""

    @property
    def again_after(self) -> Sequence[timedelta]:
        """How old a stamp is when it is read once more, shortest first."""
        ...


@runtime_checkable
class Feed(Protocol):
    """One object's change stream.

    ``read`` yields Arrow tables with these columns first: ``_id`` string, ``_stamp`` timestamp[us, UTC], ``_deleted``
    bool, ``_payload`` string (the record's JSON text as received); then one typed column for each field in the order of
    ``describe()``. Rows come in ``(stamp, id)`` order within a table; a row may be repeated; none of the window may be missing.

    Errors of all methods: ``AuthError`` (refused even after one refresh), ``QuotaExhaustedError`` (a daily limit:
    stop cleanly), ``RateLimitedError`` and ``TransientError`` (after bounded retries), ``SourceError`` (protocol broken).
    """

    @property
    def name(self) -> str:
        """``<instance>/<object>``, lower case, e.g. ``salesforce/opportunity``: names the folder, the asset, the lease."""
        ...

    def now(self) -> datetime:
        """The source's present, UTC: windows are cut by the source's clock, not by ours."""
        ...

    def describe(self) -> FeedSchema:
        """The fields that can be read now."""
        ...

    def peek(self, since: datetime | None) -> Peek:
        """Tell whether anything changed at or after ``since`` (None: ever) in at most a request or two."""
        ...

    def read(self, window: Window) -> Iterator[pa.Table]:
        """All versions that the source still has with ``window.start <= stamp < window.end``."""
        ...
