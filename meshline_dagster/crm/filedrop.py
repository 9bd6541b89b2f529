"""A folder of dropped files as the change feed of one object.

Rows that cannot be read never stop the rest: they are kept in :attr:`FileDropFeed.rejected` with file, line and reason, for the
caller to make exceptions of.
"""

from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime
from typing import Any

import fsspec
import pyarrow as pa

from meshline_dagster.core.cursors import Window
from meshline_dagster.core.errors import ConfigError, TransientError
from meshline_dagster.crm.columns import table_schema
from meshline_dagster.crm.filedrop_layout import FileLayout
from meshline_dagster.crm.filedrop_rows import FileRow, RejectedRow, read_rows
from meshline_dagster.crm.protocol import FeedProblem, FeedSchema, Peek

__all__ = ["FileDropFeed"]

_ROWS_PER_TABLE = 20_000


class FileDropFeed:
    """The files of one folder; a :class:`~meshline_dagster.crm.protocol.Feed`.

    A file is read when it arrives, whatever its rows say of their changes: an export of the night brings changes of the day. Where rows
    carry their own stamps, they are filed under these. Write files under a name that the pattern does not match and rename them when
    they are complete.

    Args:
        folder: local path or fsspec URL.
        object_name: names the object in the feed's name.
        layout: how the files are read.
        instance: names the drop in the feed's name.
        clock: the present, UTC; a folder has no clock of its own.
        storage_options: passed to fsspec.
    """

    def __init__(
        self,
        folder: str,
        object_name: str,
        layout: FileLayout,
        *,
        instance: str = "filedrop",
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        storage_options: dict[str, Any] | None = None,
    ) -> None:
        self._files, self._root = fsspec.core.url_to_fs(folder, **(storage_options or {}))
        self._folder = folder
        self._object = object_name
        self._layout = layout
        self._clock = clock
        self._rejected: dict[tuple[str, int], RejectedRow] = {}
        self._of_record: dict[str, list[tuple[str, int]]] = {}
        self._read: set[str] = set()
        self.name = f"{instance}/{object_name}".lower()

    @property
    def rejected(self) -> tuple[RejectedRow, ...]:
        """What the last read left out. Rows without a readable stamp are rejected by every read that meets them, until a later row of the
        same record can be read.
        """
        return tuple(self._rejected.values())

    def problems(self) -> list[FeedProblem]:
        """The rows that the last read left out."""
        return [
            FeedProblem(
                key=f"{row.file}:{row.line}",
                detail=f"{row.file}, line {row.line}: {row.reason}",
                fix="Correct the row and drop it in a new file, or correct the declared columns. A later row of the same record settles this, "
                "and so does the same file with that line corrected; otherwise `meshline exceptions resolve KEY --reason TEXT`.",
                record=row.id,
            )
            for row in self.rejected
        ]

    def settled(self, names: Collection[str]) -> set[str]:
        """Lines that are no problem any more in the files that were read."""
        standing = {one.name for one in self.problems()}
        return {name for name in set(names) - standing if any(_is_about(name, path) for path in self._read)}

    def now(self) -> datetime:
        """The present, UTC."""
        return self._clock().astimezone(UTC)

    def describe(self) -> FeedSchema:
        """The declared columns."""
        return FeedSchema(self._object, self._layout.specs())

    def peek(self, since: datetime | None) -> Peek:
        """Tell whether a file, or a row that carries its own stamp, lies at or after ``since``."""
        stamps = [stamp for stamp in self._stamps() if since is None or stamp >= since]
        newest = max(stamps, default=None)
        return Peek(changed=bool(stamps), hint=f"{newest.isoformat() if newest else ''}/{len(stamps)}")

    def read(self, window: Window) -> Iterator[pa.Table]:
        """All rows of the window, file by file, oldest file first; also earlier rows of files that arrived in it.

        Raises:
            ConfigError: the folder does not exist.
            TransientError: a file cannot be read now.
        """
        self._rejected, self._of_record, self._read = {}, {}, set()
        waiting: list[dict[str, Any]] = []
        for row in self._rows(window):
            waiting.append(row)
            if len(waiting) >= _ROWS_PER_TABLE:
                yield self._table(waiting)
                waiting = []
        if waiting:
            yield self._table(waiting)

    def _table(self, rows: list[dict[str, Any]]) -> pa.Table:
        rows.sort(key=lambda row: (row["_stamp"], row["_id"]))
        return pa.Table.from_pylist(rows, schema=table_schema(self._layout.specs()))

    def _rows(self, window: Window) -> Iterator[dict[str, Any]]:
        layout = self._layout
        for arrival, path in self._listing():
            arrived = window.start <= arrival < window.end
            if layout.stamp is None and not arrived:
                continue
            self._read.add(path)
            for row in read_rows(layout, path, self._bytes(path)):
                if isinstance(row, RejectedRow):
                    self._reject(row)
                    continue
                self._heal(str(row.values[layout.id]))
                stamp = arrival if layout.stamp is None else row.values[layout.stamp]
                if stamp < window.end and (arrived or window.start <= stamp):
                    yield self._row(row, stamp)

    def _reject(self, row: RejectedRow) -> None:
        place = row.file, row.line
        self._rejected[place] = row
        if row.id is not None:
            self._of_record.setdefault(row.id, []).append(place)

    def _heal(self, record: str) -> None:
        """A row that can be read takes the place of earlier ones of its record that could not: files come in the order of their arrival."""
        for place in self._of_record.pop(record, ()):
            del self._rejected[place]

    def _row(self, row: FileRow, stamp: datetime) -> dict[str, Any]:
        deleted = bool(self._layout.deleted and row.values[self._layout.deleted])
        one = str(row.values[self._layout.id])
        return {"_id": one, "_stamp": stamp, "_deleted": deleted, "_payload": row.payload, **row.values}

    def _stamps(self) -> Iterator[datetime]:
        column = self._layout.stamp
        for arrival, path in self._listing():
            yield arrival
            if column is None:
                continue
            for row in read_rows(self._layout, path, self._bytes(path)):
                if isinstance(row, FileRow):
                    yield row.values[column]

    def _listing(self) -> list[tuple[datetime, str]]:
        """Time of arrival and path of every matching file, oldest first."""
        self._files.invalidate_cache()
        if not self._files.isdir(self._root):
            raise ConfigError(
                f"{self.name}: there is no folder {self._folder}; create it, or correct the feed's address"
            )
        paths = self._files.glob(f"{self._root.rstrip('/')}/{self._layout.pattern}")
        return sorted((self._arrived(path), path) for path in paths)

    def _arrived(self, path: str) -> datetime:
        """When a file came to lie here. In a local folder a rename counts, and a copy that keeps the time of the last change."""
        modified = _utc(self._files.modified(path))
        if "file" not in self._files.protocol:
            return modified
        return max(modified, datetime.fromtimestamp(self._files.info(path)["created"], UTC))

    def _bytes(self, path: str) -> bytes:
        try:
            data: bytes = self._files.cat_file(path)
        except OSError as error:
            raise TransientError(f"{self.name}: {path} cannot be read now ({error})") from error
        return data


def _is_about(name: str, path: str) -> bool:
    """Whether a problem's name, ``[record:]path:line``, is about a line of this file."""
    return f":{name}".rpartition(":")[0].endswith(f":{path}")


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
