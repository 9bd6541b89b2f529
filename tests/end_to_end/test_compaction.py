"""The landing zone is compacted by a job of the sync: rows, builds and orders stay as they are, and old files stay for a while."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest
import time_machine

from meshline_dagster.crm.compaction import KEEP
from meshline_dagster.orchestration.resources import MeshlineResource
from meshline_dagster.store import location
from meshline_dagster.store.manifest import live_files
from meshline_dagster.warehouse.connection import open_warehouse
from meshline_dagster.warehouse.publish import published

pytestmark = pytest.mark.slow

FEED = "salesforce/opportunity"
JOB = "crm_to_erp_compaction"


def files(place):
    """The live files of the feed: path -> number of rows."""
    meshline = MeshlineResource()
    with meshline.store().read() as connection:
        found = {meshline.zone().absolute(one.path): one.rows for one in live_files(connection, FEED)}
    meshline.store().close()
    return found


def rows(paths):
    return sorted(
        duckdb.connect()
        .execute(
            "SELECT _id, _stamp::VARCHAR, _hash, _payload, _run_id FROM read_parquet(?, union_by_name = true)",
            [[*paths]],
        )
        .fetchall()
    )


def built():
    """What the last build made of everything landed."""
    with open_warehouse(location.warehouse_path()) as connection:
        events = connection.execute("SELECT * FROM marts.canonical_events ORDER BY id").fetchall()
        orders = "SELECT reconciliation_id, class, source_amount, erp_amount FROM marts.fct_reconciliation ORDER BY ALL"
        return events, connection.execute(orders).fetchall()


def change(place, text):
    """A deal changes on the sandbox's present day, which is long closed by the real clock."""
    key = next(key for key, order in place.world.ground_truth["orders"].items() if order["class"] == "post")
    place.crm.clock.advance(60)
    place.crm.upsert("Opportunity", {"Id": key, "PO_Number__c": text})
    place.crm.clock.advance(60)


def compact(place):
    """Run the job; what it told of the feed."""
    result = place.run(JOB, mode=None)
    assert result.success
    told = {
        event.asset_key.to_user_string(): event.asset_observation_data.asset_observation
        for event in result.all_events
        if event.event_type_value == "ASSET_OBSERVATION"
    }
    assert "sandbox/sales_order" in told
    return {name: value.value for name, value in told[FEED].metadata.items()}


def test_compaction_by_the_job_changes_no_row_and_no_build_does_nothing_twice_and_keeps_old_files_for_a_while(place):
    for number in range(3):
        change(place, f"PO-{number}")
        assert place.run(ops=[FEED.split("/")]).success
    assert place.run().success
    before, events = files(place), built()
    change(place, "PO-last")
    assert place.run(ops=[FEED.split("/")]).success  # landed, and seen by no build yet
    listed = files(place)
    assert len(listed) == len(before) + 1
    content = rows(listed)

    told = compact(place)
    assert (told["days compacted"], told["files before"], told["files after"], told["days left"]) == (1, 4, 1, 0)
    compacted = files(place)
    assert len(compacted) == len(listed) - 3
    assert rows(compacted) == content
    assert rows(listed) == content  # a build that listed them before reads on
    assert compact(place)["days compacted"] == 0
    assert files(place) == compacted

    # The build finds the change that it had not seen, and nothing else.
    journal = place.oracle()["journal"]
    assert place.run().success
    later, _ = built()
    assert len(later) == len(events[0]) + 1
    assert {row[0] for row in events[0]} < {row[0] for row in later}
    assert place.oracle()["journal"] != journal
    # A warehouse built anew from the compacted files is the same, row for row.
    kept, journal = built(), place.oracle()["journal"]
    location.warehouse_path().unlink()
    assert place.run().success
    assert built() == kept
    assert place.oracle()["journal"] == journal

    with time_machine.travel(datetime.now(UTC) + KEEP - timedelta(hours=1)):
        assert compact(place)["replaced files removed"] == 0
    with time_machine.travel(datetime.now(UTC) + KEEP + timedelta(hours=1)):
        assert compact(place)["replaced files removed"] == 4
    assert [Path(path).exists() for path in compacted] == [True] * len(compacted)
    assert sum(Path(path).exists() for path in listed) == len(compacted) - 1
    assert rows(files(place)) == content
    assert published(location.published_path()) is not None


def test_the_sync_starts_the_job_by_itself_every_night(place):
    schedule = place.definitions().get_repository_def().get_schedule_def(f"{JOB}_schedule")
    assert (schedule.job_name, schedule.cron_schedule) == (JOB, "30 2 * * *")
    assert schedule.default_status.value == "RUNNING"
