"""The guards of invoices and credit notes are real: take one away, and a schedule finds the harm that it prevents."""

from contextlib import contextmanager
from dataclasses import replace
from datetime import date, timedelta
from unittest.mock import patch

import pytest

from meshline_dagster.core import followups, invoice_schedule, settle
from meshline_dagster.core.documents import ACCOUNTING_KINDS
from meshline_dagster.core.followups import BillingPolicy, FollowUps, InvoiceTrigger
from meshline_dagster.core.invoice_schedule import BilledIn, BillingEvery, BillingSchedule
from meshline_dagster.core.ledger import PostingState
from meshline_dagster.core.reversals import ReversalLimits
from meshline_dagster.delivery import billing as delivery_billing
from meshline_dagster.delivery import requests
from meshline_dagster.delivery.recorder import Recorder
from meshline_dagster.delivery.reversals import ReversalGuard
from meshline_dagster.testing.simulator import Profile, crash_points, draw_schedule, run_schedule
from meshline_dagster.testing.simulator.billing import Billing
from meshline_dagster.testing.simulator.operations import Operations
from meshline_dagster.testing.simulator.periods import with_periods
from meshline_dagster.testing.simulator.process import Interruption
from meshline_dagster.testing.simulator.world import NEW_YEAR
from tests.simulation.test_guards import BROKEN, MOST_SEEDS, calm, without_the_sequence

BILL = next(point for point in crash_points() if point.startswith("recorder.Recorder.bill await"))


@contextmanager
def without_the_look_up_of_documents():
    def absent(found, *, kind, **known):
        if kind in ACCOUNTING_KINDS:
            return settle.Settled(PostingState.RETRY_DUE, "absent")
        return settle.after_lookup(found, kind=kind, **known)

    with patch.object(requests, "after_lookup", absent):
        yield


@contextmanager
def with_follow_ups_planned_after_the_outcome():
    record = Recorder.record

    async def apart(self, results, opened=()):
        billed, results.billed = results.billed, []
        await record(self, results, opened)
        await self.bill(billed)

    with patch.object(Recorder, "record", apart):
        yield


@contextmanager
def with_invoices_before_credit_notes():
    plan_follow_ups = followups.plan_follow_ups

    def turned(*given, **more):
        found = plan_follow_ups(*given, **more)
        return FollowUps(found.insert[::-1], found.due_on)

    with patch.object(delivery_billing, "plan_follow_ups", turned):
        yield


@contextmanager
def with_refused_documents_left_behind():
    """Refused like an order: what follows goes on, and nobody plans it anew."""

    def rejected(answer, **known):
        found = settle.after_answer(answer, **known)
        return replace(found, state=PostingState.REJECTED) if found.problem == "rejected" else found

    with patch.object(requests, "after_answer", rejected):
        yield


@contextmanager
def without_closed_periods():
    with patch.object(BillingPolicy, "first_open_day", lambda _, day: day):
        yield


@contextmanager
def without_waiting_for_the_day():
    with patch.object(followups, "_trigger_day", lambda *_: None):
        yield


@contextmanager
def without_waiting_for_a_period():
    def all_of_it(payload, schedule, _):
        return invoice_schedule.due_by(payload, schedule, date.max)

    with patch.object(followups, "due_by", all_of_it):
        yield


@contextmanager
def without_asking_again_for_the_next_period():
    plan_follow_ups = followups.plan_follow_ups

    def once(*given, **more):
        return replace(plan_follow_ups(*given, **more), due_on=None)

    with patch.object(delivery_billing, "plan_follow_ups", once):
        yield


@contextmanager
def without_the_limit_on_reversals():
    with patch.object(ReversalGuard, "check", lambda *_: None):
        yield


def billed(schedule):
    """Whatever was drawn: orders are invoiced once they are posted."""
    return replace(schedule, billing=Billing(BillingPolicy(), 0.0))


def killed_between(schedule):
    """Each run dies when it would plan follow-ups by themselves."""
    return replace(billed(schedule), runs=[replace(run, interruption=Interruption(BILL, 1)) for run in schedule.runs])


def closed_before(schedule):
    """The old year is closed, and the story begins in it."""
    policy = BillingPolicy(closed_through=NEW_YEAR - timedelta(days=1))
    return replace(schedule, billing=Billing(policy, schedule.until))


def closing_meanwhile(schedule):
    """The ERP closes the old year at once when the new one begins, and with it what was planned in the old one."""
    midnight = schedule.until / 2
    return replace(schedule, billing=Billing(BillingPolicy(), midnight, midnight))


def from_their_start(schedule):
    """Orders are invoiced from their start, which may be in the new year."""
    return replace(schedule, billing=Billing(BillingPolicy(trigger=InvoiceTrigger.START), schedule.until / 2))


def by_periods(schedule):
    """Lines are billed by the month, and some months begin with the new year."""
    monthly = BillingSchedule(BillingEvery.MONTH, BilledIn.ADVANCE)
    policy = BillingPolicy(trigger=InvoiceTrigger.SCHEDULE, schedule=monthly)
    world = with_periods(schedule.world, monthly)
    return replace(schedule, billing=Billing(policy, schedule.until / 2), world=world)


def taking_back(schedule):
    """No order may be taken back before somebody has approved it."""
    return replace(calm(schedule), operations=Operations(reversals=ReversalLimits(0)))


GUARDS = [
    (without_the_look_up_of_documents, [Profile.LOOKUP_ONLY], billed, "duplicate"),
    (with_follow_ups_planned_after_the_outcome, list(Profile), killed_between, "wrongly billed"),
    (with_invoices_before_credit_notes, list(Profile), billed, "over billed"),
    (with_refused_documents_left_behind, list(Profile), closing_meanwhile, "wrongly billed"),
    (without_closed_periods, list(Profile), closed_before, "wrong date"),
    (without_waiting_for_the_day, list(Profile), from_their_start, "billed early"),
    (without_waiting_for_a_period, list(Profile), by_periods, "over billed"),
    (without_asking_again_for_the_next_period, list(Profile), by_periods, "wrongly billed"),
    (without_the_sequence, list(Profile), billed, "left unbilled"),
    (without_the_limit_on_reversals, list(Profile), taking_back, "reversed without approval"),
]
"""Each with the profiles in which its harm can show, with schedules that lead there, and with the harm."""


def harmed(guard, profiles, change, harm):
    """The first seed that shows the harm without the guard."""
    with guard():
        for seed in range(MOST_SEEDS):
            for profile in profiles:
                outcome = run_schedule(change(draw_schedule(seed, profile)))
                assert not [one for one in outcome.failures if any(name in one.message for name in BROKEN)]
                if any(one.check == harm for one in outcome.failures):
                    return seed, profile
    return None


@pytest.mark.slow
@pytest.mark.parametrize(("guard", "profiles", "change", "harm"), GUARDS, ids=[guard.__name__ for guard, *_ in GUARDS])
def test_a_schedule_finds_the_harm_that_a_guard_of_billing_prevents(guard, profiles, change, harm):
    found = harmed(guard, profiles, change, harm)
    assert found is not None
    seed, profile = found
    assert run_schedule(change(draw_schedule(seed, profile))).failures == []  # with the guard, the same story ends well
