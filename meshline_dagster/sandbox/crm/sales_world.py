"""The world of the crm_sales records: 8,800 opportunities of a hardware seller, as dirty as they were recorded.

An opportunity has one version when it was engaged and one when it was closed; those without a date get a configured stamp.
The pipeline spells one product differently from the catalog, and many rows name no account.
"""

import csv
from datetime import UTC, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

from meshline_dagster.core.errors import ConfigError
from meshline_dagster.sandbox.crm.ids import record_id
from meshline_dagster.sandbox.crm.objects import OBJECTS
from meshline_dagster.sandbox.crm.world import World, WorldBuilder

__all__ = ["UNDATED_STAMP", "crm_sales"]

UNDATED_STAMP = datetime(2016, 10, 20, 9, tzinfo=UTC)
"""Where opportunities without any date are put unless told otherwise: the first day of the pipeline."""

_CATALOG_STAMP = datetime(2016, 10, 19, 9, tzinfo=UTC)
_NOW = datetime(2018, 1, 1, tzinfo=UTC)
_ENGAGED, _CLOSED = time(9, tzinfo=UTC), time(17, tzinfo=UTC)
_CURRENCY = "USD"


def crm_sales(folder: Path, *, undated_stamp: datetime = UNDATED_STAMP) -> World:
    """Read the records in ``folder`` (``accounts.csv``, ``products.csv``, ``sales_pipeline.csv``).

    Raises:
        ConfigError: a file is missing.
    """
    world = WorldBuilder()
    accounts = {row["account"]: _account(world, row) for row in _rows(folder / "accounts.csv")}
    products = {row["product"]: _product(world, row) for row in _rows(folder / "products.csv")}
    truth: dict[str, Any] = {"opportunities": 0, "won": 0, "won_amount": Decimal(0)}
    truth |= {"unmapped_product": 0, "unmapped_product_amount": Decimal(0)}
    for row in _rows(folder / "sales_pipeline.csv"):
        truth["opportunities"] += 1
        opportunity = _open(world, row, accounts, undated_stamp)
        if not row["close_date"]:
            continue
        amount = Decimal(row["close_value"])
        _close(world, row, opportunity, products)
        if row["deal_stage"] == "Won":
            truth["won"] += 1
            truth["won_amount"] += amount
            unmapped = row["product"] not in products
            truth["unmapped_product"] += unmapped
            truth["unmapped_product_amount"] += amount * unmapped
    return world.build("crm_sales", _NOW, {key: str(v) if isinstance(v, Decimal) else v for key, v in truth.items()})


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        raise ConfigError(
            f"the crm_sales world needs {path}; name the folder that holds it, or use the generator world"
        )
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _id(object_name: str, name: str) -> str:
    return record_id(OBJECTS[object_name].prefix, name)


def _day(text: str) -> datetime:
    month, day, year = (int(part) for part in text.split("/"))
    return datetime(year, month, day, tzinfo=UTC)


def _account(world: WorldBuilder, row: dict[str, str]) -> str:
    name = row["account"]
    values = {"Industry": row["sector"], "BillingCountry": row["office_location"], "CurrencyIsoCode": _CURRENCY}
    return world.put("Account", _id("Account", name), _CATALOG_STAMP, Name=name, **values)


def _product(world: WorldBuilder, row: dict[str, str]) -> str:
    name = row["product"]
    values = {"ProductCode": name, "Family": row["series"], "IsActive": True}
    return world.put("Product2", _id("Product2", name), _CATALOG_STAMP, Name=name, **values)


def _open(world: WorldBuilder, row: dict[str, str], accounts: dict[str, str], undated: datetime) -> str:
    name = row["opportunity_id"]
    engaged = row["engage_date"]
    dated = bool(row["close_date"])
    return world.put(
        "Opportunity",
        _id("Opportunity", name),
        datetime.combine(_day(engaged), _ENGAGED) if engaged else undated,
        Name=name,
        AccountId=accounts.get(row["account"]),
        CurrencyIsoCode=_CURRENCY,
        StageName="Engaging" if dated else row["deal_stage"],
        IsWon=False,
        IsClosed=False,
        HasOpportunityLineItem=False,
    )


def _close(world: WorldBuilder, row: dict[str, str], opportunity: str, products: dict[str, str]) -> None:
    day = _day(row["close_date"])
    closed = datetime.combine(day, _CLOSED)
    amount = Decimal(row["close_value"])
    won = row["deal_stage"] == "Won"
    values: dict[str, Any] = {"StageName": row["deal_stage"], "IsWon": won, "IsClosed": True, "Amount": amount}
    values |= {"CloseDate": day.date().isoformat(), "HasOpportunityLineItem": won}
    world.put("Opportunity", opportunity, closed, **values)
    if won:
        world.put(
            "OpportunityLineItem",
            _id("OpportunityLineItem", row["opportunity_id"]),
            closed,
            OpportunityId=opportunity,
            Product2Id=products.get(row["product"]),
            ProductCode=row["product"],
            Quantity=Decimal(1),
            UnitPrice=amount,
            TotalPrice=amount,
            CurrencyIsoCode=_CURRENCY,
        )
