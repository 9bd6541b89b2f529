"""Runs that are killed, and runs at the same time: every order once."""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress

import dagster as dg
import pytest

from meshline_dagster.orchestration.partitions import today
from meshline_dagster.sandbox.crm import generate

pytestmark = pytest.mark.slow


@pytest.fixture
def dagster_storage():
    return "stored"


@pytest.fixture
def world():
    return generate(5, deals=200, days=30, bad_share=0.1)


def posted(place):
    return sum(count for name, count in place.oracle()["documents"].items() if name.startswith("sales_order"))


def due(place):
    """Orders that must be in the ERP in the end, open or cancelled there."""
    return sum(1 for order in place.world.ground_truth["orders"].values() if order["class"] == "post")


def check_every_order_once(place):
    oracle, figures = place.oracle(), place.figures()
    assert oracle["duplicates"] == []
    assert figures.duplicates_in_erp == 0
    assert figures.unaccounted == 0
    assert figures.drift_by_money == 0.0
    assert figures.classes["pending"] == 0
    assert figures.matched == figures.orders - figures.in_exception
    open_orders = sum(
        1 for o in place.world.ground_truth["orders"].values() if o["class"] == "post" and o["status"] == "open"
    )
    assert sum(count for name, count in oracle["orders"].items() if name.endswith(" open")) == open_orders


def killed(place, *, after, seconds):
    """Start a run, and kill it so many seconds after it has posted so many orders; False when it was done before."""
    run = place.start("poll", today(), today(), MESHLINE_TEST_REQUEST_SECONDS="2")  # the next run waits for its leases
    enough = posted(place) + after
    while posted(place) < enough and run.poll() is None:
        time.sleep(0.02)
    with suppress(subprocess.TimeoutExpired):
        run.wait(timeout=seconds)
    run.kill()
    run.communicate()
    return run.returncode == -signal.SIGKILL


def test_a_run_killed_in_the_middle_of_posting_and_run_again_posts_every_order_once(place):
    place.faults({"fault": "slow", "probability": 1.0, "seconds": 0.2})
    assert killed(place, after=20, seconds=0.0)
    assert 20 <= posted(place) < due(place)
    place.faults()
    assert place.run().success
    check_every_order_once(place)


@pytest.mark.long
def test_runs_killed_at_random_times_and_run_again_post_every_order_once(place):
    """Wherever that is: while they start, poll, derive or post. ``MESHLINE_TEST_SEED`` repeats a failure as far as clocks allow."""
    seed = int(os.environ.get("MESHLINE_TEST_SEED") or random.SystemRandom().randrange(10**6))
    rng = random.Random(seed)
    place.faults({"fault": "slow", "probability": 1.0, "seconds": 0.05})
    few = due(place) // 6  # what is in flight at a death is posted, too
    times = [(0, rng.uniform(1, 12)), *((rng.randrange(1, few), rng.uniform(0, 0.3)) for _ in range(2))]
    sys.stdout.write(f"MESHLINE_TEST_SEED={seed}: killed so many seconds after so many orders: {times}\n")
    assert sum(killed(place, after=count, seconds=seconds) for count, seconds in times) == len(times)
    place.faults()
    deadline = time.monotonic() + 300
    while not place.run().success:  # what a dead poll holds of its feed runs out; the sensors ask for the next run
        assert time.monotonic() < deadline
        time.sleep(5)
    check_every_order_once(place)


def test_two_runs_of_one_partition_at_the_same_time_post_every_order_once_and_meet_no_lock_error(place):
    with dg.DagsterInstance.get() as instance:  # an instance whose storage exists, as in any running installation
        assert instance.get_runs_count() == 0
    runs = [place.start("poll", today(), today()) for _ in range(2)]
    said = [run.communicate(timeout=300)[0].decode() for run in runs]
    assert [run.returncode for run in runs] == [0, 0], said
    assert place.oracle()["duplicates"] == []
    figures = place.figures()
    assert figures.duplicates_in_erp == 0
    assert figures.matched == figures.orders - figures.in_exception
    assert figures.classes["pending"] == 0
