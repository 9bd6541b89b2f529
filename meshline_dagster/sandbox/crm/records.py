"""Versions of records, and the table that shows the current ones as of a moment.

A table knows every version, past and to come. Moving its moment forward reveals versions in the order of their stamps,
so the index of current rows stays sorted by appending; a row that has a newer version is skipped when it is met.
"""

import json
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cached_property
from typing import Any

__all__ = ["RecordTable", "Version", "instant_text", "stamp_of"]

_MILLISECONDS = 1000
_COMPACT_AT = 1024


def stamp_of(moment: datetime) -> int:
    """A moment as milliseconds since 1970, whole seconds only, as Salesforce stamps."""
    return int(moment.timestamp()) * _MILLISECONDS


def instant_text(stamp: int) -> str:
    """The wire form of a stamp: ``2026-05-01T07:25:37.000+0000``."""
    moment = datetime.fromtimestamp(stamp / _MILLISECONDS, tz=UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{stamp % _MILLISECONDS:03d}+0000"


@dataclass(frozen=True, eq=False)
class Version:
    """One version of one record; ``stamp`` in milliseconds, ``values`` by field, numbers as Decimal or int.

    A purged version shows nowhere but in the list of deletes.
    """

    id: str
    stamp: int
    values: Mapping[str, Any]
    purged: bool = False

    @cached_property
    def fragments(self) -> dict[str, str]:
        """Each field as JSON text, name and value; numbers with the digits they were given."""
        return {name: f"{json.dumps(name)}:{_encode(value)}" for name, value in self.values.items()}

    @property
    def deleted(self) -> bool:
        """Whether the record lies in the bin, or is gone for good."""
        return self.purged or bool(self.values.get("IsDeleted"))


class RecordTable:
    """The versions of one object, shown as of :meth:`reveal`'s moment."""

    def __init__(self, versions: list[Version]) -> None:
        self._timeline = sorted(versions, key=lambda version: (version.stamp, version.id))
        self._reset()

    def _reset(self) -> None:
        self._position = 0
        self._moment = 0
        self._current: dict[str, Version] = {}
        self._index: list[Version] = []
        self._deletes: list[Version] = []

    def __len__(self) -> int:
        return len(self._current)

    def reveal(self, moment: int) -> None:
        """Show the records as of ``moment`` (milliseconds); going back in time starts afresh."""
        if moment < self._moment:
            self._reset()
        self._moment = moment
        while self._position < len(self._timeline) and self._timeline[self._position].stamp <= moment:
            self._show(self._timeline[self._position])
            self._position += 1
        if len(self._index) > 2 * len(self._current) + _COMPACT_AT:
            self._index = [version for version in self._index if self._current.get(version.id) is version]

    def add(self, version: Version) -> None:
        """Add a version at the shown moment: it becomes the current one."""
        self._timeline.insert(self._position, version)
        self._position += 1
        self._show(version)

    def _show(self, version: Version) -> None:
        before = self._current.get(version.id)
        if version.deleted and not (before and before.deleted):
            self._deletes.append(version)
        self._current[version.id] = version
        self._index.append(version)

    def get(self, record_id: str) -> Version | None:
        """The current version of one record, as far as it has been revealed."""
        return self._current.get(record_id)

    def between(self, start: int | None, end: int | None) -> Iterator[Version]:
        """Current versions with ``start <= stamp <= end``, oldest first; None means no bound. Purged ones are left out."""
        first = 0 if start is None else bisect_left(self._index, start, key=_stamp)
        last = len(self._index) if end is None else bisect_right(self._index, end, key=_stamp)
        for place in range(first, last):
            version = self._index[place]
            if self._current.get(version.id) is version and not version.purged:
                yield version

    def deletes(self, start: int, end: int) -> list[Version]:
        """Deletions with ``start <= stamp < end``, of records that are still deleted."""
        first = bisect_left(self._deletes, start, key=_stamp)
        last = bisect_left(self._deletes, end, key=_stamp)
        return [version for version in self._deletes[first:last] if self._current[version.id].deleted]

    def all_versions(self) -> list[Version]:
        """Every version, revealed or not, oldest first."""
        return list(self._timeline)


def _stamp(version: Version) -> int:
    return version.stamp


def _encode(value: Any) -> str:
    if isinstance(value, Decimal):
        return format(value, "f")
    return json.dumps(value)
