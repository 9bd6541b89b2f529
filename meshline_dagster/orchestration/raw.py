"""Raw assets: one for each object of a source, partitioned by change day.

In a poll run the asset reads the next window from the CRM and files the rows under their change days. In every other run it calls no
CRM: it reports what is landed for its partitions, and asks for their replay. A re-extract reads its partitions from the CRM again first,
when asked for by name.
"""

import json
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg
from dagster._core.events import DagsterEventBatchMetadata

from meshline_dagster.core.cursors import Window
from meshline_dagster.crm.poll import PollResult, poll, re_extract
from meshline_dagster.crm.protocol import Feed
from meshline_dagster.crm.schema_change import schema_changes
from meshline_dagster.orchestration.findings import poll_findings
from meshline_dagster.orchestration.modes import AUTHOR_TAG, ENTITIES_TAG, RunMode, run_mode
from meshline_dagster.orchestration.partitions import change_days, partition_range
from meshline_dagster.orchestration.resources import MeshlineResource
from meshline_dagster.orchestration.samples import sample
from meshline_dagster.orchestration.settings import SyncSettings
from meshline_dagster.store.builds import request_replay
from meshline_dagster.store.exceptions import Finding, raise_exceptions, resolve
from meshline_dagster.store.feeds import known_schemas
from meshline_dagster.store.manifest import rows_by_day

__all__ = [
    "landed_metadata",
    "log_other_days",
    "poll_feed",
    "poll_metadata",
    "raw_asset",
    "raw_key",
]

_MOST_DAYS = 1_000
_SCHEMA = "schema"


def raw_key(feed_name: str) -> dg.AssetKey:
    """The asset of a feed: ``salesforce/opportunity`` is ``["salesforce", "opportunity"]``."""
    return dg.AssetKey(feed_name.split("/"))


def raw_asset(
    settings: SyncSettings, feed_name: str, kind: str, connect: Callable[[], Feed], description: str
) -> dg.AssetsDefinition:
    """Build the raw asset of one feed.

    Args:
        kind: the source system, for the UI's icon and filters.
        connect: makes the feed; called inside the run, so that no secret is needed to load the definitions.
    """

    @dg.asset(
        key=raw_key(feed_name),
        partitions_def=change_days(settings.origin),
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name="raw",
        kinds={kind, "parquet"},
        owners=["team:integrations"],
        tags={"meshline/layer": "raw"},
        description=description,
        check_specs=[
            dg.AssetCheckSpec(
                _SCHEMA, asset=raw_key(feed_name), description="The source describes the object as it did before."
            )
        ],
    )
    def _raw(context: dg.AssetExecutionContext, meshline: MeshlineResource) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster does not know the parameterised form
        mode = run_mode(context)
        first, last = partition_range(context)
        metadata: dict[str, Any] = {"mode": mode.value}
        result = None
        if mode is RunMode.POLL:
            result = poll_feed(settings, meshline, connect(), run_id=context.run.run_id)
            log_other_days(context, result, first, last)
            metadata |= poll_metadata(result)
        elif mode is RunMode.RE_EXTRACT:
            window = Window(_midnight(first), _midnight(last + timedelta(days=1)))
            result = re_extract(
                meshline.store(),
                meshline.zone(),
                connect(),
                window,
                run_id=context.run.run_id,
                origin=settings.origin_instant,
            )
            _raise_left_out(meshline, result)
            metadata |= poll_metadata(result)
        if mode is not RunMode.POLL:
            _request_replay(context, meshline, first, last)
        return dg.MaterializeResult(
            metadata=metadata | landed_metadata(meshline, feed_name, first, last, for_each_day=first != last),
            check_results=[_schema_check(meshline, feed_name, result)],
        )

    return _raw


def _request_replay(context: dg.AssetExecutionContext, meshline: MeshlineResource, first: date, last: date) -> None:
    tags = context.run.tags
    with meshline.store().write() as connection:
        request_replay(
            connection,
            first,
            last,
            run_id=context.run.run_id,
            now=datetime.now(UTC),
            requested_by=tags.get(AUTHOR_TAG),
            entities=json.loads(tags[ENTITIES_TAG]) if ENTITIES_TAG in tags else None,
        )


def poll_feed(settings: SyncSettings, meshline: MeshlineResource, feed: Feed, *, run_id: str) -> PollResult:
    """Poll one feed under its lease, and put what could not be landed into the exceptions queue."""
    result = poll(
        meshline.store(),
        meshline.zone(),
        feed,
        run_id=run_id,
        origin=settings.origin_instant,
        overlap=settings.overlap,
        lag=settings.lag,
    )
    _raise_left_out(meshline, result)
    return result


