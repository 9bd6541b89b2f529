"""What keeps the sensors from requesting a run: whatever is at work on the sync's assets, whoever launched it."""

from datetime import UTC, date, datetime

import dagster as dg
import pytest
from dagster._core.execution.backfill import (
    BulkActionStatus,
    PartitionBackfill,
)  # no public way makes a backfill without a webserver

from meshline_dagster.orchestration.modes import SYNC_TAG, RunMode
from meshline_dagster.orchestration.settings import RestDestination, SalesforceSource, SyncSettings
from meshline_dagster.orchestration.turns import why_wait

SETTINGS = SyncSettings(sources=(SalesforceSource(),), destination=RestDestination(), origin=date(2026, 1, 1))
DAYS = dg.DailyPartitionsDefinition("2026-01-01")


@dg.asset(key=["salesforce", "opportunity"], partitions_def=DAYS)
def raw():
    """A feed of the sync."""


@dg.asset(key=["sandbox", "postings"])
def postings():
    """Its writer."""


@dg.asset(partitions_def=DAYS)
def other():
    """Somebody else's asset."""


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as found:
        yield found


def launched(instance, asset, status=dg.DagsterRunStatus.STARTED, tags=None):
    """A run over one asset, as the web interface launches it."""
    definitions = dg.Definitions(assets=[asset])
    job = definitions.get_repository_def().get_implicit_global_asset_job_def()
    return instance.create_run_for_job(
        job.get_subset(asset_selection={asset.key}), asset_selection={asset.key}, status=status, tags=tags
    )


def filled(instance, asset, status=BulkActionStatus.REQUESTED):
    """A backfill of one asset."""
    graph = dg.Definitions(assets=[asset]).get_repository_def().asset_graph
    backfill = PartitionBackfill.from_asset_partitions(
        backfill_id="bf-1",
        asset_graph=graph,
        partition_names=["2026-01-01"],
        asset_selection=[asset.key],
        backfill_timestamp=datetime.now(UTC).timestamp(),
        tags={},
        dynamic_partitions_store=instance,
        all_partitions=False,
        title=None,
        description=None,
        run_config=None,
    )
    instance.add_backfill(backfill.with_status(status))


def wait(instance):
    return why_wait(instance, SETTINGS, RunMode.POLL)


@pytest.mark.parametrize("asset", [raw, postings])
def test_a_run_over_the_assets_that_somebody_launched_counts_without_our_tag(instance, asset):
    assert wait(instance) is None
    run = launched(instance, asset)
    assert wait(instance) == f"a run of this sync is in progress ({run.run_id[:8]})"
    assert why_wait(instance, SETTINGS, RunMode.DRAIN) is not None


def test_a_run_of_our_jobs_counts_by_its_tag(instance):
    launched(instance, other, tags={SYNC_TAG: SETTINGS.name})
    assert wait(instance) is not None


def test_runs_of_other_assets_and_runs_that_are_over_do_not_count(instance):
    launched(instance, other)
    launched(instance, other, tags={SYNC_TAG: "another"})
    launched(instance, raw, status=dg.DagsterRunStatus.SUCCESS)
    assert wait(instance) is None


@pytest.mark.parametrize("status", [BulkActionStatus.REQUESTED, BulkActionStatus.CANCELING, BulkActionStatus.FAILING])
def test_a_backfill_counts_also_between_two_of_its_runs(instance, status):
    filled(instance, raw, status)
    assert wait(instance) == "a backfill of this sync is in progress (bf-1)"


def test_a_backfill_of_other_assets_does_not_count(instance):
    filled(instance, other)
    assert wait(instance) is None


@pytest.mark.parametrize(
    "status", [one for one in BulkActionStatus if one.value.startswith(("COMPLETED", "CANCELED", "FAILED"))]
)
def test_a_backfill_that_is_over_does_not_count(instance, status):
    filled(instance, raw, status)
    assert wait(instance) is None
