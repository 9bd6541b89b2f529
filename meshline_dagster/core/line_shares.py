"""Shares of an order line's amount: rounded once, and with the price that they have for the whole quantity."""

from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from typing import Any

from meshline_dagster.core.money import exponent, quantize, to_text

__all__ = ["rounded_share", "with_share"]

Line = Mapping[str, Any]
_PLACES = 9


def rounded_share(amount: Decimal, share: Fraction, currency: str) -> Decimal:
    """The share of an amount, rounded half-even to the minor unit; the whole is the amount as it stands."""
    if share == 1:
        return amount
    places = exponent(currency)
    return Decimal(round(Fraction(amount) * share * 10**places)).scaleb(-places)


def with_share(line: Line, amount: Decimal, currency: str) -> Line:
    """The line with its whole quantity and this part of its amount, at the price that gives it."""
    quantity = Decimal(line["quantity"])
    price = to_text(_price(quantity, amount, currency)) if quantity else line["unit_price"]
    return {**line, "unit_price": price, "amount": to_text(amount)}


def _price(quantity: Decimal, amount: Decimal, currency: str) -> Decimal:
    """The unit price of the fewest decimals that comes out at the amount."""
    least, price = exponent(currency), amount / quantity
    for places in range(least, _PLACES + 1):
        rounded = price.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_EVEN)
        if quantize(quantity * rounded, currency) == amount:
            return rounded
    return rounded
