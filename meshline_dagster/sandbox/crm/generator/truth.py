"""What a correct pipeline makes of a generated world, as plain JSON: money and quantities are decimal strings."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from meshline_dagster.core.money import to_text
from meshline_dagster.sandbox.crm.generator.deal import Deal

__all__ = ["ground_truth"]


def ground_truth(deals: Sequence[Deal], /, **facts: Any) -> dict[str, Any]:
    """Expectations by order, keyed by the root opportunity's id, and their totals.

    They hold once every version has been seen and every waiting limit has passed. A cancelled order has no lines and the
    amount 0; whoever first looked after the cancellation has nothing to post for it. Not-won deals are all ``ignore``.
    """
    orders = {deal.id: _order(deal) for deal in deals}
    classes = Counter(order["class"] for order in orders.values())
    amounts: dict[str, dict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for order in orders.values():
        if order["class"] != "ignore":
            amounts[order["class"]][order["currency"] or ""] += Decimal(order["amount"])
    totals = {
        kind: {code: to_text(value) for code, value in sorted(by.items())} for kind, by in sorted(amounts.items())
    }
    return {**facts, "classes": dict(sorted(classes.items())), "amounts": totals, "orders": orders}


def _order(deal: Deal) -> dict[str, Any]:
    lines = [] if deal.status == "cancelled" else _net_lines(deal)
    posted = deal.expected[0] == "post"
    amount = sum((Decimal(line["amount"]) for line in lines), Decimal(0)) if posted else deal.amount or Decimal(0)
    return {
        "name": deal.name,
        "class": deal.expected[0],
        "reason": deal.expected[1],
        "customer": deal.account_id,
        "customer_name": deal.account.name if deal.account_id == deal.account.id else None,
        "currency": deal.currency,
        "status": deal.status,
        "amount": to_text(amount),
        "lines": lines,
        "amendments": sorted({one for one, _ in deal.deltas}),
        "won_at": deal.won_at.isoformat() if deal.won_at else None,
        "last_change_at": deal.changed_at.isoformat() if deal.changed_at else None,
    }


def _net_lines(deal: Deal) -> list[dict[str, str]]:
    """Own lines and deltas added up by product and price; what comes to nothing is left out."""
    quantities: dict[tuple[str, Decimal], Decimal] = defaultdict(Decimal)
    for line in [*deal.lines, *(line for _, line in deal.deltas)]:
        quantities[line.code, line.unit_price] += line.quantity
    return [
        {
            "sku": code,
            "quantity": to_text(quantity),
            "unit_price": to_text(price),
            "amount": to_text(quantity * price),
        }
        for (code, price), quantity in sorted(quantities.items())
        if quantity
    ]
