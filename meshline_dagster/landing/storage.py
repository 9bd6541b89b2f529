"""Files of the landing zone on a local folder or behind an fsspec URL.

A file gets a name that nobody used before and is complete and durable before the manifest lists it, so no rename is needed:
what is not listed does not exist.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from fsspec.core import url_to_fs
from pyarrow.fs import FSSpecHandler, PyFileSystem

__all__ = ["Storage"]

_SAMPLE = 1_000


@dataclass(frozen=True, slots=True)
class Storage:
    """One root under which files are named by relative paths with forward slashes."""

    root: str
    fs: fsspec.AbstractFileSystem
    protocol: str

    @classmethod
    def at(cls, location: str) -> "Storage":
        """A local folder, which is created, or an fsspec URL such as ``s3://bucket/prefix`` or ``memory://landing``."""
        if "://" not in location:
            Path(location).mkdir(parents=True, exist_ok=True)
            location = str(Path(location).resolve())
        fs, root = url_to_fs(location)
        protocol = fs.protocol if isinstance(fs.protocol, str) else fs.protocol[0]
        return cls(root.rstrip("/"), fs, protocol)

    @property
    def is_local(self) -> bool:
        """True for a folder of this machine."""
        return self.protocol in {"file", "local"}

    @property
    def filesystem(self) -> Any:
        """What DuckDB needs to be told of to read :meth:`absolute` paths; None for a local folder."""
        return None if self.is_local else self.fs

    def absolute(self, path: str) -> str:
        """The full name of a file, as DuckDB and Arrow read it."""
        full = f"{self.root}/{path}"
        return full if self.is_local else f"{self.protocol}://{full.lstrip('/')}"

    def write(self, path: str, table: pa.Table) -> int:
        """Write a new file durably; returns its size in bytes."""
        full = f"{self.root}/{path}"
        self.fs.makedirs(full.rsplit("/", 1)[0], exist_ok=True)
        options = _options(table)
        if not self.is_local:
            pq.write_table(table, full, filesystem=self._arrow(), **options)
            return int(self.fs.size(full))
        pq.write_table(table, full, **options)
        _sync(full)
        _sync(full.rsplit("/", 1)[0])
        return Path(full).stat().st_size

    def read(self, paths: Sequence[str], columns: Sequence[str]) -> pa.Table:
        """Some columns of files that all have them."""
        full = [f"{self.root}/{path}" for path in paths]
        return ds.dataset(full, format="parquet", filesystem=self._arrow()).to_table(columns=list(columns))

    def read_all(self, paths: Sequence[str]) -> pa.Table:
        """All columns of files whose schemas may differ: a column that a file lacks is null."""
        tables = [pq.read_table(f"{self.root}/{path}", filesystem=self._arrow(), partitioning=None) for path in paths]
        return pa.concat_tables(tables, promote_options="permissive")

    def remove(self, paths: Iterable[str]) -> int:
        """Remove files, those already gone included; returns how many were there."""
        gone = 0
        for path in paths:
            full = f"{self.root}/{path}"
            if self.fs.exists(full):
                self.fs.rm_file(full)
                gone += 1
        return gone

    def files(self, folder: str) -> dict[str, datetime]:
        """Relative paths of all Parquet files below a folder, with the time of their last change (UTC)."""
        start = f"{self.root}/{folder}"
        if not self.fs.exists(start):
            return {}
        found = self.fs.find(start, detail=True)
        root = self.fs._strip_protocol(self.root)  # noqa: SLF001 - fsspec's own way to compare names
        return {
            name[len(root) :].lstrip("/"): _modified(info) for name, info in found.items() if name.endswith(".parquet")
        }

    def _arrow(self) -> Any:
        return None if self.is_local else PyFileSystem(FSSpecHandler(self.fs))


def _options(table: pa.Table) -> dict[str, Any]:
    """How a table is written. A dictionary of values that hardly repeat, and the least and greatest of texts, cost time and space
    and help no reader.
    """
    sample = table.slice(0, _SAMPLE)
    return {
        "compression": "zstd",
        "use_dictionary": [
            name for name in sample.column_names if 2 * pc.count_distinct(sample[name]).as_py() <= len(sample)
        ],
        "write_statistics": [field.name for field in table.schema if not pa.types.is_string(field.type)],
    }


def _modified(info: dict[str, Any]) -> datetime:
    """Stores name it differently; one that does not tell counts as just changed."""
    for name in ("mtime", "LastModified", "last_modified", "updated", "created"):
        value = info.get(name)
        if isinstance(value, (int, float)):
            return datetime.fromtimestamp(value, UTC)
        if isinstance(value, datetime):
            return value if value.tzinfo else value.replace(tzinfo=UTC)
    return datetime.now(UTC)


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
