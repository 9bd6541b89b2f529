"""What has to be credited, and what invoiced, so that an order is billed as it stands now: pure arithmetic on lines.

Lines of one *price* (item, unit, unit price, tax, term and sign) are compared together. Where less is wanted, the surplus is
credited against the invoice lines that it was billed in, the last billed first; where more is wanted, the difference is invoiced.
Amounts are taken as differences, never computed from quantities, so that they add up to the cent; where quantity times unit price
would not give the difference, all of that price is credited and invoiced anew.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from meshline_dagster.core.money import quantize, to_text

__all__ = ["Bill", "BilledLine", "adjust", "left_of", "over_credited", "rebill"]

Line = Mapping[str, Any]
_Price = tuple[Any, ...]
_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class BilledLine:
    """What is left of one invoice line after the credit notes against it, or the part of it that is to be credited.

    Attributes:
        invoice: the invoice's external id. place: the line's number there.
        content: the line as it was invoiced.
    """

    invoice: str
    place: str
    content: Line
    quantity: Decimal
    amount: Decimal

    def credit_line(self, place: int) -> dict[str, Any]:
        """The line of a credit note that takes this back."""
        amounts = {"quantity": to_text(self.quantity), "amount": to_text(self.amount)}
        return {**self.content, "line": str(place), "invoice_line": self.place, **amounts}


@dataclass(frozen=True, slots=True)
class Bill:
    """What to credit, in the invoices' order, and the lines to invoice."""

    credits: tuple[BilledLine, ...] = ()
    lines: tuple[Line, ...] = ()

    @property
    def is_negative(self) -> bool:
        """It would take an invoice, or a credit note, that is worth less than nothing: no ERP's books are to have that."""
        return _total(self.lines) < 0 or min(_sums(self.credits).values(), default=_ZERO) < 0


def left_of(invoices: Iterable[tuple[str, Mapping[str, Any]]], notes: Iterable[Mapping[str, Any]]) -> list[BilledLine]:
    """What is left of the invoices' lines, in the order in which they were invoiced.

    Args:
        invoices: ``(external id, payload)``. notes: the payloads of the credit notes against them.
    """
    taken: dict[tuple[str, str], tuple[Decimal, Decimal]] = {}
    for note in notes:
        for line in note["lines"]:
            where = (note["invoice"], line["invoice_line"])
            quantity, amount = taken.get(where, (_ZERO, _ZERO))
            taken[where] = (quantity + Decimal(line["quantity"]), amount + Decimal(line["amount"]))
    left: list[BilledLine] = []
    for name, invoice in invoices:
        for line in invoice["lines"]:
            quantity, amount = taken.get((name, line["line"]), (_ZERO, _ZERO))
            rest = BilledLine(
                name, line["line"], line, Decimal(line["quantity"]) - quantity, Decimal(line["amount"]) - amount
            )
            if rest.quantity or rest.amount:
                left.append(rest)
    return left


def over_credited(left: Iterable[BilledLine], note: Mapping[str, Any]) -> str | None:
    """Where a credit note takes back more than is left of its invoice, or of a line that is not there: the place; else None."""
    rest = {line.place: line for line in left if line.invoice == note["invoice"]}
    for place, line in enumerate(note["lines"]):
        quantity, amount = Decimal(line["quantity"]), Decimal(line["amount"])
        billed = rest.get(line.get("invoice_line", ""))
        if billed is None or abs(quantity) > abs(billed.quantity) or abs(amount) > abs(billed.amount):
            return f"lines[{place}]"
        rest[billed.place] = replace(billed, quantity=billed.quantity - quantity, amount=billed.amount - amount)
    return None


def rebill(left: Sequence[BilledLine], wanted: Sequence[Line]) -> Bill:
    """Credit all that is billed, and invoice all that is wanted."""
    return Bill(tuple(left), tuple(line for line in wanted if _is_billable(line)))