def _schema_check(meshline: MeshlineResource, feed_name: str, result: PollResult | None) -> dg.AssetCheckResult:
    """Failed in the run that meets a change, which also leaves an exception behind: later runs pass, the exception stays."""
    with meshline.store().read() as connection:
        known = known_schemas(connection, feed_name)
    changes = schema_changes(result.schema_before, known[0]) if result and result.schema_before else []
    lost = any(" was added " not in line for line in changes)
    metadata: dict[str, Any] = {"schemas seen": len(known), "fields": len(known[0]["fields"]) if known else 0}
    if changes:
        metadata["difference"] = dg.MetadataValue.md("\n".join(f"- {line}" for line in changes))
        finding = Finding(
            trace_key=f"schema:{feed_name}:{'; '.join(changes)}"[:400],
            origin="schema",
            code="schema_changed",
            title=f"{feed_name}: the source's schema has changed",
            detail="; ".join(changes)[:2000],
            fix="Check whether models and mappings still mean the right thing, then `meshline exceptions resolve KEY --reason TEXT`.",
            owner="integrations",
            priority="P2" if lost else "P3",
        )
        with meshline.store().write() as connection:
            raise_exceptions(connection, [finding], now=datetime.now(UTC))
    severity = dg.AssetCheckSeverity.ERROR if lost else dg.AssetCheckSeverity.WARN
    return dg.AssetCheckResult(passed=not changes, check_name=_SCHEMA, severity=severity, metadata=metadata)


def _raise_left_out(meshline: MeshlineResource, result: PollResult) -> None:
    """One exception for each; what an earlier poll left out and this one has read is resolved."""
    findings = poll_findings(result)
    corrected = set(result.corrected) - {finding.trace_key for finding in findings}
    if findings or corrected:
        now = datetime.now(UTC)
        with meshline.store().write() as connection:
            raise_exceptions(connection, findings, now=now)
            resolve(connection, sorted(corrected), resolution="the record has been read and landed since", now=now)


def log_other_days(context: dg.AssetExecutionContext, result: PollResult, first: date, last: date) -> None:
    """Report what a poll filed under days that are no partitions of this run; of very many, the latest.

    As ``context.log_event`` does, but as one group: one by one, a first poll would spend most of its time on them.
    """
    days = [day for day in sorted(result.days) if not first <= day <= last][-_MOST_DAYS:]
    step, group = context.op_execution_context.get_step_execution_context(), str(uuid.uuid4())
    for day in days:
        metadata: dict[str, Any] = {"rows landed": result.days[day], "run": context.run.run_id}
        done = dg.AssetMaterialization(asset_key=context.asset_key, partition=day.isoformat(), metadata=metadata)
        dg.DagsterEvent.asset_materialization(step, done, DagsterEventBatchMetadata(group, day == days[-1]))


def poll_metadata(result: PollResult) -> dict[str, Any]:
    """What a poll did, for people who look at its materialization."""
    return {
        "window": f"{result.window.start.isoformat()} .. {result.window.end.isoformat()}",
        "rows read": result.rows_read,
        "rows landed": result.rows_landed,
        "rows landed before": result.rows_dropped,
        "rows refused": len(result.rejected) + len(result.problems),
        "change days": len(result.days),
    }


def landed_metadata(
    meshline: MeshlineResource, feed_name: str, first: date, last: date, *, for_each_day: bool = False
) -> dict[str, Any]:
    """What is landed for a range of change days, with a few rows of the last one.

    Args:
        for_each_day: each day of the range gets this: figures of the range are called so, and no day shows another day's rows.
    """
    with meshline.store().read() as connection:
        by_day = rows_by_day(connection, feed_name, first, last)
    rows = sum(day["rows"] for day in by_day.values())
    metadata: dict[str, Any] = {
        "files": sum(day["files"] for day in by_day.values()),
        "bytes": sum(day["bytes"] for day in by_day.values()),
        "schema hash": max((day["schema_hash"] for day in by_day.values()), default=""),
    }
    if for_each_day:
        return metadata | {"range": f"{first} .. {last}", "rows of the range": rows}
    metadata["dagster/row_count"] = rows
    if rows:
        metadata["sample"] = dg.MetadataValue.md(sample(meshline.zone(), meshline.store(), feed_name, max(by_day)))
    return metadata


def _midnight(day: date) -> datetime:
    return datetime.combine(day, datetime.min.time(), tzinfo=UTC)
