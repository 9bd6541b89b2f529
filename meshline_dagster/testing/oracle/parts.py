"""Orders that are invoiced in parts, as they are delivered or as their milestones are reached: whether what is billed is what was due by then.

Reckoned by item in money: of deliveries from what the ERP says was shipped, of milestones from what people decided; of neither from what
delivery has kept.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction

from meshline_dagster.testing.oracle.records import Content, ErpRecords, Shipped
from meshline_dagster.testing.oracle.truth import Billing, Decided, Truth

__all__ = ["Parts"]

_Items = dict[str, Decimal]
_CENTS = 100


@dataclass(frozen=True, slots=True)
class Parts:
    """What is known of one order.

    Attributes:
        shipped: what the ERP said of it, oldest first. decided: the milestones that it had, oldest first.
    """

    billing: Billing
    shipped: tuple[Shipped, ...] = ()
    decided: tuple[Decided, ...] = ()

    @classmethod
    def of(cls, order: str, billing: Billing, records: ErpRecords, truth: Truth) -> "Parts":
        """Of an order, by its external id."""
        shipped = tuple(one for one in records.shipped if one.external_id == order)
        return cls(billing, shipped, tuple(truth.decided_of.get(order, ())))

    def due(self, content: Content, at: float) -> _Items | None:
        """What a state wants on invoices at a virtual second; None: its milestones are not the whole of it, so that nobody can say."""
        if content.status != "open":
            return {}
        day = self.billing.day(at)
        if self.billing.by_delivery:
            told = [one for one in self.shipped if one.at <= at]
            return _delivered(content, told[-1]) if told else {}
        known = [one for one in self.decided if one.at <= at]
        return _reached(content, known[-1] if known else Decided(at), day)

    def is_undecided(self, content: Content) -> bool:
        """Whether in the end nobody can say what a state wants on invoices, so that a person has to be asked."""
        return (
            self.billing.by_milestones and content.status == "open" and _reached(content, self._last, date.max) is None
        )

    @property
    def has_milestones(self) -> bool:
        """Whether there are any in the end."""
        return bool(self._last.milestones)

    @property
    def _last(self) -> Decided:
        return self.decided[-1] if self.decided else Decided(0.0)

    def dues(self, contents: Iterable[Content], at: float) -> Iterator[_Items]:
        """What any of these states ever wanted on invoices until then."""
        yield {}
        for content in contents:
            if content.status != "open":
                continue
            if self.billing.by_delivery:
                yield from (_delivered(content, one) for one in self.shipped if one.at <= at)
            else:
                today, decided = self.billing.day(at), [one for one in self.decided if one.at <= at]
                days = {today, *(share.reached_on for one in decided for share in one.milestones if share.reached_on)}
                found = (_reached(content, one, day) for one in decided for day in days if day <= today)
                yield from (one for one in found if one is not None)


def _delivered(content: Content, shipped: Shipped) -> _Items:
    """What is shipped of what is ordered, and the services once all of that is."""
    ordered: dict[tuple[str, Decimal], Decimal] = {}
    services: list[tuple[str, Decimal]] = []
    for sku, quantity, price, amount in content.lines:
        if sku in shipped.services:
            services.append((sku, amount))
        else:
            ordered[sku, price] = ordered.get((sku, price), Decimal(0)) + quantity
    due = {price: min(quantity, shipped.delivered.get(price, Decimal(0))) for price, quantity in ordered.items()}
    money = [(sku, quantity * price) for (sku, price), quantity in due.items()]
    return _added([*money, *(services if ordered and due == ordered else ())])


def _reached(content: Content, decided: Decided, day: date) -> _Items | None:
    """Of each line its share, rounded half-even to the cent; None where the milestones are not the whole order."""
    shares = [
        (
            Fraction(one.percent) / 100
            if one.percent is not None
            else Fraction(one.amount or 0) / Fraction(content.amount),
            one.reached_on,
        )
        for one in decided.milestones
    ]
    if sum((share for share, _ in shares), Fraction(0)) != 1:
        return None
    reached = sum((share for share, on in shares if on is not None and on <= day), Fraction(0))
    return _added((sku, _rounded(Fraction(amount) * reached)) for sku, _, _, amount in content.lines)


def _rounded(amount: Fraction) -> Decimal:
    cents, twice_left = divmod(amount.numerator * _CENTS, amount.denominator)
    twice_left *= 2
    up = twice_left > amount.denominator or (twice_left == amount.denominator and cents % 2)
    return Decimal(cents + bool(up)) / _CENTS


def _added(amounts: Iterable[tuple[str, Decimal]]) -> _Items:
    found: _Items = {}
    for sku, amount in amounts:
        found[sku] = found.get(sku, Decimal(0)) + amount
    return {sku: amount for sku, amount in found.items() if amount}
