"""The generator's masters: accounts and products, stamped before the first deal."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from random import Random
from typing import Any

from meshline_dagster.sandbox.crm.ids import record_id
from meshline_dagster.sandbox.crm.world import WorldBuilder

__all__ = ["Account", "Catalog", "Product", "build_catalog"]

_FIRST = ("Aldgate", "Brisa", "Corvid", "Dunmore", "Elbe", "Fjord", "Granite", "Harbour", "Isar", "Juniper", "Kestrel")
_SECOND = ("Freight", "Foods", "Instruments", "Logistics", "Optics", "Paper", "Robotics", "Seeds", "Textiles", "Tools")
_COUNTRIES = (
    ("Germany", "EUR"),
    ("United Kingdom", "GBP"),
    ("Japan", "JPY"),
    ("United States", "USD"),
    ("France", "EUR"),
)
_FAMILIES = (("Core", False), ("Sensor", False), ("Gateway", False), ("Care", True), ("Cloud", True))
_ACTIVE_PRODUCTS = 20
_INACTIVE_PRODUCTS = 2
_YEN_PER_UNIT = 150


@dataclass(frozen=True, slots=True)
class Account:
    """A customer."""

    id: str
    name: str
    currency: str


@dataclass(frozen=True, slots=True)
class Product:
    """Something sold; ``term`` tells a subscription from a thing."""

    id: str
    code: str
    price: Decimal
    active: bool
    term: bool

    def price_in(self, currency: str) -> Decimal:
        """The list price in ``currency``, in whole minor units."""
        return (self.price * _YEN_PER_UNIT).quantize(Decimal(1)) if currency == "JPY" else self.price


@dataclass(frozen=True, slots=True)
class Catalog:
    """What deals are made of."""

    accounts: tuple[Account, ...]
    products: tuple[Product, ...]

    @property
    def active(self) -> list[Product]:
        """Products that may be sold."""
        return [product for product in self.products if product.active]

    @property
    def retired(self) -> list[Product]:
        """Products that may not be sold any more."""
        return [product for product in self.products if not product.active]


def build_catalog(world: WorldBuilder, rng: Random, accounts: int, moment: datetime) -> Catalog:
    """Make the masters and put them into the world."""
    return Catalog(
        tuple(_account(world, rng, number, moment) for number in range(accounts)),
        tuple(_product(world, rng, number, moment) for number in range(_ACTIVE_PRODUCTS + _INACTIVE_PRODUCTS)),
    )


def _account(world: WorldBuilder, rng: Random, number: int, moment: datetime) -> Account:
    country, currency = rng.choice(_COUNTRIES)
    name = f"{rng.choice(_FIRST)} {rng.choice(_SECOND)} {number:03d}"
    account = Account(record_id("001", name), name, currency)
    values = {"Industry": rng.choice(("Retail", "Energy", "Transport")), "BillingCountry": country}
    values |= {"BillingStreet": f"{number + 1} Market Street", "BillingPostalCode": f"{10_000 + number}"}
    world.put("Account", account.id, moment, Name=name, CurrencyIsoCode=currency, **values)
    return account


def _product(world: WorldBuilder, rng: Random, number: int, moment: datetime) -> Product:
    family, term = _FAMILIES[number % len(_FAMILIES)]
    code = f"{family.upper()}-{100 + number}"
    price = Decimal(rng.randrange(500, 500_000)).scaleb(-2)
    product = Product(record_id("01t", code), code, price, active=number < _ACTIVE_PRODUCTS, term=term)
    values: dict[str, Any] = {"ProductCode": code, "Family": family, "IsActive": product.active}
    values |= {"QuantityUnitOfMeasure": "Seat", "List_Price__c": price, "CurrencyIsoCode": "USD"}
    world.put("Product2", product.id, moment, Name=f"{family} {100 + number}", **values)
    return product
