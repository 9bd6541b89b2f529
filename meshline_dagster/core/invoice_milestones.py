"""What of an order is to be on invoices where it is invoiced by milestones: pure arithmetic on lines and what is reached.

Each milestone is a share of the order: a percentage of it, or an amount in its currency. One that is reached bills its share of every line, by
cumulative rounding in the order in which they became billable: what is due in all is the line's amount times what is reached, rounded
once. Nothing is billed by milestones that are not the whole order together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

from meshline_dagster.core.invoice_schedule import Due
from meshline_dagster.core.line_shares import rounded_share, with_share

__all__ = ["Milestone", "due_milestones", "is_whole"]

Line = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Milestone:
    """One milestone of an order.

    Attributes:
        percent: of the order's amount; amount: in its currency, ex tax. One of them is None.
        reached_on: the day from which its share is invoiced; None: it is not reached.
    """

    name: str
    percent: Decimal | None = None
    amount: Decimal | None = None
    reached_on: date | None = None

    def share_of(self, order: Decimal) -> Fraction:
        """The part of an order that is worth so much; of nothing, an amount has no part."""
        if self.percent is not None:
            return Fraction(self.percent) / 100
        return Fraction(self.amount or 0) / Fraction(order)


def is_whole(payload: Mapping[str, Any], milestones: Sequence[Milestone]) -> bool:
    """Whether the milestones are the whole order together. An order that is worth nothing is whole by percentages alone, or without any."""
    order = Decimal(payload["amount"])
    if not order and (not milestones or any(one.percent is None for one in milestones)):
        return not milestones
    return sum((one.share_of(order) for one in milestones), Fraction(0)) == 1


def due_milestones(payload: Mapping[str, Any], milestones: Sequence[Milestone], today: date) -> Due:
    """What an order wants on invoices by the end of ``today``; nothing by milestones that are not the whole order.

    Args:
        payload: of a sales order.
        milestones: in the order in which they became billable.
    """
    if not is_whole(payload, milestones):
        return Due()
    order, currency = Decimal(payload["amount"]), payload["currency"]
    reached = [one for one in milestones if one.reached_on is not None]
    later = [one.reached_on for one in reached if one.reached_on is not None and one.reached_on > today]
    lines: list[Line] = []
    passed = Fraction(0)
    for one in reached:
        if one.reached_on is None or one.reached_on > today:
            continue
        share = one.share_of(order)
        lines += [_part(line, passed, passed + share, currency) for line in payload["lines"]]
        passed += share
    return Due(tuple(lines), min(later, default=None))


def _part(line: Line, before: Fraction, after: Fraction, currency: str) -> Line:
    whole = Decimal(line["amount"])
    if before == 0 and after == 1:
        return line
    return with_share(line, rounded_share(whole, after, currency) - rounded_share(whole, before, currency), currency)
