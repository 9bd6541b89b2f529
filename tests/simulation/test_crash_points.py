"""Every point of delivery at which a process can die has been died at. A new `await` or transaction is a new point: nobody lists it."""

import ast
import re
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest

from meshline_dagster import delivery
from meshline_dagster.core.backlog import BacklogLimits
from meshline_dagster.core.followups import BillingPolicy, InvoiceTrigger
from meshline_dagster.core.reversals import ReversalLimits
from meshline_dagster.delivery import units
from meshline_dagster.testing.oracle import Hold
from meshline_dagster.testing.simulator import Profile, crash_points, draw_schedule, points, run_schedule
from meshline_dagster.testing.simulator.billing import Billing
from meshline_dagster.testing.simulator.child import Hiring
from meshline_dagster.testing.simulator.faults import FaultKind, FaultPlan
from meshline_dagster.testing.simulator.network import Timing
from meshline_dagster.testing.simulator.operations import Operations
from meshline_dagster.testing.simulator.process import Interruption

MOST_SEEDS = 1_000


def point(*parts):
    """The only point, or the first of two, whose name has all of these parts."""
    return next(name for name in crash_points() if all(part in name for part in parts))


INTENT = point("requests.Requests._send await", "intend(")
POST = point("requests.Requests._post await")
COMMIT = point("__enter__")

RELEASE = 8.0
STARTS = (1.0, RELEASE + 0.1, RELEASE + 5.0, 21.0, 25.5)
OPERATIONS = (
    Operations(rate=20.0, burst=2, backlog=BacklogLimits(0), released=(RELEASE, 3 * RELEASE)),
    Operations(hiring=Hiring(postings=1, start=0.01, step=0.02, end=0.0), coalesce=True),
    Operations(rate=1.0, burst=1),
    Operations(hiring=Hiring(postings=1, start=0.01, step=0.02, end=20.0)),
    Operations(backlog=BacklogLimits(0), released=(RELEASE, 3 * RELEASE), coalesce=True),
    Operations(hiring=Hiring(postings=1, start=0.01, step=30.0, end=0.0)),
)
"""What a delivery has to do with, so that it goes all of its ways."""

MIXED = dict.fromkeys(
    (
        *(FaultKind.RESET_BEFORE, FaultKind.RESET_AFTER, FaultKind.TIMEOUT_LOST, FaultKind.MID_BODY, FaultKind.SLOW),
        *(FaultKind.ERROR_BEFORE, FaultKind.BUSY_UNTIL),
    ),
    1.0,
)


def is_large(schedule):
    """Whether there is enough for several requests at once, and an order that was cancelled before we knew it."""
    return len(schedule.world.entities) >= 9 and ["cancelled"] in states_of(schedule)


def states_of(schedule):
    """The statuses of each entity, oldest first."""
    states = {}
    for row in sorted(schedule.world.publications[-1].rows, key=lambda row: row.event_time):
        states.setdefault(row.entity_key, []).append(row.payload.get("status"))
    return list(states.values())


def taken_back(schedule):
    """The schedule without faults, one run after each outbox and one more, and no order may be taken back without an approval. Orders are invoiced once
    they start: some of them after the first run.
    """
    *outboxes, last = schedule.world.publications
    outboxes = [replace(one, at=1.0 + 9 * place) for place, one in enumerate(outboxes)]
    return replace(
        stage(schedule),
        world=replace(schedule.world, publications=(*outboxes, replace(last, at=60.0))),
        until=60.0,
        timing=replace(schedule.timing, latency=0.005),
        faults=FaultPlan(0.0, MIXED, (), 60.0),
        pauses=(),
        forged_at=None,
        matches_only=False,
        operations=Operations(reversals=ReversalLimits(0)),
        billing=Billing(BillingPolicy(trigger=InvoiceTrigger.START), midnight=9.5),
        runs=[
            replace(schedule.runs[0], at=2.0 + 9 * place, again=1.0, patience=2.0, interruption=None)
            for place in range(len(outboxes) + 1)
        ],
    )


def standing_twice(schedule):
    """The schedule with an ERP that acts too late: its orders stand twice, and operators have them reversed between the runs."""
    *outboxes, last = schedule.world.publications
    weights = {FaultKind.TOO_LATE: 1.0, FaultKind.RESET_AFTER: 0.4, FaultKind.TIMEOUT_DONE: 0.4}
    return replace(
        stage(schedule),
        until=90.0,
        world=replace(schedule.world, publications=(*outboxes, replace(last, at=90.0))),
        plan_interruptions=[None] * len(outboxes),
        faults=FaultPlan(0.4, weights, (), 90.0),
        pauses=(),
        forged_at=None,
        matches_only=False,
        max_attempts=30,
        absences=(),
        operations=Operations(approved=(15.0, 30.0, 45.0, 60.0, 75.0)),
        billing=None,
        runs=[
            replace(schedule.runs[0], at=1.0 + 15 * place, again=1.0, patience=10.0, interruption=None)
            for place in range(6)
        ],
    )


