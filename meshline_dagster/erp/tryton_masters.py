"""What sales refer to, looked up by the names that we use: customers, addresses, items, taxes, payment terms, currencies, units.

What operators keep (taxes, terms, currencies, units) is asked once in a delivery, and again where a name was not there: they may have added it.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from meshline_dagster.core.documents import Document
from meshline_dagster.erp.tryton_rpc import TrytonSession

__all__ = ["EACH", "Item", "Masters", "Party", "find_parties", "load_masters", "price_places", "units_by_name"]

EACH = frozenset({"", "unit", "units", "each", "ea", "piece", "pcs"})
"""Words for the unit that the product is sold in."""

_ANY_STATE = {"active_test": False}
_PARTY_FIELDS = ["code", "name", "write_date", "create_date", "addresses.invoice", "addresses.delivery"]
_ITEM_FIELDS = ["code", "sale_uom", "default_uom", "template.account_category.customer_taxes"]


@dataclass(frozen=True, slots=True)
class Party:
    """A customer, with the addresses that its sales go to; None when it has none."""

    id: int
    invoice_address: int | None
    shipment_address: int | None


@dataclass(frozen=True, slots=True)
class Item:
    """A product, with the unit that it is sold in and the taxes of its category."""

    id: int
    unit: int
    taxes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Masters:
    """Tryton's ids by our names.

    Attributes:
        parties: by party code. items: by product code, only those that one product has.
        taxes: by tax name. terms: by name. currencies: by ISO code. units: by lower-case symbol and name.
        price_places: how many decimals a unit price may have.
        addresses: by external id, only those that one address has.
    """

    parties: Mapping[str, Party]
    items: Mapping[str, Item]
    taxes: Mapping[str, int]
    terms: Mapping[str, int]
    currencies: Mapping[str, int]
    units: Mapping[str, int]
    price_places: int
    addresses: Mapping[str, int] = field(default_factory=dict)

    @property
    def price_step(self) -> Decimal:
        """The smallest difference between two unit prices."""
        return Decimal(1).scaleb(-self.price_places)


@dataclass(frozen=True, slots=True)
class _Kept:
    """What operators keep, and seldom change; see :class:`Masters`."""

    taxes: Mapping[str, int]
    terms: Mapping[str, int]
    currencies: Mapping[str, int]
    units: Mapping[str, int]
    price_places: int

    def lacks(self, payloads: Sequence[Mapping[str, Any]]) -> bool:
        """Whether an order names what is not here."""
        lines = [line for payload in payloads for line in payload.get("lines", [])]
        units = [(line.get("uom") or "").strip().lower() for line in lines]
        named = (
            (self.terms, {payload.get("payment_terms") for payload in payloads}),
            (self.currencies, {payload.get("currency") for payload in payloads}),
            (self.taxes, {line.get("tax_code") for line in lines}),
            (self.units, set(units) - EACH),
        )
        return any(names - known.keys() - {None, ""} for known, names in named)


async def load_masters(session: TrytonSession, documents: Sequence[Document]) -> Masters:
    """Look up what ``documents`` (sales orders) refer to. Raises as :meth:`TrytonSession.ask` does."""
    payloads = [document.payload for document in documents]
    codes = sorted({line["sku"] for payload in payloads for line in payload.get("lines", []) if line.get("sku")})
    items = await session.rows("product.product", [["code", "in", codes], ["salable", "=", True]], _ITEM_FIELDS)
    kept = await session.once("kept", lambda: _kept(session))
    if kept.lacks(payloads):
        session.forget()
        kept = await session.once("kept", lambda: _kept(session))
    return Masters(
        parties=await find_parties(session, [code for payload in payloads if (code := payload.get("customer"))]),
        items={code: _item(rows[0]) for code, rows in _by("code", items).items() if len(rows) == 1},
        taxes=kept.taxes,
        terms=kept.terms,
        currencies=kept.currencies,
        units=kept.units,
        price_places=kept.price_places,
        addresses=await _addresses(session, payloads),
    )


async def _kept(session: TrytonSession) -> _Kept:
    own = [["company", "=", session.company], ["parent", "=", None]]
    return _Kept(
        taxes=_ids("name", await session.rows("account.tax", own, ["name"])),
        terms=_ids("name", await session.rows("account.invoice.payment_term", [], ["name"])),
        currencies=_ids("code", await session.rows("currency.currency", [], ["code"])),
        units=await units_by_name(session),
        price_places=await price_places(session),
    )


async def find_parties(session: TrytonSession, codes: Iterable[str]) -> dict[str, Party]:
    """Customers by code, also those that an operator has put out of use: their code is taken."""
    domain = [["code", "in", sorted(set(codes))]]
    rows = await session.rows("party.party", domain, _PARTY_FIELDS, **_ANY_STATE)
    return {row["code"]: _party(row) for row in rows}


async def _addresses(session: TrytonSession, payloads: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    names = sorted({name for one in payloads for use in ("bill_to", "ship_to") if (name := one.get(use))})
    rows = await session.rows("party.address", [["external_id", "in", names]], ["external_id"]) if names else []
    return _ids("external_id", rows)


async def units_by_name(session: TrytonSession) -> dict[str, int]:
    """Units of measure by lower-case symbol and name. Raises as :meth:`TrytonSession.ask` does."""
    units = await session.rows("product.uom", [], ["name", "symbol"])
    return {key.lower(): unit["id"] for name in ("name", "symbol") for unit in units if (key := unit[name])}


async def price_places(session: TrytonSession) -> int:
    """How many decimals a price may have. Raises as :meth:`TrytonSession.ask` does."""
    fields = await session.ask("sale.line", "fields_get", ["unit_price"])
    digits = fields["unit_price"]["digits"]  # an expression of Tryton's, as JSON in a text: [null, 4]
    places = json.loads(digits)[1] if isinstance(digits, str) else digits[1]
    return int(places)


def _party(row: Mapping[str, Any]) -> Party:
    addresses = row["addresses."] or []
    return Party(row["id"], _address(addresses, "invoice"), _address(addresses, "delivery"))


def _address(addresses: Sequence[Mapping[str, Any]], use: str) -> int | None:
    """The first address that is meant for this use, else the first."""
    ordered = sorted(addresses, key=lambda address: not address.get(use))
    return int(ordered[0]["id"]) if ordered else None


def _item(row: Mapping[str, Any]) -> Item:
    category = (row["template."] or {}).get("account_category.") or {}
    return Item(row["id"], row["sale_uom"] or row["default_uom"], tuple(category.get("customer_taxes") or ()))


def _ids(name: str, rows: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Names that only one record has."""
    return {key: found[0]["id"] for key, found in _by(name, rows).items() if len(found) == 1}


def _by(name: str, rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        if row[name]:
            found.setdefault(str(row[name]), []).append(row)
    return found
