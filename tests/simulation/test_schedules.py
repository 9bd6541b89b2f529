"""Seeded schedules of mixed faults: nothing lost, nothing twice, nothing out of order, in all three kinds of ERP."""

import os

import pytest

from meshline_dagster.testing.simulator import Profile, draw_schedule, run_schedule
from meshline_dagster.testing.simulator.report import Summary, parts_of, run_many, told

SEEDS = int(os.environ.get("MESHLINE_SIMULATED_SEEDS", "40"))
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
    outcome = run_schedule(draw_schedule(1163, Profile.LOOKUP_ONLY))
    assert outcome.schedule.operations.coalesce
    assert any("draft" in text for _, text in outcome.trace)
    assert outcome.failures == []
