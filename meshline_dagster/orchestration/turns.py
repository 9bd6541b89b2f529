"""One run of a sync at a time, and pauses after runs that failed. A courtesy: what the runs do is safe side by side."""

from datetime import UTC, datetime
from itertools import takewhile

import dagster as dg

from meshline_dagster.orchestration.modes import MODE_TAG, SYNC_TAG, RunMode
from meshline_dagster.orchestration.settings import SyncSettings

__all__ = ["why_wait"]

_RUNNING = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
_MOST_FAILURES = 6
_LONGEST_PAUSE = 900.0


def why_wait(instance: dg.DagsterInstance, settings: SyncSettings, mode: RunMode) -> str | None:
    """Why no run of this mode is to be requested now; None when one may be.

    After runs of the mode that failed the pauses get longer and longer, so that a standing problem costs little.
    """
    ours = {SYNC_TAG: settings.name}
    if instance.get_run_records(filters=dg.RunsFilter(tags=ours, statuses=_RUNNING), limit=1):
        return "a run of this sync is in progress"
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
