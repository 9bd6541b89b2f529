"""A sales order's payload as the values that Tryton takes.

``on_change`` does not run over RPC: units, unit prices, taxes and addresses are all sent. Quantity times price is what Tryton
makes the amount of; where that is not the amount that was meant, the order is refused here, with the line's place.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from meshline_dagster.core.money import quantize
from meshline_dagster.erp.tryton_masters import EACH, Item, Masters

__all__ = ["Refusal", "WantedLine", "WantedSale", "wanted_sale"]

_ADDRESSES = {"invoice_address": "bill_to", "shipment_address": "ship_to"}


class Refusal(Exception):  # noqa: N818 - it never leaves the writer
    """The order cannot be said in Tryton's terms; ``field`` is the payload's member."""

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class WantedLine:
    """One line in Tryton's ids.

    Attributes:
        not_ours: which of ``tax_code`` and ``description`` the payload leaves out: an amendment keeps what the line has.
    """

    product: int
    unit: int
    quantity: Decimal
    unit_price: Decimal
    taxes: tuple[int, ...]
    description: str | None
    note: str | None
    not_ours: frozenset[str] = frozenset()

    def values(self, sequence: int) -> dict[str, Any]:
        """For ``sale.line``."""
        return {
            "type": "line",
            "sequence": sequence,
            "product": self.product,
            "unit": self.unit,
            "quantity": float(self.quantity),
            "unit_price": self.unit_price,
            "taxes": [["add", list(self.taxes)]],
            "description": self.description,
            "note": self.note,
        }


@dataclass(frozen=True, slots=True)
class WantedSale:
    """One sale in Tryton's ids.

    Attributes:
        named_addresses: which of the header's addresses the payload names; the others follow from the customer, and an amendment keeps
            what the sale has.
    """

    header: Mapping[str, Any]
    lines: tuple[WantedLine, ...]
    named_addresses: frozenset[str] = frozenset()

    def line_values(self) -> list[dict[str, Any]]:
        """For ``sale.sale``'s lines."""
        return [line.values(place) for place, line in enumerate(self.lines, start=1)]


def wanted_sale(payload: Mapping[str, Any], masters: Masters) -> WantedSale:
    """Say the payload in Tryton's ids.

    Raises:
        Refusal: something is unknown to Tryton, or the amounts do not come out.
    """
    party = masters.parties.get(payload.get("customer") or "")
    if party is None:
        raise Refusal(f"unknown customer {payload.get('customer')}: no party has this code", "customer")
    currency = masters.currencies.get(payload["currency"])
    if currency is None:
        raise Refusal(f"unknown currency {payload['currency']}", "currency")
    header: dict[str, Any] = {
        "party": party.id,
        **{name: getattr(party, name) for name in _ADDRESSES},
        **(named := _named_addresses(payload, masters)),
        "currency": currency,
        "description": payload["order_number"],
    }
    if "po_number" in payload:  # else it is not ours to say
        header["reference"] = payload["po_number"] or payload["order_number"]
    if payload.get("order_date"):
        header["sale_date"] = date.fromisoformat(payload["order_date"])
    terms = payload.get("payment_terms")
    if terms:
        if terms not in masters.terms:
            raise Refusal(f"no payment term is named {terms!r}; map it, or create it in Tryton", "payment_terms")
        header["payment_term"] = masters.terms[terms]
    lines = tuple(_line(place, line, payload["currency"], masters) for place, line in enumerate(payload["lines"]))
    if not lines:
        raise Refusal("an order without lines", "lines")
    total = sum((Decimal(line["amount"]) for line in payload["lines"]), Decimal(0))
    if total != Decimal(payload["amount"]):
        raise Refusal(f"the lines sum to {total}, not to {payload['amount']}", "amount")
    return WantedSale(header, lines, frozenset(named))


def _named_addresses(payload: Mapping[str, Any], masters: Masters) -> dict[str, int]:
    named = {}
    for name, member in _ADDRESSES.items():
        address = payload.get(member)
        if address and address not in masters.addresses:
            raise Refusal(f"unknown address {address}: no address in use has this external id", member)
        if address:
            named[name] = masters.addresses[address]
    return named


def _line(place: int, line: Mapping[str, Any], currency: str, masters: Masters) -> WantedLine:
    item = masters.items.get(line.get("sku") or "")
    if item is None:
        raise Refusal(f"unknown item {line.get('sku')}: no single salable product has this code", f"lines[{place}].sku")
    dates = [line[name] for name in ("start", "end") if line.get(name)]
    return WantedLine(
        product=item.id,
        unit=_unit(place, line, item, masters),
        quantity=Decimal(line["quantity"]),
        unit_price=_price(place, line, currency, masters),
        taxes=_taxes(place, line, item, masters),
        description=line.get("description"),
        note=" - ".join(dates) or None,
        not_ours=frozenset({"tax_code", "description"} - line.keys()),
    )


def _unit(place: int, line: Mapping[str, Any], item: Item, masters: Masters) -> int:
    name = (line.get("uom") or "").strip().lower()
    if name in masters.units and name not in EACH:
        return masters.units[name]
    if name not in EACH:
        raise Refusal(f"unknown unit {name}", f"lines[{place}].uom")
    return item.unit


def _taxes(place: int, line: Mapping[str, Any], item: Item, masters: Masters) -> tuple[int, ...]:
    code = line.get("tax_code")
    if not code:
        return item.taxes
    if code not in masters.taxes:
        raise Refusal(f"no tax is named {code!r}; map it, or create it in Tryton", f"lines[{place}].tax_code")
    return (masters.taxes[code],)


def _price(place: int, line: Mapping[str, Any], currency: str, masters: Masters) -> Decimal:
    """The unit price that comes out at the amount: the one given, else the one that follows from it."""
    quantity, amount = Decimal(line["quantity"]), Decimal(line["amount"])
    prices = [Decimal(line["unit_price"])]
    if quantity:
        prices.append(amount / quantity)
    for price in prices:
        rounded = price.quantize(masters.price_step, rounding=ROUND_HALF_EVEN)
        if quantize(quantity * rounded, currency) == amount:
            return rounded
    text = f"{quantity} at {line['unit_price']} is not {amount}, with {masters.price_places} decimals in a price"
    raise Refusal(text, f"lines[{place}].amount")
