"""One run of a sync at a time, and pauses after runs that failed. A courtesy: what the runs do is safe side by side."""

from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import takewhile

import dagster as dg

from meshline_dagster.orchestration.connect import feed_specs
from meshline_dagster.orchestration.modes import MODE_TAG, SYNC_TAG, RunMode
from meshline_dagster.orchestration.raw import raw_key
from meshline_dagster.orchestration.settings import SyncSettings
from meshline_dagster.orchestration.writer import postings_key

__all__ = ["why_wait"]

_RUNNING = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
_AT_WORK = frozenset({"REQUESTED", "CANCELING", "FAILING"})  # of a backfill: also between two of its runs
_NEWEST_RUNS, _NEWEST_BACKFILLS = 200, 20  # to look at in one tick
_MOST_FAILURES = 6
_LONGEST_PAUSE = 900.0


def why_wait(instance: dg.DagsterInstance, settings: SyncSettings, mode: RunMode) -> str | None:
    """Why no run of this mode is to be requested now; None when one may be.

    After runs of the mode that failed the pauses get longer and longer, so that a standing problem costs little.
    """
    ours = {SYNC_TAG: settings.name}
    busy = _in_progress(instance, settings)
    if busy is not None:
        return busy
    before = dg.RunsFilter(tags=ours | {MODE_TAG: mode.value})
    failed = list(
        takewhile(
            lambda record: record.dagster_run.status is dg.DagsterRunStatus.FAILURE,
            instance.get_run_records(filters=before, limit=_MOST_FAILURES),
        )
    )
    if not failed:
        return None
    pause = min(settings.poll_seconds * 2 ** len(failed), _LONGEST_PAUSE)
    since = datetime.now(UTC).timestamp() - (failed[0].end_time or 0)
    return None if since >= pause else f"the last {len(failed)} runs failed: next attempt in {pause - since:.0f} s"


def _in_progress(instance: dg.DagsterInstance, settings: SyncSettings) -> str | None:
    """What is at work on this sync's assets: a run of its jobs, or a run or backfill that somebody launched over the assets, which
    carries no tag of ours.
    """
    assets = {raw_key(feed.name) for feed in feed_specs(settings)} | {dg.AssetKey(["outbox"]), postings_key(settings)}

    def concerns(selected: Iterable[dg.AssetKey] | None) -> bool:
        return not assets.isdisjoint(selected or ())

    tagged = dg.RunsFilter(tags={SYNC_TAG: settings.name}, statuses=_RUNNING)
    records = [
        *instance.get_run_records(filters=tagged, limit=1),
        *instance.get_run_records(filters=dg.RunsFilter(statuses=_RUNNING), limit=_NEWEST_RUNS),
    ]
    for run in (record.dagster_run for record in records):
        if run.tags.get(SYNC_TAG) == settings.name or concerns(run.asset_selection):
            return f"a run of this sync is in progress ({run.run_id[:8]})"
    for backfill in instance.get_backfills(limit=_NEWEST_BACKFILLS):
        if backfill.status.value in _AT_WORK and concerns(backfill.asset_selection):
            return f"a backfill of this sync is in progress ({backfill.backfill_id})"
    return None
