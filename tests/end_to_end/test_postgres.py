"""The sync with Dagster's storage and the ops store both on PostgreSQL, as deploy/dagster.yaml sets a production up."""

import shutil
import time
from pathlib import Path

import dagster as dg
import pytest

from meshline_dagster.orchestration.partitions import today
from meshline_dagster.sandbox.crm import generate
from meshline_dagster.store import location
from meshline_dagster.testing.postgres import postgres_server

pytestmark = pytest.mark.slow

DEPLOYED = Path(__file__).resolve().parents[2] / "deploy" / "dagster.yaml"


@pytest.fixture
def dagster_storage():
    return "stored"


@pytest.fixture
def world():
    """More orders than requests go out at once."""
    return generate(5, deals=150, days=30, bad_share=0.1)


def test_a_sync_on_postgresql_posts_what_is_due_once(place, postgres, monkeypatch):
    postgres.create_database("dagster")
    postgres.create_database("meshline")
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", postgres.url("dagster", scheme="postgresql+psycopg2"))
    monkeypatch.setenv("MESHLINE_STORE_URL", postgres.url("meshline"))
    shutil.copyfile(DEPLOYED, place.home / "dagster" / "dagster.yaml")
    with dg.DagsterInstance.get() as instance:
        assert "Postgres" in type(instance.event_log_storage).__name__
    assert not (place.home / "ops.db").exists()
    assert place.run().success
    journal = place.oracle()["journal"]
    assert place.run(mode=None, days=("2026-01-05", "2026-02-20")).success
    assert place.oracle()["journal"] == journal
    figures = place.figures()
    due = [order for order in place.world.ground_truth["orders"].values() if order["class"] == "post"]
    assert figures.posted == sum(order["status"] == "open" for order in due)
    assert figures.unaccounted == 0
    assert location.store_url().startswith("postgresql")
    assert not (place.home / "ops.db").exists()
    assert not (place.home / "dagster" / "history").exists()


@pytest.fixture
def mortal():
    """A server of the test's own, since it is stopped."""
    with postgres_server() as server:
        server.create_database("meshline")
        server.create_database("dagster")
        yield server


@pytest.mark.parametrize(
    "with_dagster",
    [pytest.param(False, id="ops_store"), pytest.param(True, id="ops_store_and_dagster", marks=pytest.mark.long)],
)
def test_postgresql_stopped_and_started_while_a_run_posts_loses_nothing_and_doubles_nothing(
    place, mortal, monkeypatch, with_dagster
):
    """The run goes on by itself; where Dagster's own storage is away, too, Dagster ends it, and the next run goes on."""
    monkeypatch.setenv("MESHLINE_STORE_URL", mortal.url("meshline"))
    if with_dagster:
        monkeypatch.setenv("DAGSTER_POSTGRES_URL", mortal.url("dagster", scheme="postgresql+psycopg2"))
        shutil.copyfile(DEPLOYED, place.home / "dagster" / "dagster.yaml")
    place.faults({"fault": "slow", "probability": 1.0, "seconds": 2.0})
    run = place.start("poll", today(), today(), MESHLINE_TEST_STORE_SECONDS="2")
    deadline = time.monotonic() + 300
    while held(place) < 5:
        assert run.poll() is None, run.stdout.read().decode()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    mortal.stop()
    before = held(place)
    time.sleep(3)
    place.faults()
    mortal.start()
    said = run.communicate(timeout=300)[0].decode()
    if with_dagster:
        again = place.run()
        assert again.success, [event.message for event in again.all_events if event.is_failure]
    else:
        assert run.returncode == 0, said
    oracle, figures = place.oracle(), place.figures()
    due = [order for order in place.world.ground_truth["orders"].values() if order["class"] == "post"]
    assert before < held(place) == sum(order["status"] == "open" for order in due)
    assert oracle["duplicates"] == []
    assert figures.duplicates_in_erp == 0
    assert figures.unaccounted == 0
    assert figures.drift_by_money == 0.0
    assert figures.classes["pending"] == 0
    assert figures.matched == figures.orders - figures.in_exception


def held(place):
    return sum(count for name, count in place.oracle()["documents"].items() if name.startswith("sales_order"))
