"""The simulated child of a delivery: what it has begun is written although its parent dies, and nothing else is."""

from dataclasses import replace

import pytest

from meshline_dagster.testing.simulator import Profile, crash_points, draw_schedule, run_schedule
from meshline_dagster.testing.simulator.child import Hiring
from meshline_dagster.testing.simulator.operations import Operations
from meshline_dagster.testing.simulator.process import Interruption

FULL_PIPE = next(point for point in crash_points() if point.endswith("await self._requests.drain()"))
ANSWER = next(point for point in crash_points() if point.endswith("await self._replies.readexactly(_LENGTH)"))
WRITTEN = "after commit of ledger_process._write"
SECOND = 2  # the first message tells the child which store to open


def story(point, child=None):
    """One run that is killed when it hands its first group over; the next runs find what it has left."""
    drawn = draw_schedule(0, Profile.LOOKUP_ONLY)
    run = replace(drawn.runs[0], at=drawn.until * 0.8, patience=20.0, interruption=Interruption(point, SECOND))
    return replace(
        drawn,
        runs=[run],
        pauses=(),
        live_from=0.0,
        commit_seconds=0.0,
        faults=replace(drawn.faults, rate=0.0, outages=()),
        timing=replace(drawn.timing, latency=0.1),
        plan_interruptions=[None] * len(drawn.plan_interruptions),
        operations=Operations(hiring=Hiring(postings=1, start=0.0, step=0.02, end=0.0, interruption=child)),
    )


@pytest.mark.parametrize(("point", "is_written"), [(FULL_PIPE, False), (ANSWER, True)], ids=["half sent", "sent"])
def test_a_group_is_written_after_its_parents_death_if_the_child_had_all_of_it(point, is_written):
    outcome = run_schedule(story(point))
    assert outcome.crashed[point]
    assert (WRITTEN in outcome.reached["run-1.1/ledger"]) is is_written
    assert outcome.failures == []


def test_a_child_that_dies_ends_its_parents_run_and_the_next_run_goes_on():
    outcome = run_schedule(
        replace(story(None, Interruption(WRITTEN, 1)), runs=[replace(story(None).runs[0], interruption=None)])
    )
    assert outcome.crashed[WRITTEN]
    assert any("the process that writes the ledger has ended" in text for _, text in outcome.trace)
    assert outcome.failures == []
