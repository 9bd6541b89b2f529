"""How a schedule's orders are invoiced: the workflow's policy, the day on which the story happens, and when the ERP closes its books."""

import random
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

from meshline_dagster.core.followups import Amendments, BillingPolicy, InvoiceTrigger
from meshline_dagster.core.invoice_schedule import BilledIn, BillingEvery, BillingSchedule
from meshline_dagster.testing.simulator.world import NEW_YEAR, STARTS

__all__ = ["Billing", "draw_billing", "in_parts"]

_LAST_DAY = NEW_YEAR - timedelta(days=1)
_LATER = sorted({day for day in STARTS if day is not None and day > NEW_YEAR})
_HOUR = 3600.0
_PARTS = (InvoiceTrigger.DELIVERY, InvoiceTrigger.MILESTONE)


@dataclass(frozen=True, slots=True)
class Billing:
    """Orders are invoiced.

    Attributes:
        midnight: virtual seconds until the new year begins: the day changes within the story.
        closes_at: virtual seconds when the ERP closes the old year, and refuses documents that are dated in it; None: it does not.
        mornings: virtual seconds on later days, at which deliveries work under faults once more.
    """

    policy: BillingPolicy
    midnight: float
    closes_at: float | None = None
    mornings: tuple[float, ...] = ()

    @property
    def epoch(self) -> datetime:
        """The instant of virtual second zero."""
        return datetime(NEW_YEAR.year, NEW_YEAR.month, NEW_YEAR.day, tzinfo=UTC) - timedelta(seconds=self.midnight)

    @property
    def closing(self) -> tuple[float, date] | None:
        """When the ERP closes which day, and all before it."""
        return None if self.closes_at is None else (self.closes_at, _LAST_DAY)

    @property
    def last_day(self) -> float:
        """The virtual second at which the last line has started, whatever was drawn."""
        return self.midnight + ((_LATER[-1] - NEW_YEAR).days + 1) * 24 * _HOUR

    def day(self, at: float) -> date:
        """The day of a virtual second."""
        return (self.epoch + timedelta(seconds=at)).date()

    def __str__(self) -> str:
        policy = self.policy
        closed = "" if policy.closed_through is None else f", books closed through {policy.closed_through}"
        erp = "" if self.closes_at is None else f", the ERP closes the old year at {self.closes_at:.1f} s"
        days = "".join(f", faults again at {morning:.1f} s" for morning in self.mornings)
        periods = policy.schedule
        how = f"from their {policy.trigger}" if periods is None else f"by the {periods.every} in {periods.billed_in}"
        return f"orders are invoiced {how} ({policy.amendments}{closed}); new year at {self.midnight:.1f} s{erp}{days}"


def draw_billing(rng: random.Random, until: float) -> Billing | None:
    """Four in ten schedules invoice their orders, a quarter of these by periods; in a few of them the books are closed, or are closed while
    invoices are on their way.
    """
    if rng.random() >= 0.4:  # noqa: PLR2004 - four in ten
        return None
    closed = rng.choice((None, None, None, _LAST_DAY - timedelta(days=30), _LAST_DAY, NEW_YEAR + timedelta(days=30)))
    trigger = InvoiceTrigger.START if rng.random() < 0.4 else InvoiceTrigger.BOOKING  # noqa: PLR2004 - four in ten
    midnight = rng.uniform(0.0, until)
    closes_at = midnight + rng.uniform(0.0, until - midnight) if rng.random() < 0.15 else None  # noqa: PLR2004 - one in seven
    policy = BillingPolicy(rng.choice(list(Amendments)), trigger, closed_through=closed)
    if rng.random() < 0.25:  # noqa: PLR2004 - one in four
        schedule = BillingSchedule(rng.choice(list(BillingEvery)), rng.choice(list(BilledIn)))
        policy = replace(policy, trigger=InvoiceTrigger.SCHEDULE, schedule=schedule)
    mornings = _mornings(rng, midnight) if policy.trigger is InvoiceTrigger.START else ()
    return Billing(policy, midnight, closes_at, mornings)


def in_parts(rng: random.Random, billing: Billing | None, until: float) -> Billing | None:
    """Half of what would be invoiced at its booking, and one in six that would not be, is invoiced as it is delivered or by milestones."""
    if billing is None:
        if rng.random() >= 1 / 6:
            return None
        billing = Billing(BillingPolicy(rng.choice(list(Amendments))), rng.uniform(0.0, until))
    elif billing.policy.trigger is not InvoiceTrigger.BOOKING or rng.random() < 0.5:  # noqa: PLR2004 - half
        return billing
    return replace(billing, policy=replace(billing.policy, trigger=rng.choice(_PARTS)))


def _mornings(rng: random.Random, midnight: float) -> tuple[float, ...]:
    """On some of the days on which lines start: a minute before they begin, or some hours later."""
    days = [(day - NEW_YEAR).days for day in _LATER if rng.random() < 0.5]  # noqa: PLR2004 - as often as not
    hours = [rng.choice((-1 / 60, 0.0, rng.uniform(0.0, 20.0))) for _ in days]
    return tuple(midnight + (24 * day + hour) * _HOUR for day, hour in zip(days, hours, strict=True))
