"""A whole sync as Dagster definitions: assets, checks, jobs and resource, and the sensors and schedule that drive them."""

import dagster as dg

from meshline_dagster.orchestration.check_sensor import check_sensor
from meshline_dagster.orchestration.compaction import compaction_job, compaction_schedule
from meshline_dagster.orchestration.connect import FeedSpec, feed_specs
from meshline_dagster.orchestration.contracts import contract_checks
from meshline_dagster.orchestration.derive import derive_assets
from meshline_dagster.orchestration.drain_sensor import drain_sensor
from meshline_dagster.orchestration.modes import MODE_TAG, SYNC_TAG, RunMode
from meshline_dagster.orchestration.poll_sensor import poll_sensor
from meshline_dagster.orchestration.preview import preview_job
from meshline_dagster.orchestration.raw import raw_asset
from meshline_dagster.orchestration.readback import read_back_assets, read_back_keys
from meshline_dagster.orchestration.recon_checks import reconciliation_checks
from meshline_dagster.orchestration.reconcile import reconcile_assets
from meshline_dagster.orchestration.resources import MeshlineResource
from meshline_dagster.orchestration.settings import SyncSettings
from meshline_dagster.orchestration.writer import postings_asset, postings_key

__all__ = ["build_automation", "build_sync"]


def build_sync(settings: SyncSettings, *, meshline: MeshlineResource | None = None) -> dg.Definitions:
    """Everything that one sync consists of, but what starts it.

    The job ``<name>_sync`` runs the whole graph: as a poll when the sensor asks for it, as a replay otherwise. The job ``<name>_checks``
    reads the ERP back, compares, and runs every check of ours. The job ``<name>_re_extract`` reads change days from the source again; the
    sensor then has what it found built. The job ``<name>_drain`` delivers what is due in the ledger. The job ``<name>_replay_preview``
    says what a replay would send. The job ``<name>_compaction`` keeps the landing zone in few files.

    Args:
        meshline: where the stores are; by default what the environment says.
    """
    feeds = feed_specs(settings)
    derive, reconcile = derive_assets(settings, feeds), reconcile_assets(settings, feeds)
    raw = [raw_asset(settings, feed.name, feed.kind, feed.connect, _description(feed)) for feed in feeds]
    assets: list[dg.AssetsDefinition] = [
        *raw,
        derive,
        postings_asset(settings),
        *read_back_assets(settings),
        reconcile,
    ]
    checks = [contract_checks(settings), reconciliation_checks(settings)]
    selection = dg.AssetSelection.assets(*assets) | dg.AssetSelection.checks(*checks)
    tags = {SYNC_TAG: settings.name}
    sync_job = dg.define_asset_job(f"{settings.name}_sync", selection, tags=tags)
    check_job = dg.define_asset_job(
        f"{settings.name}_checks",
        dg.AssetSelection.assets(*read_back_keys(settings).values(), *reconcile.keys)
        | dg.AssetSelection.checks(*checks),
        tags=tags,
    )
    re_extract_job = dg.define_asset_job(
        f"{settings.name}_re_extract",
        dg.AssetSelection.assets(*raw),
        tags=tags | {MODE_TAG: RunMode.RE_EXTRACT.value},
        description="Reads change days from the source again. It adds observations, removes none and moves no watermark.",
    )
    drain_job = dg.define_asset_job(
        f"{settings.name}_drain",
        dg.AssetSelection.assets(postings_key(settings)),
        tags=tags | {MODE_TAG: RunMode.DRAIN.value},
        description="Delivers a batch of what is due in the ledger. It polls, derives and plans nothing.",
    )
    return dg.Definitions(
        assets=assets,
        asset_checks=checks,
        jobs=[sync_job, check_job, re_extract_job, drain_job, compaction_job(settings), preview_job(settings, feeds)],
        resources={"meshline": meshline or MeshlineResource()},
        executor=dg.in_process_executor,
    )


def build_automation(settings: SyncSettings) -> dg.Definitions:
    """What starts a sync: the sensor that polls, the one that drains the ledger, the one that turns failed checks into exceptions, the schedules of checks and compaction."""
    return dg.Definitions(
        sensors=[
            poll_sensor(settings, feed_specs(settings), f"{settings.name}_sync"),
            drain_sensor(settings),
            check_sensor(settings),
        ],
        schedules=[_check_schedule(settings, f"{settings.name}_checks"), compaction_schedule(settings)],
    )


def _check_schedule(settings: SyncSettings, job_name: str) -> dg.ScheduleDefinition:
    @dg.schedule(
        name=f"{settings.name}_checks_schedule",
        job_name=job_name,
        cron_schedule=settings.check_cron,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Compares with the ERP and runs every check, also on days on which nothing changes.",
    )
    def _schedule() -> dg.RunRequest:
        return dg.RunRequest()

    return _schedule


def _description(feed: FeedSpec) -> str:
    return f"{feed.object_name} of {feed.instance}, as landed: every version that was observed, by the UTC day of its change."
