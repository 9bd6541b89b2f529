"""What of an order is to be on invoices where it is invoiced as it is delivered: pure arithmetic on lines and what the ERP tells of them.

The ERP tells by item and unit price, as it names no lines of ours: what is delivered of a price goes to the order's lines in their order, to
none more than it says. A line of which the ERP tells nothing (a service, a discount) is due once everything that it tells of is delivered.

An order is billed in the transaction that posts it, so the word that is kept is of the state before it. Of a line that was not in the
ERP's document then nobody knows whether it is delivered: the word counts only for a state that has the document's lines.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from meshline_dagster.core.documents import ErpDocument
from meshline_dagster.core.money import quantize, to_text

__all__ = ["Delivered", "delivered_lines", "delivered_of", "is_told_of"]

Line = Mapping[str, Any]
_Price = tuple[str, Decimal]
Delivered = Sequence[Mapping[str, str | None]]
"""An ERP's word of an order: ``sku``, ``unit_price``, ``quantity`` and ``delivered`` of each line that its document has; numbers as decimal
strings, ``delivered`` None where it tells nothing of it.
"""


def delivered_of(document: ErpDocument) -> Delivered:
    """What a sales order in the ERP tells of its deliveries."""
    return [
        {
            "sku": line.sku,
            "unit_price": to_text(line.unit_price),
            "quantity": to_text(line.quantity),
            "delivered": None if line.delivered is None else to_text(line.delivered),
        }
        for line in document.lines
    ]


def is_told_of(payload: Mapping[str, Any], delivered: Delivered) -> bool:
    """Whether the ERP's document had the lines of this state of the order: the same quantities of the same items at the same prices.

    Args:
        payload: of a sales order.
    """
    return _sums(payload["lines"], "quantity") == _sums(delivered, "quantity")


def delivered_lines(payload: Mapping[str, Any], delivered: Delivered) -> tuple[Line, ...]:
    """The lines of an order as far as they are delivered, with the quantity's share of the amount.

    Args:
        payload: of a sales order.
        delivered: told of this state of it (:func:`is_told_of`).
    """
    left = _sums((line for line in delivered if line["delivered"] is not None), "delivered")
    told, rest = [], []
    for line in payload["lines"]:
        price = _price(line)
        if price not in left:
            rest.append(line)
            continue
        quantity = _at_most(left[price], Decimal(line["quantity"]))
        left[price] -= quantity
        told.append((line, quantity))
    due = [_part(line, quantity, payload["currency"]) for line, quantity in told if quantity]
    is_complete = bool(told) and all(quantity == Decimal(line["quantity"]) for line, quantity in told)
    return (*due, *(rest if is_complete else ()))


def _sums(lines: Iterable[Line], member: str) -> dict[_Price, Decimal]:
    """A quantity by item and unit price."""
    sums: dict[_Price, Decimal] = {}
    for line in lines:
        price = _price(line)
        sums[price] = sums.get(price, Decimal(0)) + Decimal(line[member])
    return sums


def _price(line: Mapping[str, Any]) -> _Price:
    return line["sku"], Decimal(line["unit_price"]).normalize()


def _at_most(left: Decimal, ordered: Decimal) -> Decimal:
    """Never more than is ordered, and nothing in the other direction."""
    return max(Decimal(0), min(left, ordered)) if ordered >= 0 else min(Decimal(0), max(left, ordered))


def _part(line: Line, quantity: Decimal, currency: str) -> Line:
    ordered = Decimal(line["quantity"])
    if quantity == ordered:
        return line
    amount = quantize(Decimal(line["amount"]) * quantity / ordered, currency)
    return {**line, "quantity": to_text(quantity), "amount": to_text(amount)}
