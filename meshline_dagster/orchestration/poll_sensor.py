"""The poll sensor: peeks at every feed and requests a run when there is something to do. It extracts nothing.

Its cursor is a hint for people. What is to be done is told by the sources and the ops store, so a lost cursor, a failed tick or a
failed run loses nothing: the next tick asks again.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import dagster as dg
import duckdb

from meshline_dagster.core.errors import MeshlineError
from meshline_dagster.delivery.options import DeliveryOptions, Mode
from meshline_dagster.orchestration.connect import FeedSpec
from meshline_dagster.orchestration.modes import MODE_TAG, SYNC_TAG, RunMode
from meshline_dagster.orchestration.partitions import today
from meshline_dagster.orchestration.resources import MeshlineResource
from meshline_dagster.orchestration.settings import SyncSettings
from meshline_dagster.orchestration.turns import why_wait
from meshline_dagster.store.builds import last_planned, replay_wanted
from meshline_dagster.store.feeds import feed_state_of
from meshline_dagster.store.manifest import has_new_files
from meshline_dagster.store.mappings import mapping_seq
from meshline_dagster.store.shadowed import is_any_releasable
from meshline_dagster.warehouse.publish import published

__all__ = ["poll_sensor", "reasons_to_run"]


def poll_sensor(settings: SyncSettings, feeds: Sequence[FeedSpec], job_name: str) -> dg.SensorDefinition:
    """Build the sensor of a sync."""

    @dg.sensor(
        name=f"{settings.name}_poll",
        job_name=job_name,
        minimum_interval_seconds=settings.poll_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Asks the CRM whether anything changed, and the ops store whether a build is wanted; requests one run at a time.",
    )
    def _sensor(
        context: dg.SensorEvaluationContext, meshline: MeshlineResource
    ) -> Iterator[dg.RunRequest | dg.SkipReason]:
        wait = why_wait(context.instance, settings, RunMode.POLL)
        if wait is not None:
            yield dg.SkipReason(wait)
            return
        reasons = reasons_to_run(feeds, meshline, settings.delivery())
        if not reasons:
            yield dg.SkipReason("nothing has changed, nothing waits")
            return
        context.update_cursor("; ".join(reasons)[:1000])
        yield dg.RunRequest(
            partition_key=today(),
            tags={MODE_TAG: RunMode.POLL.value, SYNC_TAG: settings.name, "meshline/reason": reasons[0][:60]},
        )

    return _sensor


def reasons_to_run(feeds: Sequence[FeedSpec], meshline: MeshlineResource, options: DeliveryOptions) -> list[str]:
    """Why a run is wanted now: what waits here first, then what changed there; empty when nothing does.

    A source that does not answer is a reason, too: the run meets the error, retries, and is seen to fail.
    """
    now = datetime.now(UTC)
    names = [feed.name for feed in feeds]
    with meshline.store().read() as connection:
        planned = last_planned(connection)
        unseen = has_new_files(connection, names, planned.landing_to if planned else 0)
        decided = mapping_seq(connection) > (planned.mapping_to if planned else 0)
        replay = replay_wanted(connection)
        gone_live = options.mode is Mode.LIVE and is_any_releasable(
            connection, options.destination, effective_from=options.effective_from
        )
        watermarks = {name: feed_state_of(connection, name).watermark for name in names}
    waiting = {
        "a mapping was decided": decided,
        "a replay was asked for": replay,
        "landed rows wait for a build": unseen,
        "what was shadowed may be posted": gone_live,
        "a hold has outlived its limit": _hold_is_over(meshline, now),
    }
    reasons = [text for text, holds in waiting.items() if holds]
    for feed in feeds:
        try:
            peek = feed.connect().peek(watermarks[feed.name])
        except MeshlineError as error:
            reasons.append(f"{feed.name} does not answer: {error}")
            continue
        if peek.changed:
            reasons.append(f"{feed.name} changed ({peek.hint})")
    return reasons


def _hold_is_over(meshline: MeshlineResource, now: datetime) -> bool:
    """Whether an event that waited at the last build must be judged again."""
    current = published(meshline.published_path)
    if current is None:
        return False
    with duckdb.connect() as connection:
        query = "SELECT count(*) FROM read_parquet(?) WHERE disposition = 'hold' AND hold_until <= ?"
        return connection.execute(query, [str(current.path("events")), now]).fetchall() != [(0,)]
