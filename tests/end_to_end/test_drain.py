"""The drain through Dagster: the sensor asks for a run of the writer alone when postings are due, and that run posts them."""

import dagster as dg
import pytest

from meshline_dagster.orchestration.modes import MODE_TAG, SYNC_TAG
from meshline_dagster.orchestration.resources import MeshlineResource
from meshline_dagster.store.ledger_reports import ledger_counts


@pytest.fixture
def dagster_storage():
    return "stored"


@pytest.fixture
def tick(place):
    """One evaluation of the sensor."""
    repository = place.definitions().get_repository_def()
    sensor = repository.get_sensor_def("crm_to_erp_drain")

    def evaluate():
        meshline = MeshlineResource()
        with (
            dg.DagsterInstance.get() as instance,
            dg.build_sensor_context(
                instance=instance, repository_def=repository, resources={"meshline": meshline}
            ) as context,
        ):
            done = sensor.evaluate_tick(context)
        meshline.store().close()
        return done

    return evaluate


def left(place):
    store = place.store()
    with store.read() as connection:
        _, waiting = ledger_counts(connection, "sandbox")
    store.close()
    return waiting


def test_what_waited_for_a_pause_is_posted_by_one_run_of_the_writer_alone(place, tick):
    assert tick().skip_message == "nothing is due"
    place.said("pause", "--reason", "month end")
    assert place.run().success
    assert left(place) > 0
    assert "is paused by" in tick().skip_message
    place.said("resume")
    with dg.DagsterInstance.get() as instance:
        busy = instance.create_run_for_job(
            place.definitions().get_repository_def().get_job("crm_to_erp_sync"), tags={SYNC_TAG: "crm_to_erp"}
        )
        assert tick().skip_message == f"a run of this sync is in progress ({busy.run_id[:8]})"
        instance.delete_run(busy.run_id)
    [request] = tick().run_requests
    assert request.tags["meshline/reason"] == "postings are due"
    job = place.definitions().get_repository_def().get_job("crm_to_erp_drain")
    assert job.tags[MODE_TAG] == "drain"
    result = place.run("crm_to_erp_drain", mode="drain")
    assert result.success
    assert [event.asset_key.path for event in result.get_asset_materialization_events()] == [["sandbox", "postings"]]
    assert left(place) == 0
    assert sum(place.orders().values()) > 0
    assert tick().skip_message == "nothing is due"
