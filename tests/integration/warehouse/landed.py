"""A landing zone written by hand, and builds over it: what the tests of the warehouse start from."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from meshline_dagster.warehouse import build as builds
from meshline_dagster.warehouse.build import BuildResult
from meshline_dagster.warehouse.connection import open_warehouse
from meshline_dagster.warehouse.records import BuildMode, BuildSpec, MappingEntry, Policy, SourceFile, SourceFiles
from meshline_dagster.warehouse.sources import LANDING_COLUMNS

__all__ = ["EPOCH", "Project", "account", "deal", "deal_deleted", "erp_order", "instant", "line", "product"]

EPOCH = datetime(2026, 3, 2, 9, tzinfo=UTC)
"""When the examples start."""

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
_DAY = date(2026, 3, 2)

Row = tuple[str, dict[str, Any]]
"""A landing view's name and one row of it."""


def instant(minutes: float = 0, *, days: float = 0) -> datetime:
    """A moment after :data:`EPOCH`."""
    return EPOCH + timedelta(minutes=minutes, days=days)


def _row(view: str, one: str, at: datetime, values: Mapping[str, Any], *, deleted: bool = False) -> Row:
    content = json.dumps([one, str(at), deleted, {name: str(value) for name, value in values.items()}], sort_keys=True)
    own = {
        "_id": one,
        "_stamp": at,
        "_hash": hashlib.sha256(content.encode()).hexdigest(),
        "_deleted": deleted,
        "_payload": "{}",
        "_observed_at": at + timedelta(seconds=30),
    }
    return view, own | dict(values)


def deal(one: str, at: datetime, *, amount: Any = 300, won: bool = True, deleted: bool = False, **values: Any) -> Row:
    """A version of an opportunity: won, of account A1, in USD, booked on the first day, unless told otherwise."""
    base = {
        "Name": one,
        "AccountId": "A1",
        "Amount": None if amount is None else Decimal(amount),
        "CurrencyIsoCode": "USD",
        "StageName": "Closed Won" if won else "Engaging",
        "IsWon": won,
        "IsClosed": won,
        "CloseDate": _DAY,
        "Type": "New Business",
        "IsDeleted": deleted,
    }
    return _row("salesforce__opportunity", one, at, base | values, deleted=deleted)


def deal_deleted(one: str, at: datetime) -> Row:
    """A row of the deletes feed."""
    return _row("salesforce__opportunity_deletes", one, at, {}, deleted=True)


def line(
    one: str, deal_id: str, at: datetime, *, quantity: Any = 3, price: Any = 100, deleted: bool = False, **values: Any
) -> Row:
    """A version of a line item: three of product P1 at 100, unless told otherwise."""
    quantity, price = Decimal(quantity), None if price is None else Decimal(price)
    base = {
        "OpportunityId": deal_id,
        "Product2Id": "P1",
        "ProductCode": "SKU-1",
        "Quantity": quantity,
        "UnitPrice": price,
        "TotalPrice": None if price is None else quantity * price,
        "IsDeleted": deleted,
    }
    return _row("salesforce__opportunity_line_item", one, at, base | values, deleted=deleted)


def account(one: str, at: datetime = EPOCH, **values: Any) -> Row:
    """A version of an account."""
    base = {"Name": f"Company {one}", "BillingCountry": "US", "CurrencyIsoCode": "USD", "IsDeleted": False}
    return _row("salesforce__account", one, at, base | values)


def product(one: str, code: str | None, at: datetime = EPOCH, *, active: bool = True, **values: Any) -> Row:
    """A version of a product."""
    base = {"ProductCode": code, "Name": f"Product {one}", "IsActive": active, "IsDeleted": False}
    return _row("salesforce__product2", one, at, base | values)


def erp_order(one: str, at: datetime, **values: Any) -> Row:
    """A version of a sales order that was read back."""
    return _row("erp__sales_order", one, at, {"number": f"SO-{one}", "status": "open", "currency": "USD"} | values)


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
        self.warehouse = folder / "warehouse.duckdb"
        self.published = folder / "published"
        self.target = target or folder / "target"
        self.mappings: dict[tuple[str, str], MappingEntry] = {}
        self._changed: list[tuple[str, str]] = []
        self._files: list[_Landed] = []
        self._builds = 0

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
