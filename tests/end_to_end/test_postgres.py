"""The sync with Dagster's storage and the ops store both on PostgreSQL, as deploy/dagster.yaml sets a production up."""

import shutil
from pathlib import Path

import dagster as dg
import pytest

from meshline_dagster.store import location

pytestmark = pytest.mark.slow

DEPLOYED = Path(__file__).resolve().parents[2] / "deploy" / "dagster.yaml"


@pytest.fixture
def dagster_storage():
    return "stored"


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
