"""A landing zone written by hand, and builds over it: what the tests of the warehouse start from."""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from meshline_dagster.warehouse import build as builds
from meshline_dagster.warehouse.build import BuildResult
from meshline_dagster.warehouse.connection import open_warehouse
from meshline_dagster.warehouse.records import (
    BillingTerms,
    BuildMode,
    BuildSpec,
    MappingEntry,
    Policy,
    SourceFile,
    SourceFiles,
)
from meshline_dagster.warehouse.sources import LANDING_COLUMNS
from tests.integration.warehouse.rows import (
    EPOCH,
    Row,
    account,
    deal,
    deal_deleted,
    erp_order,
    instant,
    line,
    product,
)
from tests.made_once import parsed_project

__all__ = ["EPOCH", "Project", "Row", "account", "deal", "deal_deleted", "erp_order", "instant", "line", "product"]

_TYPES = {
    "VARCHAR": pa.string(),
    "BOOLEAN": pa.bool_(),
    "DATE": pa.date32(),
    "TIMESTAMPTZ": pa.timestamp("us", tz="UTC"),
    "DECIMAL(38,9)": pa.decimal128(38, 9),
}
_OWN = {
    "_id": "VARCHAR",
    "_stamp": "TIMESTAMPTZ",
    "_hash": "VARCHAR",
    "_deleted": "BOOLEAN",
    "_payload": "VARCHAR",
    "_observed_at": "TIMESTAMPTZ",
}


@dataclass(slots=True)
class _Landed:
    view: str
    path: Path
    instance: str
    is_new: bool = True


class Project:
    """A landing zone, the decisions of operators and a warehouse, in one folder."""

    def __init__(self, folder: Path, *, policy: Policy | None = None, target: Path | None = None) -> None:
        self.folder = folder
        self.policy = policy or Policy()
        self.billing: BillingTerms | None = None
        self.warehouse = folder / "warehouse.duckdb"
        self.published = folder / "published"
        self._target = target
        self.mappings: dict[tuple[str, str], MappingEntry] = {}
        self._changed: list[tuple[str, str]] = []
        self._files: list[_Landed] = []
        self._builds = 0

    @property
    def target(self) -> Path:
        """Where dbt works."""
        if self._target is None:
            self._target = self.folder / "target"
            shutil.copytree(parsed_project(), self._target)
        return self._target

    def land(self, rows: Iterable[Row], *, instance: str = "crm", observed_at: datetime | None = None) -> None:
        """Write rows as new files, one for each view."""
        by_view: dict[str, list[dict[str, Any]]] = {}
        for view, row in rows:
            by_view.setdefault(view, []).append(row if observed_at is None else row | {"_observed_at": observed_at})
        for view, some in by_view.items():
            types = _OWN | dict(LANDING_COLUMNS[view])
            schema = pa.schema([(name, _TYPES[kind]) for name, kind in types.items()])
            self._write(
                view, pa.Table.from_pylist(some, schema=schema), "erp" if view.startswith("erp__") else instance
            )

    def _write(self, view: str, table: pa.Table, instance: str) -> None:
        path = self.folder / "landing" / f"{view}.{len(self._files)}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path)
        self._files.append(_Landed(view, path, instance))

    def land_table(self, view: str, table: pa.Table, *, observed_at: datetime, instance: str = "crm") -> None:
        """Write what a feed has read, as the landing zone would."""
        observed = pa.array([observed_at] * len(table), pa.timestamp("us", tz="UTC"))
        self._write(view, table.append_column("_observed_at", observed), instance)

    def map(self, kind: str, source_value: str, target_value: str | None) -> None:
        """Decide (or, by None, revoke) a mapping."""
        key = kind, source_value
        self._changed.append(key)
        self.mappings.pop(key, None)
        if target_value is not None:
            self.mappings[key] = MappingEntry(kind, source_value, target_value, seq=len(self._changed))

    def spec(
        self,
        mode: BuildMode = BuildMode.INCREMENTAL,
        *,
        as_of: datetime | None = None,
        replay: tuple[date, date] | None = None,
    ) -> BuildSpec:
        """The next build."""
        views: dict[str, list[SourceFile]] = {}
        for file in self._files:
            views.setdefault(file.view, []).append(SourceFile(file.instance, str(file.path), file.is_new))
        self._builds += 1
        return BuildSpec(
            build_id=f"build-{self._builds:04d}",
            as_of=as_of or instant(days=60),
            mode=mode,
            files=SourceFiles(views),
            policy=self.policy,
            mappings=list(self.mappings.values()),
            changed_mappings=list(self._changed),
            replay=replay,
            billing=self.billing,
        )

    def planned(self) -> None:
        """The cursor moves: nothing is new any more."""
        self._changed.clear()
        for file in self._files:
            file.is_new = False

    def build(self, mode: BuildMode = BuildMode.INCREMENTAL, **spec: Any) -> BuildResult:
        """Build what is landed now, and move the cursor."""
        return self.build_as(self.spec(mode, **spec))

    def build_as(self, spec: BuildSpec) -> BuildResult:
        """Build to a specification, and move the cursor."""
        result = builds.build(self.warehouse, spec, published_root=self.published, target_path=self.target)
        self.planned()
        return result

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """What a query finds in the warehouse."""
        with open_warehouse(self.warehouse) as connection:
            return connection.execute(sql).fetchall()

    def file(self, result: BuildResult, name: str) -> list[dict[str, Any]]:
        """The rows of a published file."""
        rows: list[dict[str, Any]] = pq.read_table(result.published.path(name)).to_pylist()
        return rows
