"""One build in its steps: prepare, run dbt, publish. An orchestrator may run dbt itself between the first and the last.

    with open_warehouse(path) as connection:
        prepared = prepare(connection, spec)
        run_dbt(prepared.dbt_args(DERIVE), warehouse=path, ...)      # or the orchestrator's own way
        publish_derived(connection, prepared, published_root)
        ...deliver, read back...
        run_dbt(prepared.dbt_args(RECONCILE), warehouse=path, ...)
        publish_reconciled(connection, prepared, published_root)

The caller keeps the build cursor, and moves it only after the last step.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb

from meshline_dagster.warehouse.connection import open_warehouse
from meshline_dagster.warehouse.dbt import DbtResult, project_hash, run_dbt
from meshline_dagster.warehouse.extracts import effective_mode, mark_applied, write_extracts
from meshline_dagster.warehouse.publish import DERIVED, RECONCILED, Published, publish
from meshline_dagster.warehouse.records import BuildMode, BuildSpec
from meshline_dagster.warehouse.sources import create_landing_views

__all__ = [
    "DERIVE",
    "RECONCILE",
    "BuildResult",
    "Prepared",
    "build",
    "prepare",
    "publish_derived",
    "publish_reconciled",
    "reconcile_args",
]

DERIVE = "tag:derive"
"""Everything up to outbox and exceptions."""

RECONCILE = "tag:reconcile"
"""What compares with the ERP: after the read-back."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A build whose inputs stand in the warehouse.

    Attributes:
        mode: the mode that it has, which is full where the warehouse cannot vouch for untouched rows.
        why: the reason for that mode, for logs.
    """

    spec: BuildSpec
    mode: BuildMode
    why: str
    project_hash: str

    def dbt_args(self, select: str) -> list[str]:
        """The dbt command of this build for a selection.

        The views below the marts stand since the last full build, and other models make the next build a full one: to write
        them again would take a third of an incremental build.
        """
        if self.mode is BuildMode.FULL:
            return [*_build(select), "--full-refresh"]
        return [*_build(select), *(["--exclude", "config.materialized:view"] if select == DERIVE else [])]


def reconcile_args() -> list[str]:
    """The dbt command that compares with the ERP what the last build left."""
    return _build(RECONCILE)


def _build(select: str) -> list[str]:
    """Unit tests belong to development, and artifact files to nobody: a build needs neither."""
    return ["build", "--select", select, "--exclude-resource-type", "unit_test", "--no-write-json"]


@dataclass(frozen=True, slots=True)
class BuildResult:
    """What a build did.

    Attributes:
        rows: rows of each published mart.
        touched: how many entities were recomputed.
        dbt: node results of each selection.
    """

    build_id: str
    mode: BuildMode
    why: str
    rows: Mapping[str, int]
    touched: int
    dbt: Mapping[str, DbtResult]
    published: Published


def prepare(connection: duckdb.DuckDBPyConnection, spec: BuildSpec, *, project: Path | None = None) -> Prepared:
    """Write landing views and extracts, and settle the build's mode."""
    digest = project_hash(project)
    mode, why = effective_mode(connection, spec, digest)
    create_landing_views(connection, spec.files)
    write_extracts(connection, spec, mode)
    return Prepared(spec, mode, why, digest)


def publish_derived(connection: duckdb.DuckDBPyConnection, prepared: Prepared, root: Path) -> Published:
    """Publish outbox and exceptions, and let later builds rely on this one's rows. Only after all of ``DERIVE`` succeeded."""
    result = publish(connection, root, build_id=prepared.spec.build_id, names=DERIVED)
    mark_applied(connection, prepared.spec, prepared.project_hash)
    return result


def publish_reconciled(connection: duckdb.DuckDBPyConnection, prepared: Prepared, root: Path) -> Published:
    """Publish reconciliation and status beside what the build derived. Only after all of ``RECONCILE`` succeeded."""
    return publish(connection, root, build_id=prepared.spec.build_id, names=RECONCILED)


def build(
    path: Path,
    spec: BuildSpec,
    *,
    published_root: Path,
    target_path: Path,
    timeout: float = 60.0,
    filesystem: object | None = None,
) -> BuildResult:
    """All steps in one, without delivery in between.

    Raises:
        LeaseHeldError: another build holds the warehouse.
        PermanentError: dbt failed; nothing is published, and the next build recomputes what this one began.
    """
    with open_warehouse(path, timeout=timeout, filesystem=filesystem) as connection:
        prepared = prepare(connection, spec)
        results = {}
        for select, step in ((DERIVE, publish_derived), (RECONCILE, publish_reconciled)):
            arguments = prepared.dbt_args(select)
            results[select] = run_dbt(arguments, warehouse=path, target_path=target_path).raise_for_failure()
            result = step(connection, prepared, published_root)
    return BuildResult(
        build_id=spec.build_id,
        mode=prepared.mode,
        why=prepared.why,
        rows=result.rows,
        touched=result.rows["touched"],
        dbt=results,
        published=result,
    )
