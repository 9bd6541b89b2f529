"""What dbt sends to DuckDB in a build, recorded once and sent again without dbt: a hundred builds in the time of ten.

Real builds are recorded, statement by statement; a build in memory then goes through the same steps as a real one
(landing views, extracts, the mode that it has to have), with these statements where dbt would run. A test compares both.
"""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pytest

from meshline_dagster.warehouse.build import DERIVE, Prepared, prepare
from meshline_dagster.warehouse.connection import open_warehouse
from meshline_dagster.warehouse.dbt import run_dbt
from meshline_dagster.warehouse.extracts import mark_applied
from meshline_dagster.warehouse.records import BuildMode, BuildSpec
from tests.integration.warehouse.landed import Project

__all__ = ["MemoryWarehouse", "Recording", "recording"]

_WRITES = re.compile(r"\s*(/\*.*?\*/\s*)*(create|insert|delete|drop)\b", re.IGNORECASE | re.DOTALL)
_NODE = re.compile(r'"node_id": "([^"]+)"')

Script = tuple[tuple[str, ...], ...]
"""Transactions, one for each node, of statements."""


@dataclass(frozen=True, slots=True)
class Recording:
    """The statements of a build by situation: in a new warehouse, full over what there is, incremental."""

    new: Script
    full: Script
    incremental: Script


@cache
def recording() -> Recording:
    """The recording of this process; the first call takes some seconds."""
    with tempfile.TemporaryDirectory() as folder:
        return _record(Project(Path(folder)))


def _record(project: Project) -> Recording:
    """Run three real builds of nothing, and take down what they send."""
    kinds = {}
    for kind in ("new", "full", "incremental"):
        spec = project.spec(BuildMode.INCREMENTAL if kind == "incremental" else BuildMode.FULL)
        with open_warehouse(project.warehouse) as connection, _listening() as sent:
            prepared = prepare(connection, spec)
            arguments = prepared.dbt_args(DERIVE)
            run_dbt(arguments, warehouse=project.warehouse, target_path=project.target).raise_for_failure()
            mark_applied(connection, spec, prepared.project_hash)
        kinds[kind] = _transactions(sent)
    return Recording(**kinds)


def _transactions(sent: list[str]) -> Script:
    found: dict[str, list[str]] = {}
    for statement in filter(_WRITES.match, sent):
        node = _NODE.search(statement)
        found.setdefault(node[1] if node else statement, []).append(statement)
    return tuple(map(tuple, found.values()))


@contextmanager
def _listening() -> Iterator[list[str]]:
    from dbt.adapters.duckdb.environments.local import DuckDBCursorWrapper

    sent: list[str] = []
    execute = DuckDBCursorWrapper.execute

    def _execute(self: Any, sql: str, bindings: Any = None) -> Any:
        sent.append(sql)
        return execute(self, sql, bindings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DuckDBCursorWrapper, "execute", _execute)
        yield sent


class MemoryWarehouse:
    """A warehouse in memory, built by recorded statements."""

    def __init__(self) -> None:
        self._recording = recording()
        self.connection = duckdb.connect()
        self.connection.execute("ATTACH ':memory:' AS warehouse; USE warehouse; SET TimeZone = 'UTC'; SET threads = 1")

    def close(self) -> None:
        """Free the memory."""
        self.connection.close()

    def build(self, spec: BuildSpec, *, stop_at: float | None = None) -> bool:
        """Build, or stop after this share of the models, as a crash would; returns whether it came to its end."""
        prepared = prepare(self.connection, spec)
        script = self._script(prepared)
        for transaction in script[: None if stop_at is None else int(len(script) * stop_at)]:
            self.connection.execute("BEGIN")
            for statement in transaction:
                self.connection.execute(statement)
            self.connection.execute("COMMIT")
        if stop_at is None:
            mark_applied(self.connection, spec, prepared.project_hash)
        return stop_at is None

    def _script(self, prepared: Prepared) -> Script:
        if prepared.mode is not BuildMode.FULL:
            return self._recording.incremental
        [(marts,)] = self.connection.execute(
            "SELECT count(*) FROM duckdb_tables() WHERE schema_name = 'marts' AND table_name IN ('outbox', 'event_dispositions')"
        ).fetchall()
        return self._recording.full if marts == 2 else self._recording.new

    def rows(self, table: str) -> list[tuple[Any, ...]]:
        """All rows of a table, sorted."""
        return self.connection.execute(f"FROM {table} ORDER BY ALL").fetchall()
