"""The guards of orders that are invoiced in parts are real: take one away, and a schedule finds the harm that it prevents.

As they are delivered: the ERP's word of it is late, or of another state of the order. By milestones: people plan, reach, drop and forget.
"""

import random
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from decimal import Decimal
from unittest.mock import patch

import pytest

from meshline_dagster.core import followups
from meshline_dagster.core import invoice_milestones as milestones
from meshline_dagster.core.billing import Bill
from meshline_dagster.core.followups import Amendments, BillingPolicy, InvoiceTrigger
from meshline_dagster.delivery import billing as delivery_billing
from meshline_dagster.delivery import deliveries as delivery_deliveries
from meshline_dagster.store import milestones as store_milestones
from meshline_dagster.testing.oracle import Content, Decided, ErpRecords, Share, Shipped, Truth
from meshline_dagster.testing.oracle.parts import Parts
from meshline_dagster.testing.oracle.truth import Billing as BillingTruth
from meshline_dagster.testing.simulator import Profile, draw_schedule, run_schedule
from meshline_dagster.testing.simulator.billing import Billing
from meshline_dagster.testing.simulator.deliveries import draw_shipments
from meshline_dagster.testing.simulator.milestones import draw_decisions
from meshline_dagster.testing.simulator.world import NEW_YEAR
from tests.simulation.test_billing_guards import harmed


@contextmanager
def without_a_look_at_what_is_newly_told():
    """What the ERP tells is kept, and no order is looked at for it."""
    with patch.object(delivery_deliveries, "put_off", lambda *_: None):
        yield


@contextmanager
def with_a_word_of_another_state_believed():
    with patch.object(followups, "is_told_of", lambda *_: True):
        yield


@contextmanager
def without_credit_for_what_came_back():
    adjust = followups.adjust
    with patch.object(followups, "adjust", lambda *given: Bill(lines=adjust(*given).lines)):
        yield


@contextmanager
def with_all_that_is_ordered_invoiced_at_once():
    with patch.object(followups, "delivered_lines", lambda payload, _: tuple(payload["lines"])):
        yield


@contextmanager
def with_milestones_that_are_not_the_whole():
    with patch.object(followups, "is_whole", lambda *_: True), patch.object(milestones, "is_whole", lambda *_: True):
        yield


@contextmanager
def without_a_look_at_what_is_decided():
    with patch.object(store_milestones, "_wake", lambda *_: None):
        yield


@contextmanager
def without_waiting_for_a_milestones_day():
    due = followups.due_milestones
    with patch.object(followups, "due_milestones", lambda payload, milestones, _: due(payload, milestones, date.max)):
        yield


@contextmanager
def with_a_milestones_day_forgotten():
    """What is reached on a later day is not looked at again."""
    due = followups.due_milestones
    with patch.object(followups, "due_milestones", lambda *given: replace(due(*given), next_on=None)):
        yield


@contextmanager
def with_nobody_told_of_missing_milestones():
    raise_all = delivery_billing.raise_exceptions

    def quiet(connection, findings, *, now):
        raise_all(connection, [one for one in findings if not one.code.startswith("milestones_")], now=now)

    with patch.object(delivery_billing, "raise_exceptions", quiet):
        yield


def drawn(schedule, trigger):
    amendments = list(Amendments)[schedule.seed % 2]
    return replace(schedule, billing=Billing(BillingPolicy(amendments, trigger), schedule.until / 2), later_runs=())


def by_delivery(schedule):
    rng = random.Random(schedule.seed)
    shipments = draw_shipments(rng, schedule.until)
    return replace(drawn(schedule, InvoiceTrigger.DELIVERY), shipments=shipments, read_lag=5.0, decisions=())


def by_milestones(schedule):
    schedule = drawn(schedule, InvoiceTrigger.MILESTONE)
    rng = random.Random(schedule.seed)
    decisions = draw_decisions(rng, schedule.until, schedule.world.orders, schedule.billing.day)
    return replace(schedule, decisions=decisions, shipments=())


