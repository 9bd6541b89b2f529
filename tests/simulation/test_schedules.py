"""Seeded schedules of mixed faults: nothing lost, nothing twice, nothing out of order, in all three kinds of ERP."""

import os
from dataclasses import replace

import pytest

from meshline_dagster.core.followups import BillingPolicy
from meshline_dagster.core.reversals import ReversalLimits
from meshline_dagster.testing.simulator import Profile, draw_schedule, run_schedule
from meshline_dagster.testing.simulator.billing import Billing
from meshline_dagster.testing.simulator.faults import FaultKind, FaultPlan
from meshline_dagster.testing.simulator.network import Timing
from meshline_dagster.testing.simulator.operations import Operations
from meshline_dagster.testing.simulator.report import Summary, parts_of, run_many, told
from meshline_dagster.testing.simulator.world import Publication

SEEDS = int(os.environ.get("MESHLINE_SIMULATED_SEEDS", "25"))
"""How many seeds of each profile; `make simulate` runs thousands."""


@pytest.mark.slow
@pytest.mark.parametrize("profile", list(Profile), ids=lambda profile: profile.value)
def test_every_schedule_ends_exactly_once_in_effect_or_visibly_not(profile):
    summary = Summary()
    for _, part in run_many(parts_of(range(SEEDS), [profile])):
        summary.merge(part)
    assert summary.failed == [], "\n".join(str(one) for one in summary.failed)
    assert summary.schedules == SEEDS
    assert summary.kills > SEEDS / 10
    assert sum(summary.struck.values()) > SEEDS


def test_a_seed_tells_the_same_story_each_time():
    first, second = (list(told(run_schedule(draw_schedule(5, Profile.UNIQUE)))) for _ in range(2))
    assert first == second
    assert len(first) > 20


def test_half_an_order_is_not_left_behind_when_newer_states_are_coalesced():
    """It could not be completed, counted as never sent, and stepped aside for a cancellation that then found nothing to cancel."""
    outcome = run_schedule(replace(draw_schedule(1163, Profile.LOOKUP_ONLY), billing=None))
    assert outcome.schedule.operations.coalesce
    assert any("draft" in text for _, text in outcome.trace)
    assert outcome.failures == []


def test_a_second_invoice_that_the_erp_makes_too_late_is_detected_and_counted_apart():
    """No client can prevent it where the ERP takes everything twice; elsewhere the ERP itself does."""
    found = {profile: " ".join(too_late(seed, profile) for seed in range(6)) for profile in Profile}
    assert "MLI" in found[Profile.LOOKUP_ONLY]
    assert found[Profile.UNIQUE].strip() == found[Profile.IDEMPOTENT].strip() == ""


def too_late(seed, profile):
    """The external ids that the ERP holds twice, of a schedule in which every other request is acted on too late."""
    drawn = draw_schedule(seed, profile)
    outcome = run_schedule(
        replace(
            drawn,
            until=60.0,
            billing=Billing(BillingPolicy(), 0.0),
            faults=FaultPlan(0.5, {FaultKind.TOO_LATE: 1.0}, (), 60.0),
            max_attempts=30,
            two_steps=False,
        )
    )
    assert outcome.failures == []
    return " ".join(one.external_id for one in outcome.violations if one.check == "duplicate" and one.beyond)


def test_a_cancellation_that_is_planned_while_an_amendment_is_on_its_way_waits_for_its_approval():
    """What stood then was posted before; the amendment, posted later, made it look as if nothing had."""
    outcome = run_schedule(cancelled_during_an_amendment(draw_schedule(162, Profile.UNIQUE)))
    assert any("reversals are approved" in text for _, text in outcome.trace)
    assert outcome.failures == []


def cancelled_during_an_amendment(schedule):
    """Every order's first state is posted, its second is on its way, and then the rest is planned; nothing is taken back without approval."""
    last, states = schedule.world.publications[-1], {}
    for row in sorted(last.rows, key=lambda row: row.event_time):
        states.setdefault(row.entity_key, []).append(row)
    outboxes = [
        Publication(at, tuple(states), tuple(row for of in states.values() for row in of[:count]))
        for at, count in ((0.5, 1), (30.0, 2), (31.2, 4))
    ]
    runs = [replace(schedule.runs[0], at=at, patience=8.0, interruption=None, again=0.1) for at in (1.0, 30.1)]
    return replace(
        schedule,
        until=90.0,
        world=replace(schedule.world, publications=(*outboxes, replace(last, at=90.0))),
        timing=Timing(latency=1.0, settle_after=2.0, timeout=8.0),
        faults=replace(schedule.faults, rate=0.0, outages=()),
        runs=runs,
        plan_interruptions=[None] * len(outboxes),
        pauses=(),
        operations=Operations(reversals=ReversalLimits(0)),
        billing=None,
        live_from=0.0,
        forged_at=None,
        matches_only=False,
        two_steps=False,
        slots=8,
        shards=1,
        commit_seconds=0.0,
    )


def test_a_process_that_stood_still_and_was_then_spared_counts_as_disturbed():
    """What it meant to send may have used an attempt up, though no request of it was struck."""
    outcome = run_schedule(draw_schedule(452, Profile.IDEMPOTENT))
    assert (outcome.pauses, outcome.kills) == (1, 0)
    assert outcome.failures == []
