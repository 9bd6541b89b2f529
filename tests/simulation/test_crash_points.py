"""Every point of delivery at which a process can die has been died at. A new `await` or transaction is a new point: nobody lists it."""

import ast
from dataclasses import replace
from pathlib import Path

import pytest

from meshline_dagster import delivery
from meshline_dagster.testing.simulator import Profile, crash_points, draw_schedule, points, run_schedule
from meshline_dagster.testing.simulator.process import Interruption

MOST_SEEDS = 1_000


INTENT = next(point for point in crash_points() if "intend(" in point and "_send" in point)
POST = next(point for point in crash_points() if point.startswith("requests.Requests._post await"))
COMMIT = next(point for point in crash_points() if "__enter__" in point)


def aimed(schedule, wanted):
    """The schedule with runs killed where nobody has died yet: at once, or after a pause in which the lease has become too short for a
    request, or was lost. One in five dies while it posts, so that there is something to inherit.
    """
    runs = []
    for place, run in enumerate(schedule.runs):
        death = Interruption(wanted[place % len(wanted)], 1)
        timeout = schedule.timing.timeout
        forms = (
            death,
            Interruption(INTENT, 1, 1.5 * timeout + 10, death),
            Interruption(COMMIT, 3, 3 * timeout + 12, death),
            Interruption(POST, 1),
            death,
        )
        runs.append(replace(run, interruption=forms[(schedule.seed + place) % len(forms)]))
    plans = [Interruption(None, 1 + place % 2) for place in range(len(schedule.plan_interruptions))]
    return replace(
        schedule,
        runs=runs,
        plan_interruptions=plans,
        forged_at=schedule.until * 0.4,
        slots=1 if schedule.seed % 2 else schedule.slots,
        faults=replace(schedule.faults, rate=max(schedule.faults.rate, 0.3) if schedule.seed % 2 else 0.0),
        matches_only=schedule.seed % 7 == 0,
    )


@pytest.mark.slow
def test_a_process_has_died_at_every_point_and_the_orders_still_ended_once():
    missing = list(crash_points())
    for seed in range(MOST_SEEDS):
        start = seed % len(missing)
        schedule = draw_schedule(seed, list(Profile)[seed % 3])
        outcome = run_schedule(aimed(schedule, missing[start:] + missing[:start]))
        assert outcome.failures == [], (seed, [str(one) for one in outcome.failures])
        missing = [point for point in missing if not outcome.crashed[point]]
        if not missing:
            return
    pytest.fail(f"nobody died at {missing} in {MOST_SEEDS} schedules: let one get there, or say why nothing can")


def test_the_list_has_every_await_and_both_sides_of_every_transaction_of_delivery():
    awaits = writes = 0
    for file in Path(delivery.__file__).parent.glob("*.py"):
        if file.stem != "readback":  # it only reads
            tree = list(ast.walk(ast.parse(file.read_text())))
            awaits += sum(isinstance(node, (ast.Await, ast.AsyncWith, ast.AsyncFor)) for node in tree)
            awaits -= file.read_text().count("async with asyncio.timeout(")  # these never wait
            writes += file.read_text().count("store.write()")
    assert len(crash_points()) == awaits + 2 * writes
    assert awaits > 30
    assert writes >= 5


def test_an_await_and_a_transaction_that_are_new_are_new_points(tmp_path):
    (tmp_path / "fresh.py").write_text("async def f(store):\n    await g()\n    with store.write():\n        pass\n")
    awaits, commits = points._points_of(tmp_path / "fresh.py")
    assert set(awaits.values()) == {"fresh.f await g()"}
    assert commits == {3: "commit of fresh.f"}
