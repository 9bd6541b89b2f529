"""The guards around people and masters are real: take one away, and a schedule finds the harm that it prevents.

People change orders in the ERP, and settle by hand what is dead; masters are there, are made, or are waited for; payments are made once.
"""

from contextlib import contextmanager
from dataclasses import replace
from unittest.mock import patch

import pytest

from meshline_dagster.core import settle
from meshline_dagster.core.documents import DocumentKind
from meshline_dagster.core.followups import BillingPolicy, InvoiceTrigger
from meshline_dagster.core.foreign import accepted_state
from meshline_dagster.core.ledger import CLOSED_ABSENT, PostingState
from meshline_dagster.delivery import billing as delivery_billing
from meshline_dagster.delivery import by_hand, comparison, plan, requests
from meshline_dagster.testing.simulator import Profile, draw_schedule, run_schedule
from meshline_dagster.testing.simulator.billing import Billing
from meshline_dagster.testing.simulator.clerks import Change, Edit
from meshline_dagster.testing.simulator.faults import FaultKind, FaultPlan
from meshline_dagster.testing.simulator.operations import Operations
from tests.simulation.test_billing_guards import harmed
from tests.simulation.test_guards import _Anything, as_drawn, calm


@contextmanager
def without_the_comparison():
    with patch.object(requests, "to_compare", lambda *_: {}):
        yield


@contextmanager
def with_a_retry_that_overwrites_whatever_is_there():
    def anything(cause):
        return None if accepted_state(cause) is None else _Anything()

    with patch.object(comparison, "accepted_state", anything), patch.object(settle, "accepted_state", anything):
        yield


@contextmanager
def with_a_retry_that_does_not_look():
    def absent(found, *, cause, **known):
        if cause == "retried":
            return settle.Settled(PostingState.RETRY_DUE, "absent")
        return settle.after_lookup(found, cause=cause, **known)

    with patch.object(requests, "after_lookup", absent):
        yield


@contextmanager
def with_closings_that_forget_what_the_erp_holds():
    with patch.object(by_hand, "CLOSED_IN_ERP", CLOSED_ABSENT):
        yield


@contextmanager
def without_billing_after_a_closing():
    with patch.object(by_hand, "put_off", lambda *_: None):
        yield


@contextmanager
def with_the_day_forgotten():
    """An order that is to be invoiced later is not looked at again."""
    with patch.object(delivery_billing, "put_off", lambda *_: None):
        yield


@contextmanager
def with_orders_that_wait_for_their_customer_alone():
    insert = plan.insert_postings

    def one_master(connection, destination, rows, **given):
        alone = [replace(one, row=replace(one.row, depends_on=one.row.depends_on[:1])) for one in rows]
        insert(connection, destination, alone, **given)

    with patch.object(plan, "insert_postings", one_master):
        yield


@contextmanager
def with_a_forged_payload_compared():
    with patch.object(requests, "forgery", lambda _: None):
        yield


@contextmanager
def with_amendments_that_wait_for_no_master():
    """What an order waits for is what its first state names."""
    insert = plan.insert_postings

    def unheeding(connection, destination, rows, **given):
        orders = [one.row for one in rows if one.row.document_kind is DocumentKind.SALES_ORDER]
        first = min((row.event_time for row in orders), default=None)
        amendments = {row.event_id for row in orders if row.event_time != first}
        alone = [
            replace(one, row=replace(one.row, depends_on=())) if one.row.event_id in amendments else one for one in rows
        ]
        insert(connection, destination, alone, **given)

    with patch.object(plan, "insert_postings", unheeding):
        yield


@contextmanager
def with_what_is_absent_taken_for_posted():
    """So what follows changes an order that is not there."""

    def there(found, **known):
        settled = settle.after_lookup(found, **known)
        if settled.outcome == "absent" and known["kind"] is DocumentKind.SALES_ORDER:
            return settle.Settled(PostingState.POSTED, "exists")
        return settled

    with patch.object(requests, "after_lookup", there):
        yield


@contextmanager
def without_a_match_before_a_master_is_made():
    with patch.object(requests, "is_matched_first", lambda _: False):
        yield


def _without_the_look_up_of(kinds):
    def absent(found, *, kind, **known):
        if kind in kinds:
            return settle.Settled(PostingState.RETRY_DUE, "absent")
        return settle.after_lookup(found, kind=kind, **known)

    return patch.object(requests, "after_lookup", absent)


@contextmanager
def without_the_look_up_of_addresses():
    with _without_the_look_up_of({DocumentKind.ADDRESS}):
        yield


