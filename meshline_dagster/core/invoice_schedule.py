"""What of an order is to be on invoices by a day, where lines are billed by periods: pure arithmetic on lines and days.

A line with a term, its first to its last day, is cut into periods. They are counted from the first day, so that month ends do not drift
(January 31, February 28, March 31), and the last one ends with the term. Each full period weighs the same; a last one that is cut weighs its
days in those that it would have. What a line is worth is shared out by cumulative rounding: whatever is due by a day is the line's amount
times the weight of its due periods, rounded once, and all periods together are the amount, to the minor unit. A line without a term is
whole, and due on the order's date.
"""

from calendar import monthrange
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Any

from meshline_dagster.core.line_shares import rounded_share, with_share

__all__ = ["BilledIn", "BillingEvery", "BillingSchedule", "Due", "due_by"]

Line = Mapping[str, Any]
_MONTHS = {"month": 1, "quarter": 3, "half_year": 6, "year": 12}
_LAST_DAY = date.max.toordinal()
_FAR = _LAST_DAY + 366


class BillingEvery(StrEnum):
    """How long a period is."""

    MONTH = "month"
    QUARTER = "quarter"
    HALF_YEAR = "half_year"
    YEAR = "year"

    @property
    def months(self) -> int:
        """The same in months."""
        return _MONTHS[self.value]


class BilledIn(StrEnum):
    """When a period is invoiced: on its first day, or on the day after its last."""

    ADVANCE = "advance"
    ARREARS = "arrears"


@dataclass(frozen=True, slots=True)
class BillingSchedule:
    """The periods by which lines are billed."""

    every: BillingEvery
    billed_in: BilledIn


@dataclass(frozen=True, slots=True)
class Due:
    """What is to be on invoices by a day.

    Attributes:
        lines: a line for each period that is due, with the period's ``start``, ``end``, ``amount`` and ``unit_price``.
        next_on: the first day on which there will be more; None: never.
    """

    lines: tuple[Line, ...] = ()
    next_on: date | None = None


def due_by(payload: Mapping[str, Any], schedule: BillingSchedule, today: date) -> Due:
    """What an order wants on invoices by the end of ``today``.

    Args:
        payload: of a sales order.
    """
    lines: list[Line] = []
    later: list[int] = []
    for line in payload["lines"]:
        for day, part in _parts(line, payload, schedule):
            if day > today.toordinal():
                later.append(day)
                break
            lines.append(part)
    return Due(tuple(lines), date.fromordinal(min(*later, _LAST_DAY)) if later else None)


def _parts(line: Line, payload: Mapping[str, Any], schedule: BillingSchedule) -> Iterator[tuple[int, Line]]:
    """The days, as ordinals, on which parts of a line become due, and the parts; in order."""
    first, last = _day(line.get("start")), _day(line.get("end"))
    if first is None or last is None or last < first:
        booked = _day(payload.get("order_date"))
        yield 0 if booked is None else booked.toordinal(), line
        return
    term, currency = _Term.of(first, last, schedule.every.months), payload["currency"]
    for number in range(term.periods):
        start, after = term.boundary(number), min(term.boundary(number + 1), term.after)
        due = start if schedule.billed_in is BilledIn.ADVANCE else after
        yield due, line if term.periods == 1 else _part(line, term, number, (start, after - 1), currency)


def _part(line: Line, term: "_Term", number: int, days: tuple[int, int], currency: str) -> Line:
    whole = Decimal(line["amount"])
    amount = term.worth(whole, number + 1, currency) - term.worth(whole, number, currency)
    start, end = (date.fromordinal(day).isoformat() for day in days)
    return {**with_share(line, amount, currency), "start": start, "end": end}


@dataclass(frozen=True, slots=True)
class _Term:
    """A term in periods. Days are ordinals.

    Attributes:
        after: the day after the last one.
        full: how many periods are not cut.
        cut: days of a last one that is. length: days that it would have.
    """

    first: date
    after: int
    months: int
    full: int
    cut: int
    length: int

    @classmethod
    def of(cls, first: date, last: date, months: int) -> "_Term":
        after = last.toordinal() + 1
        full = ((last.year - first.year) * 12 + last.month - first.month) // months + 1
        while _plus_months(first, full * months) > after:
            full -= 1
        start, end = (_plus_months(first, number * months) for number in (full, full + 1))
        return cls(first, after, months, full, after - start, end - start)

    @property
    def periods(self) -> int:
        """How many there are, the one that is cut included."""
        return self.full + bool(self.cut)

    def boundary(self, number: int) -> int:
        """The first day of a period, the first one being 0."""
        return _plus_months(self.first, number * self.months)

    def worth(self, whole: Decimal, periods: int, currency: str) -> Decimal:
        """What the first so many periods are worth together."""
        weight = self.full * self.length + self.cut
        share = Fraction(periods * self.length, weight) if periods < self.periods else Fraction(1)
        return rounded_share(whole, share, currency)


def _plus_months(day: date, months: int) -> int:
    """The same day so many months later, or the last one of that month where it is shorter."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    if year > date.max.year:
        return _FAR
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1])).toordinal()


def _day(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None
