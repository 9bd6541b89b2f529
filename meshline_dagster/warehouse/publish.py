"""Published marts: Parquet files that anybody may read while builds go on.

A publication is a folder that is complete before a pointer names it; the pointer is replaced atomically, so a reader gets the
files of one publication, never a mix. The last builds' folders stay for readers that hold an older pointer.
"""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import duckdb

from meshline_dagster.core.errors import ConfigError

__all__ = ["DERIVED", "RECONCILED", "Published", "publish", "published"]

_POINTER = "current.json"
_KEPT_BUILDS = 3

_TOUCHED = "SELECT entity_key, document_kind, by_replay FROM intermediate.int_touched_entities"

_QUERIES: Mapping[str, str] = MappingProxyType(
    {
        "outbox": f"SELECT * FROM marts.outbox SEMI JOIN ({_TOUCHED}) AS touched USING (entity_key)"
        " ORDER BY event_time, event_id",
        "touched": f"{_TOUCHED} ORDER BY entity_key",
        "events": "SELECT events.*, dispositions.disposition, dispositions.reasons, dispositions.hold_until"
        " FROM marts.canonical_events AS events"
        " INNER JOIN marts.event_dispositions AS dispositions ON events.id = dispositions.event_id"
        " ORDER BY events.entity_key, events.position",
        "catalog": "SELECT DISTINCT product_code FROM intermediate.int_product_versions WHERE product_code IS NOT NULL"
        " ORDER BY product_code",
        "exceptions": "SELECT * FROM marts.fct_exceptions ORDER BY opened_at, trace_key",
        "held": "SELECT entity_key FROM marts.event_dispositions GROUP BY entity_key"
        " HAVING max_by(disposition, position) = 'hold' ORDER BY entity_key",
        "reconciliation": "SELECT * FROM marts.fct_reconciliation ORDER BY entity_key, erp_id",
        "billing": "SELECT * FROM marts.fct_billing ORDER BY billing_id",
        "status": "SELECT * FROM marts.rpt_status ORDER BY currency NULLS FIRST",
    }
)

DERIVED = ("outbox", "touched", "events", "catalog", "exceptions", "held")
"""What the models tagged ``derive`` make. ``outbox`` and ``touched`` cover the entities of this build only, the others all; ``catalog`` has
every product code that the source ever had, ``held`` the orders whose newest state waits for something that is to arrive by itself.
"""

RECONCILED = ("reconciliation", "billing", "status")
"""What the models tagged ``reconcile`` make."""


@dataclass(frozen=True, slots=True)
class Published:
    """One consistent set of files.

    Attributes:
        build_id: the build that published last.
        folder: where its files are.
        rows: file name (without ending) -> how many rows it has.
    """

    build_id: str
    folder: Path
    rows: Mapping[str, int]

    def path(self, name: str) -> Path:
        """The Parquet file of one mart.

        Raises:
            ConfigError: that mart has not been published yet.
        """
        if name not in self.rows:
            raise ConfigError(
                f"{name} has not been published yet: materialise the warehouse assets first", at=str(self.folder)
            )
        return self.folder / f"{name}.parquet"


def published(root: Path) -> Published | None:
    """The newest publication under ``root``; None before the first."""
    pointer = _read_pointer(root)
    if pointer is None:
        return None
    return Published(pointer["build_id"], root / pointer["history"][-1][1], pointer["rows"])


def publish(
    connection: duckdb.DuckDBPyConnection, root: Path, *, build_id: str, names: Sequence[str] = DERIVED
) -> Published:
    """Write the named marts to a new folder, take the others over from the newest publication, and swap the pointer.

    The caller holds the warehouse, so there is one publisher at a time. A crash leaves the pointer as it was, and a folder
    without a pointer, which the next publication removes.
    """
    root.mkdir(parents=True, exist_ok=True)
    pointer = _read_pointer(root)
    history: list[list[str]] = pointer["history"] if pointer else []
    _remove_unlisted(root, history)
    folder = _new_folder(root, build_id)
    rows = _take_over(root, pointer, folder, except_for=names)
    for name in names:
        rows[name] = _export(connection, _QUERIES[name], folder / f"{name}.parquet")
    _sync(folder)
    history = _recent([*history, [build_id, folder.name]])
    _write_pointer(root, {"build_id": build_id, "history": history, "rows": rows})
    _remove_unlisted(root, history)
    return Published(build_id, folder, rows)


def _new_folder(root: Path, build_id: str) -> Path:
    """``<build_id>``, or ``<build_id>.2`` and so on when the build publishes again."""
    folder, turn = root / build_id, 1
    while folder.exists():
        turn += 1
        folder = root / f"{build_id}.{turn}"
    folder.mkdir()
    return folder


def _take_over(
    root: Path, pointer: dict[str, Any] | None, folder: Path, *, except_for: Sequence[str]
) -> dict[str, int]:
    current = published(root) if pointer else None
    if current is None:
        return {}
    rows = {name: count for name, count in current.rows.items() if name not in except_for}
    for name in rows:
        os.link(current.path(name), folder / f"{name}.parquet")
    return rows


def _export(connection: duckdb.DuckDBPyConnection, query: str, path: Path) -> int:
    target = str(path).replace("'", "''")
    ((count,),) = connection.execute(f"COPY ({query}) TO '{target}' (FORMAT parquet)").fetchall()
    _sync(path)
    return int(count)


def _recent(history: list[list[str]]) -> list[list[str]]:
    """The folders of the last builds, in order of publication."""
    builds = list(dict.fromkeys(build_id for build_id, _ in reversed(history)))[:_KEPT_BUILDS]
    return [entry for entry in history if entry[0] in builds]


def _read_pointer(root: Path) -> dict[str, Any] | None:
    try:
        content: dict[str, Any] = json.loads((root / _POINTER).read_text())
    except FileNotFoundError:
        return None
    return content


def _write_pointer(root: Path, content: dict[str, Any]) -> None:
    temporary = root / f"{_POINTER}.new"
    temporary.write_text(json.dumps(content, indent=1))
    _sync(temporary)
    temporary.replace(root / _POINTER)
    _sync(root)


def _remove_unlisted(root: Path, history: list[list[str]]) -> None:
    listed = {name for _, name in history}
    for folder in root.iterdir():
        if folder.is_dir() and folder.name not in listed:
            shutil.rmtree(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
