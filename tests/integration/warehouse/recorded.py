"""What dbt sends to DuckDB in a build, recorded once and sent again without dbt: a hundred builds in the time of ten.

Real builds are recorded, statement by statement; a build then goes through the same steps as a real one (landing views, extracts, the
mode that it has to have, and in a project the publications), with these statements where dbt would run. A test compares both. What dbt
tests meanwhile is not asked.
"""

import json
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pytest

from meshline_dagster.warehouse.build import (
    DERIVE,
    BuildResult,
    Prepared,
    prepare,
    publish_derived,
    publish_reconciled,
    reconcile_args,
)
from meshline_dagster.warehouse.connection import open_warehouse
from meshline_dagster.warehouse.dbt import run_dbt
from meshline_dagster.warehouse.extracts import mark_applied
from meshline_dagster.warehouse.records import BuildMode, BuildSpec
from tests.integration.warehouse.landed import Project
from tests.made_once import made_once

__all__ = ["MemoryWarehouse", "RecordedProject", "Recording", "recording"]

_WRITES = re.compile(r"\s*(/\*.*?\*/\s*)*(create|insert|delete|drop)\b", re.IGNORECASE | re.DOTALL)
_NODE = re.compile(r'"node_id": "([^"]+)"')

Script = tuple[tuple[str, ...], ...]
"""Transactions, one for each node, of statements."""


@dataclass(frozen=True, slots=True)
class Recording:
    """The statements of a build by situation: in a new warehouse, full over what there is, incremental; and of the comparison with the ERP."""

    new: Script
    full: Script
    incremental: Script
    reconcile: Script


@cache
def recording() -> Recording:
    """The recording of this run of the tests; who asks first waits some seconds."""

    def keep(path: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path.write_text(json.dumps(asdict(_record(Project(Path(folder))))))

    kept = json.loads(made_once("recording.json", keep).read_text())
    return Recording(**{kind: tuple(map(tuple, script)) for kind, script in kept.items()})


def _record(project: Project) -> Recording:
    """Run three real builds of nothing, compare each with no ERP, and take down what all that sends."""
    kinds, compared = {}, []
    for kind in ("new", "full", "incremental"):
        spec = project.spec(BuildMode.INCREMENTAL if kind == "incremental" else BuildMode.FULL)
        with open_warehouse(project.warehouse) as connection:
            prepared = prepare(connection, spec)
            kinds[kind] = _sent(prepared.dbt_args(DERIVE), project)
            mark_applied(connection, spec, prepared.project_hash)
            compared.append(_sent(reconcile_args(), project))
    assert {frozenset(script) for script in compared} == {
        frozenset(compared[0])
    }  # its tables are written anew each time
    return Recording(**kinds, reconcile=compared[0])


def _sent(arguments: list[str], project: Project) -> Script:
    with _listening() as sent:
        run_dbt(arguments, warehouse=project.warehouse, target_path=project.target).raise_for_failure()
    return _transactions(sent)


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


def script_of(connection: duckdb.DuckDBPyConnection, prepared: Prepared) -> Script:
    """What dbt would send in this build."""
    if prepared.mode is not BuildMode.FULL:
        return recording().incremental
    [(marts,)] = connection.execute(
        "SELECT count(*) FROM duckdb_tables() WHERE schema_name = 'marts' AND table_name IN ('outbox', 'event_dispositions')"
    ).fetchall()
    return recording().full if marts == 2 else recording().new


def run(connection: duckdb.DuckDBPyConnection, script: Script) -> None:
    """Send it as dbt would."""
    for transaction in script:
        connection.execute("BEGIN")
        for statement in transaction:
            connection.execute(statement)
        connection.execute("COMMIT")


class MemoryWarehouse:
    """A warehouse in memory, built by recorded statements."""

    def __init__(self) -> None:
        self.connection = duckdb.connect()
        self.connection.execute("ATTACH ':memory:' AS warehouse; USE warehouse; SET TimeZone = 'UTC'; SET threads = 1")

    def close(self) -> None:
        """Free the memory."""
        self.connection.close()

    def build(self, spec: BuildSpec, *, stop_at: float | None = None) -> bool:
        """Build, or stop after this share of the models, as a crash would; returns whether it came to its end."""
        prepared = prepare(self.connection, spec)
        script = script_of(self.connection, prepared)
        run(self.connection, script[: None if stop_at is None else int(len(script) * stop_at)])
        if stop_at is None:
            mark_applied(self.connection, spec, prepared.project_hash)
        return stop_at is None

    def rows(self, table: str) -> list[tuple[Any, ...]]:
        """All rows of a table, sorted."""
        return self.connection.execute(f"FROM {table} ORDER BY ALL").fetchall()


class RecordedProject(Project):
    """A project that is built by recorded statements."""

    def build_as(self, spec: BuildSpec) -> BuildResult:
        """All steps of a build, but what dbt tests."""
        with open_warehouse(self.warehouse) as connection:
            prepared = prepare(connection, spec)
            run(connection, script_of(connection, prepared))
            publish_derived(connection, prepared, self.published)
            run(connection, recording().reconcile)
            result = publish_reconciled(connection, prepared, self.published)
        self.planned()
        return BuildResult(
            build_id=spec.build_id,
            mode=prepared.mode,
            why=prepared.why,
            rows=result.rows,
            touched=result.rows["touched"],
            dbt={},
            published=result,
        )