GUARDS = [
    (without_a_look_at_what_is_newly_told, list(Profile), by_delivery, "wrongly billed"),
    (with_a_word_of_another_state_believed, [Profile.LOOKUP_ONLY], by_delivery, "over billed"),
    (without_credit_for_what_came_back, list(Profile), by_delivery, "wrongly billed"),
    (with_all_that_is_ordered_invoiced_at_once, list(Profile), by_delivery, "over billed"),
    (with_milestones_that_are_not_the_whole, list(Profile), by_milestones, "over billed"),
    (without_a_look_at_what_is_decided, list(Profile), by_milestones, "wrongly billed"),
    (without_waiting_for_a_milestones_day, list(Profile), by_milestones, "over billed"),
    (with_a_milestones_day_forgotten, list(Profile), by_milestones, "wrongly billed"),
    (with_nobody_told_of_missing_milestones, list(Profile), by_milestones, "silent"),
]
"""Each with the profiles in which its harm shows soon, with schedules that lead there, and with the harm."""


@pytest.mark.slow
@pytest.mark.parametrize(("guard", "profiles", "change", "harm"), GUARDS, ids=[guard.__name__ for guard, *_ in GUARDS])
def test_a_schedule_finds_the_harm_that_a_guard_of_parts_prevents(guard, profiles, change, harm):
    found = harmed(guard, profiles, change, harm)
    assert found is not None
    seed, profile = found
    assert run_schedule(change(draw_schedule(seed, profile))).failures == []  # with the guard, the same story ends well


ORDERED = Content(
    *("open", "USD", "MLC-1", Decimal("70.05")),
    (
        ("A", Decimal(3), Decimal(10), Decimal(30)),
        ("B", Decimal(1), Decimal("10.05"), Decimal("10.05")),
        ("D", Decimal(1), Decimal(30), Decimal(30)),
    ),
)
A, B = ("A", Decimal(10)), ("B", Decimal("10.05"))


@pytest.mark.parametrize(
    ("shipped", "due"),
    [
        ({A: Decimal(2)}, {"A": Decimal(20)}),
        ({A: Decimal(5)}, {"A": Decimal(30)}),
        ({A: Decimal(3), B: Decimal(1)}, {"A": Decimal(30), "B": Decimal("10.05"), "D": Decimal(30)}),
        ({A: Decimal(0)}, {}),
    ],
    ids=["some of it", "more than is ordered now", "all, and so the services", "all came back"],
)
def test_the_oracle_reckons_what_is_due_of_what_is_shipped(shipped, due):
    told = Shipped(5.0, "MLO-1", shipped, frozenset({"D"}))
    parts = Parts.of("MLO-1", billing(by_delivery=True), ErpRecords(shipped=[told]), truth())
    assert parts.due(ORDERED, 4.9) == {}
    assert parts.due(ORDERED, 5.0) == due
    assert parts.due(replace(ORDERED, status="cancelled"), 5.0) == {}


def test_the_oracle_reckons_what_is_due_of_milestones_and_says_when_nobody_can():
    half = Share(Decimal(50), None, NEW_YEAR)
    other = Share(None, Decimal("35.025"))
    known = {"MLO-1": [Decided(1.0, (half,)), Decided(2.0, (half, other))]}
    parts = Parts.of("MLO-1", billing(by_milestones=True), ErpRecords(), truth(known))
    assert parts.due(ORDERED, 1.5) is None
    assert parts.due(ORDERED, 2.0) == {"A": Decimal(15), "B": Decimal("5.02"), "D": Decimal(15)}
    assert not parts.is_undecided(ORDERED)
    assert parts.is_undecided(replace(ORDERED, amount=Decimal(71)))


def billing(**how):
    epoch = Billing(BillingPolicy(), 0.0).epoch
    return BillingTruth(epoch, by_start=False, rebills=False, closed_through=None, **how)


def truth(decided=None):
    return Truth(
        entities={}, protected=True, unique=True, shadows=frozenset(), max_attempts=3, decided_of=decided or {}
    )
