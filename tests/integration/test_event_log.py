"""Dagster's event log in local files: groups of events are written together, and read as if they had come one by one."""

import dagster as dg
import pytest

from meshline_dagster.cli.demo import dagster_home
from meshline_dagster.orchestration.event_log import LocalEventLogStorage

DAYS = dg.DailyPartitionsDefinition("2026-01-01", end_date="2026-04-11")
FIRST, LAST = "2026-01-01", "2026-04-10"


@dg.asset(partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run())
def days():
    return dg.MaterializeResult(metadata={"rows": 7})


@pytest.fixture
def instance(tmp_path, monkeypatch):
    monkeypatch.delenv("DAGSTER_EVENT_BATCH_SIZE", raising=False)
    monkeypatch.setenv("DAGSTER_HOME", str(dagster_home(tmp_path)))
    with dg.DagsterInstance.get() as opened:
        yield opened


def backfilled(instance):
    tags = {"dagster/asset_partition_range_start": FIRST, "dagster/asset_partition_range_end": LAST}
    return dg.materialize([days], instance=instance, tags=tags)


def test_a_range_is_written_together_and_told_day_by_day(instance, monkeypatch):
    groups, store_batch = [], LocalEventLogStorage.store_event_batch

    def counting(self, events):
        groups.append(len(events))
        store_batch(self, events)

    monkeypatch.setattr(LocalEventLogStorage, "store_event_batch", counting)
    monkeypatch.setattr(LocalEventLogStorage, "store_event", _only_other_events(LocalEventLogStorage.store_event))
    run = backfilled(instance)
    keys = DAYS.get_partition_keys()
    assert groups == [len(keys), len(keys)]
    for kind in (dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED, dg.DagsterEventType.ASSET_MATERIALIZATION):
        own = instance.all_logs(run.run_id, of_type=kind)
        assert [entry.dagster_event.partition for entry in own] == keys
        found = instance.get_event_records(dg.EventRecordsFilter(kind, asset_key=days.key), ascending=True)
        assert [record.partition_key for record in found] == keys
    assert instance.get_materialized_partitions(days.key) == set(keys)
    latest = instance.get_latest_materialization_event(days.key)
    assert latest.asset_materialization.partition == LAST
    assert latest.asset_materialization.metadata["rows"].value == 7


def _only_other_events(store):
    def refusing(self, event):
        assert not (event.dagster_event and event.dagster_event.asset_key and event.dagster_event.partition), event
        store(self, event)

    return refusing


def test_what_is_no_event_of_an_asset_is_stored_too(instance):
    run = backfilled(instance)
    kinds = {entry.dagster_event_type for entry in instance.all_logs(run.run_id)}
    assert {dg.DagsterEventType.STEP_SUCCESS, dg.DagsterEventType.RUN_SUCCESS} <= kinds


def test_without_a_home_the_error_says_so(monkeypatch):
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    with pytest.raises(Exception, match="DAGSTER_HOME is not set"):
        LocalEventLogStorage.from_config_value(None, {})
