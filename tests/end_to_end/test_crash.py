"""Runs that are killed, and runs at the same time: every order once."""

import os
import signal
import time

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
    return generate(5, deals=500, days=30, bad_share=0.1)


def posted(place):
    return sum(count for name, count in place.oracle()["documents"].items() if name.startswith("sales_order"))


def due(place):
    """Orders that must be in the ERP in the end, open or cancelled there."""
    return sum(1 for order in place.world.ground_truth["orders"].values() if order["class"] == "post")


def test_a_run_killed_in_the_middle_of_posting_and_run_again_posts_every_order_once(place):
    place.faults({"fault": "slow", "probability": 1.0, "seconds": 0.2})
    run = place.start("poll", today(), today())
    deadline = time.monotonic() + 400
    while posted(place) < 20 and run.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    killed_at = posted(place)
    assert 20 <= killed_at < due(place)
    place.faults()
    assert place.run().success
    oracle = place.oracle()
    figures = place.figures()
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