def stage(schedule):
    """The schedule as a story in which much happens: several runs at once, many postings that were held back and are released together,
    plans meanwhile, one posting that is forged before it is sent; in every other, orders are invoiced, and in every third the ops store goes away. Some runs stand still until their lease has become too short for a
    request, or is lost; one dies while it posts, so that there is something to inherit.
    """
    seed, timing = schedule.seed, Timing(latency=0.1, settle_after=0.5, timeout=1.0)
    happens = [
        None,
        Interruption(POST, 1),
        Interruption(INTENT, 1, 1.5 * timing.timeout + 10),
        Interruption(COMMIT, 3, 3 * timing.timeout + 12),
        None,
    ]
    runs = [
        replace(schedule.runs[0], at=STARTS[place], patience=5.0, again=4.0, interruption=happens[(seed + place) % 5])
        for place in range(5)
    ]
    *outboxes, last = schedule.world.publications
    outboxes = [replace(one, at=0.5 if not place else RELEASE + 0.2 * place) for place, one in enumerate(outboxes)]
    return replace(
        schedule,
        until=40.0,
        world=replace(schedule.world, publications=(*outboxes, replace(last, at=40.0))),
        timing=timing,
        faults=FaultPlan((0.3, 0.6)[seed % 2], MIXED, ((14.0, 18.0),), 40.0),
        live_from=0.0,
        pauses=(Hold(RELEASE + 3, RELEASE + 4.8),),
        runs=runs,
        plan_interruptions=[None] * len(schedule.plan_interruptions),
        operations=OPERATIONS[seed % len(OPERATIONS)],
        forged_at=16.0 if seed % 4 == 1 else RELEASE - 1,
        forges_sent=seed % 4 == 1,
        as_network=seed % 3 == 0,
        commit_seconds=(1.0, 0.05)[seed % 4 != 0],
        slots=(4, 1)[seed // 2 % 2],
        max_attempts=3,
        matches_only=seed % 7 == 3,
        billing=Billing(BillingPolicy(), midnight=20.0) if seed % 2 else None,
        absences=((21.8, 23.3),) if seed % 3 == 1 else (),
    )


def death_at(name, interruption):
    """A run's end at a point; after what was to happen to it anyway, where it survives that."""
    death = Interruption(name, 1)
    return death if interruption is None or interruption.pause is None else replace(interruption, then=death)


class Coverage:
    """Kills runs at points that they reach, until somebody has died at each."""

    def __init__(self):
        self.missing = set(crash_points())
        self.schedules = 0

    def run(self, schedule):
        self.schedules += 1
        with patch.object(units, "_READ_AT_ONCE", 1 if schedule.seed % 2 else 100):  # look-ups that wait for each other
            outcome = run_schedule(schedule)
        assert outcome.failures == [], (schedule.seed, [str(one) for one in outcome.failures])
        self.missing -= set(outcome.crashed)
        return outcome.reached

    def work_off(self, schedule):
        """See what each run of a schedule reaches undisturbed, then let each die at one point after the other."""
        reached = self.run(schedule)
        left = {place: self._of(reached, f"run-{place + 1}.1") for place in range(len(schedule.runs))}
        while any(names & self.missing for names in left.values()):
            runs, taken = list(schedule.runs), set()
            for place, names in left.items():
                wanted = min(names & self.missing - taken, default=None)
                if wanted is not None:
                    taken.add(wanted)
                    names.discard(wanted)
                    runs[place] = replace(runs[place], interruption=death_at(wanted, runs[place].interruption))
            self.run(replace(schedule, runs=runs))

    @staticmethod
    def _of(reached, name):
        return {one for whose in (name, f"{name}/ledger") for one in reached.get(whose, ())}


@pytest.mark.slow
def test_a_process_has_died_at_every_point_and_the_orders_still_ended_once():
    coverage = Coverage()
    planned = draw_schedule(0, Profile.UNIQUE)
    for number in (1, 2):  # the two sides of the only transaction of a plan
        coverage.run(
            replace(planned, plan_interruptions=[Interruption(None, number)] * len(planned.plan_interruptions))
        )
    cancelling = (draw_schedule(seed, list(Profile)[seed % 3]) for seed in range(MOST_SEEDS))
    for schedule in (one for one in cancelling if any(len(of) > 1 and of[-1] == "cancelled" for of in states_of(one))):
        coverage.work_off(taken_back(schedule))
        if not any("reversals" in name or "Recorder.bill" in name for name in coverage.missing):
            break
    for schedule in (draw_schedule(seed, Profile.LOOKUP_ONLY) for seed in range(MOST_SEEDS)):
        coverage.work_off(standing_twice(schedule))
        if not any("reversing." in name or "_reverse" in name or "reverse(" in name for name in coverage.missing):
            break
    drawn = (draw_schedule(seed, list(Profile)[seed % 3]) for seed in range(MOST_SEEDS))
    for place, schedule in enumerate(one for one in drawn if is_large(one)):
        coverage.work_off(stage(replace(schedule, seed=place)))
        if not coverage.missing:
            return
    pytest.fail(f"nobody died at {sorted(coverage.missing)}: let a schedule get there, or say why nothing can")


def test_the_list_has_every_await_and_both_sides_of_every_transaction_of_delivery():
    awaits = writes = 0
    for file in Path(delivery.__file__).parent.glob("*.py"):
        if file.stem not in {"deletions", "readback"}:  # they only read
            tree = list(ast.walk(ast.parse(file.read_text())))
            awaits += sum(isinstance(node, (ast.Await, ast.AsyncWith, ast.AsyncFor)) for node in tree)
            awaits -= len(re.findall(r"async with (asyncio\.timeout|within)\(", file.read_text()))  # these never wait
            writes += file.read_text().count("store.write()")
    assert len(crash_points()) == awaits + 2 * writes
    assert awaits > 30
    assert writes >= 5


def test_an_await_and_a_transaction_that_are_new_are_new_points(tmp_path):
    (tmp_path / "fresh.py").write_text("async def f(store):\n    await g()\n    with store.write():\n        pass\n")
    awaits, commits = points._points_of(tmp_path / "fresh.py")
    assert set(awaits.values()) == {"fresh.f await g()"}
    assert commits == {3: "commit of fresh.f"}
