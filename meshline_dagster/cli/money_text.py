"""Amounts for people: thousands separated, the currency's own decimals, and the words for a missing currency."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

__all__ = ["amount_text", "amounts_text"]

_NO_CURRENCY = frozenset({None, "", "XXX"})  # the last is ISO 4217's code for it


def amount_text(amount: Decimal, currency: str | None) -> str:
    """``10,005,534.00 USD``, ``1,200 JPY`` or ``150,866.92 without currency``."""
    from meshline_dagster.core.money import exponent

    if currency is None or currency in _NO_CURRENCY:
        return f"{amount:,.2f} without currency"
    return f"{amount:,.{exponent(currency)}f} {currency}"


def amounts_text(amounts: Mapping[str, Decimal]) -> str:
    """One line for each currency, those without one last."""
    ordered = sorted(amounts.items(), key=lambda one: (one[0] in _NO_CURRENCY, one[0]))
    return "\n".join(amount_text(amount, currency) for currency, amount in ordered)


def change_text(money: Mapping[str, Mapping[str, Any]]) -> str:
    """``1,200.00 -> 900.00 USD (3 entities)`` for each currency, of what :meth:`~meshline_dagster.core.approvals.Total.as_json` gives."""
    return "; ".join(
        f"{Decimal(one['before']):,.2f} -> {Decimal(one['after']):,.2f} {currency or '(no currency)'} ({one['entities']:,} entities)"
        for currency, one in money.items()
    )
