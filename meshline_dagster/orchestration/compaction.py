"""The compaction job: every night the closed days of a sync's landing zone become one file each.

It is no part of the graph: rows stay as they are, so nothing downstream changes. It shares no lock with builds, which may go on reading the
files they have listed, and takes turns with polls day by day.
"""

from typing import Any

import dagster as dg

from meshline_dagster.crm.compaction import FeedCompaction, compact_feed
from meshline_dagster.orchestration.connect import feed_specs
from meshline_dagster.orchestration.raw import raw_key
from meshline_dagster.orchestration.resources import MeshlineResource
from meshline_dagster.orchestration.settings import SyncSettings

__all__ = ["compaction_job", "compaction_schedule"]


def compaction_job(settings: SyncSettings) -> dg.JobDefinition:
    """Build the job ``<name>_compaction``. What it did to a feed is an observation of that feed's raw asset."""
    feeds = [*(feed.name for feed in feed_specs(settings)), f"{settings.destination.name}/sales_order"]

    @dg.op(name=f"{settings.name}_compact_landing", out=dg.Out(dg.Nothing))
    def _compact(context: dg.OpExecutionContext, meshline: MeshlineResource) -> None:
        zone, limits, left = meshline.zone(), settings.compaction, settings.compaction.max_files
        for feed in feeds:
            done = compact_feed(zone, feed, holder=context.run_id, most_files=left, keep=limits.keep)
            left -= done.files_before
            for problem in done.problems:
                context.log.warning(problem)
            context.log_event(dg.AssetObservation(raw_key(feed), metadata=_metadata(done)))

    @dg.job(
        name=_job_name(settings),
        executor_def=dg.in_process_executor,
        description="Makes one file of each closed day of the landing zone, and removes what was replaced long ago.",
    )
    def _job() -> None:
        _compact()

    return _job


def compaction_schedule(settings: SyncSettings) -> dg.ScheduleDefinition:
    """What starts the job by itself."""

    @dg.schedule(
        name=f"{_job_name(settings)}_schedule",
        job_name=_job_name(settings),
        cron_schedule=settings.compaction.cron,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Keeps the landing zone in few files, some of them each night.",
    )
    def _schedule() -> dg.RunRequest:
        return dg.RunRequest()

    return _schedule


def _job_name(settings: SyncSettings) -> str:
    return f"{settings.name}_compaction"


def _metadata(done: FeedCompaction) -> dict[str, Any]:
    return {
        "days compacted": done.days,
        "files before": done.files_before,
        "files after": done.days,
        "days left": done.days_left,
        "replaced files removed": done.removed,
        "feed was busy": done.busy,
        "problems": list(done.problems),
    }