@contextmanager
def without_the_look_up_of_payments():
    with _without_the_look_up_of({DocumentKind.PAYMENT}):
        yield


def edited(schedule):
    """Orders are changed in the ERP by hand, and nothing else goes wrong."""
    until = schedule.until
    edits = tuple(Edit(until * part / 8, part * 7 % 10 / 10, change) for part, change in enumerate([*Change] * 2))
    return replace(calm(schedule), edits=edits)


def edited_and_retried(schedule):
    """The same, and an operator tries again whatever is dead, a little later each time."""
    times = tuple(schedule.until * part / 10 for part in range(2, 10))
    return replace(edited(schedule), operations=Operations(desk=times, tidies=True))


def settled_by_hand(schedule):
    """Little is tried more than three times, and an operator deals with what is dead."""
    times = tuple(schedule.until * part / 5 for part in (1, 2, 3, 4))
    return replace(schedule, max_attempts=3, operations=Operations(desk=times, tidies=True))


def changed_before_it_is_known(schedule):
    """The ERP seldom answers, and somebody changes what it has made before that is looked up."""
    faults = FaultPlan(0.5, {FaultKind.TIMEOUT_DONE: 1.0}, (), schedule.until)
    edits = tuple(Edit(schedule.until * part / 40, part * 7 % 10 / 10, Change.QUANTITY) for part in range(40))
    return replace(
        settled_by_hand(schedule),
        faults=faults,
        edits=edits,
        max_attempts=30,
        runs=calm(schedule).runs,
        two_steps=False,
    )


def entered_by_hand(schedule):
    """The ERP is busy for so long that people enter what they wait for."""
    faults = FaultPlan(0.7, {FaultKind.BUSY: 1.0}, (), schedule.until)
    return replace(settled_by_hand(calm(schedule)), faults=faults, billing=Billing(BillingPolicy(), 0.0), later_runs=())


def unanswered(schedule):
    """The ERP seldom answers, and does what it is asked for."""
    faults = FaultPlan(0.5, {FaultKind.TIMEOUT_DONE: 1.0}, (), schedule.until)
    return replace(calm(schedule), faults=faults, max_attempts=30)


def forged_while_unanswered(schedule):
    """Somebody changes in the database what was sent, before anybody knows what became of it."""
    return replace(unanswered(schedule), forged_at=schedule.until * 0.6, forges_sent=True)


def settled_and_billed(schedule):
    return replace(settled_by_hand(schedule), billing=Billing(BillingPolicy(), 0.0))


def from_later_days(schedule):
    """Orders are invoiced from their start, which is days away for some."""
    billing = Billing(BillingPolicy(trigger=InvoiceTrigger.START), schedule.until / 2)
    return replace(schedule, billing=billing)


GUARDS = [
    (with_the_day_forgotten, list(Profile), from_later_days, "wrongly billed"),
    (without_the_comparison, list(Profile), edited, "overwritten"),
    (with_a_retry_that_overwrites_whatever_is_there, list(Profile), edited_and_retried, "overwritten"),
    (with_a_retry_that_does_not_look, list(Profile), changed_before_it_is_known, "overwritten"),
    (with_closings_that_forget_what_the_erp_holds, list(Profile), entered_by_hand, "wrongly billed"),
    (without_billing_after_a_closing, list(Profile), settled_and_billed, "wrongly billed"),
    (with_orders_that_wait_for_their_customer_alone, list(Profile), as_drawn, "item missing"),
    (with_a_forged_payload_compared, list(Profile), forged_while_unanswered, "needless exception"),
    (with_amendments_that_wait_for_no_master, list(Profile), as_drawn, "item missing"),
    (with_what_is_absent_taken_for_posted, list(Profile), as_drawn, "order missing"),
    (without_a_match_before_a_master_is_made, [Profile.LOOKUP_ONLY], as_drawn, "duplicate"),
    (without_the_look_up_of_addresses, [Profile.LOOKUP_ONLY], unanswered, "duplicate"),
    (without_the_look_up_of_payments, [Profile.LOOKUP_ONLY], as_drawn, "duplicate"),
]
"""Each with the profiles in which its harm can show, with schedules that lead there, and with the harm."""


@pytest.mark.slow
@pytest.mark.parametrize(("guard", "profiles", "change", "harm"), GUARDS, ids=[guard.__name__ for guard, *_ in GUARDS])
def test_a_schedule_finds_the_harm_that_a_guard_of_people_prevents(guard, profiles, change, harm):
    found = harmed(guard, profiles, change, harm)
    assert found is not None
    seed, profile = found
    assert run_schedule(change(draw_schedule(seed, profile))).failures == []  # with the guard, the same story ends well