def adjust(left: Sequence[BilledLine], wanted: Sequence[Line], currency: str) -> Bill:
    """Credit what is too much, and invoice what is missing; nothing when the bill is right as it stands, whatever it is worth.

    No document may be negative, and no invoice credited beyond its amount: where a difference would be that, as when only a discount
    changes, all is billed anew.
    """
    billed, due = _by_price((line.content, line) for line in left), _by_price((line, line) for line in wanted)
    credited: list[BilledLine] = []
    lines: list[Line] = []
    for price in dict.fromkeys([*billed, *due]):
        bill = _of_one_price(billed.get(price, []), [one for one in due.get(price, []) if _is_billable(one)], currency)
        credited += bill.credits
        lines += bill.lines
    order = {(line.invoice, line.place): number for number, line in enumerate(left)}
    credited.sort(key=lambda line: order[line.invoice, line.place])
    bill = Bill(tuple(credited), tuple(lines))
    return bill if not (credited or lines) or _is_sound(bill, left) else rebill(left, wanted)


def _of_one_price(billed: Sequence[BilledLine], due: Sequence[Line], currency: str) -> Bill:
    quantity = sum((Decimal(line["quantity"]) for line in due), _ZERO) - sum((one.quantity for one in billed), _ZERO)
    amount = sum((Decimal(line["amount"]) for line in due), _ZERO) - sum((one.amount for one in billed), _ZERO)
    if not quantity and not amount:
        return Bill()
    if not billed or not due:
        return Bill(tuple(billed), tuple(due))
    unit_price, is_less = Decimal(due[0]["unit_price"]), (quantity < 0) == (Decimal(due[0]["quantity"]) >= 0)
    if quantity and not is_less and _is_exact(quantity, unit_price, amount, currency):
        return Bill(lines=({**due[-1], "quantity": to_text(quantity), "amount": to_text(amount)},))
    credited = _credit(billed, -quantity, -amount, currency) if quantity and is_less else None
    return Bill(tuple(billed), tuple(due)) if credited is None else Bill(tuple(credited))


def _credit(billed: Sequence[BilledLine], quantity: Decimal, amount: Decimal, currency: str) -> list[BilledLine] | None:
    """Take so much back, whole lines first, the last billed first; None when it cannot be said in whole minor units."""
    taken: list[BilledLine] = []
    for line in reversed(billed):
        if not quantity:
            break
        if abs(line.quantity) <= abs(quantity):
            part = line
        elif _is_exact(quantity, Decimal(line.content["unit_price"]), amount, currency):
            part = replace(line, quantity=quantity, amount=amount)
        else:
            return None
        taken.append(part)
        quantity, amount = quantity - part.quantity, amount - part.amount
    return taken if not quantity and not amount else None


def _is_exact(quantity: Decimal, unit_price: Decimal, amount: Decimal, currency: str) -> bool:
    return quantize(quantity * unit_price, currency) == amount


def _is_sound(bill: Bill, left: Sequence[BilledLine]) -> bool:
    """The invoice, each credit note, and what is then left of each invoice are not negative."""
    credited = _sums(bill.credits)
    rest = {name: amount - credited.get(name, _ZERO) for name, amount in _sums(left).items()}
    return not bill.is_negative and min(rest.values(), default=_ZERO) >= 0


def _total(lines: Iterable[Line]) -> Decimal:
    return sum((Decimal(line["amount"]) for line in lines), _ZERO)


def _sums(lines: Iterable[BilledLine]) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = {}
    for line in lines:
        sums[line.invoice] = sums.get(line.invoice, _ZERO) + line.amount
    return sums


def _is_billable(line: Line) -> bool:
    return bool(Decimal(line["quantity"]) or Decimal(line["amount"]))


def _by_price(lines: Iterable[tuple[Line, Any]]) -> dict[_Price, list[Any]]:
    grouped: dict[_Price, list[Any]] = {}
    for content, line in lines:
        names = ("sku", "uom", "tax_code", "start", "end")
        price = (
            *(content.get(name) for name in names),
            Decimal(content["unit_price"]).normalize(),
            Decimal(content["quantity"]) < 0,
        )
        grouped.setdefault(price, []).append(line)
    return grouped
