"""The derive assets: one build of the warehouse up to outbox and exceptions.

The whole build is one step under the warehouse's lock, because its models are one function of what is landed: none of them means
anything beside older ones. What dbt's tests say becomes asset checks here, and a verdict in the ops store that the writer obeys.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import duckdb

from meshline_dagster.orchestration.connect import FeedSpec
from meshline_dagster.orchestration.dbt_events import DbtStep
from meshline_dagster.orchestration.findings import disposition_findings, held_orders
from meshline_dagster.orchestration.manifest import manifest
from meshline_dagster.orchestration.raw import raw_key
from meshline_dagster.orchestration.resources import MeshlineResource
from meshline_dagster.orchestration.settings import SyncSettings
from meshline_dagster.orchestration.sources import build_spec
from meshline_dagster.orchestration.translator import dbt_specs
from meshline_dagster.store.builds import Build, finish_build, start_build
from meshline_dagster.store.exceptions import sync_origin
from meshline_dagster.store.held_orders import keep_held
from meshline_dagster.store.verdicts import record_verdict
from meshline_dagster.warehouse.build import DERIVE, Prepared, prepare, publish_derived
from meshline_dagster.warehouse.connection import open_warehouse
from meshline_dagster.warehouse.dbt import DbtResult
from meshline_dagster.warehouse.publish import Published

__all__ = ["LOCK_WAIT", "WAREHOUSE_POOL", "derive_assets"]

WAREHOUSE_POOL = "warehouse"
"""One step at a time that opens the warehouse. A courtesy: the file lock is what counts."""

LOCK_WAIT = 600.0
"""Seconds that a step waits for the warehouse."""


def derive_assets(settings: SyncSettings, feeds: Sequence[FeedSpec]) -> dg.AssetsDefinition:
    """The models from staging to outbox, as one step."""
    raw: dict[str, list[dg.AssetKey]] = {}
    for feed in feeds:
        if feed.view is not None:
            raw.setdefault(feed.view, []).append(raw_key(feed.name))
    specs, checks = dbt_specs(manifest(), DERIVE, raw)

    @dg.multi_asset(
        name=f"{settings.name}_derive",
        specs=[spec.merge_attributes(kinds={"dbt", "duckdb"}) for spec in specs],
        check_specs=checks,
        pool=WAREHOUSE_POOL,
    )
    def _derive(context: dg.AssetExecutionContext, meshline: MeshlineResource) -> Iterator[Any]:
        path = meshline.warehouse_path
        with open_warehouse(path, timeout=LOCK_WAIT, filesystem=meshline.zone().filesystem) as connection:
            build, prepared = _begin(settings, feeds, meshline, connection, run_id=context.run.run_id)
            context.log.info("build %s: %s (%s)", build.id, prepared.mode, prepared.why)
            step = DbtStep(prepared.dbt_args(DERIVE), path)
            published = publish_derived(connection, prepared, meshline.published_path) if step.result.success else None
        _end(meshline, build, step.result, published)
        yield from step.report(context)
        assert published is not None
        context.log.info("published %s", dict(published.rows))

    return _derive


def _begin(
    settings: SyncSettings,
    feeds: Sequence[FeedSpec],
    meshline: MeshlineResource,
    connection: duckdb.DuckDBPyConnection,
    *,
    run_id: str,
) -> tuple[Build, Prepared]:
    """Open the build while the warehouse is ours, so that builds follow each other in the order of their numbers."""
    zone = meshline.zone()
    with meshline.store().write() as ops:
        build = start_build(ops, run_id=run_id, as_of=datetime.now(UTC))
        spec = build_spec(
            ops, zone, build, feeds=feeds, destination=settings.destination.name, policy=settings.policy_of_rules()
        )
    return build, prepare(connection, spec)


def _end(meshline: MeshlineResource, build: Build, result: DbtResult, published: Published | None) -> None:
    now = datetime.now(UTC)
    findings = disposition_findings(published) if published else []
    with meshline.store().write() as ops:
        finish_build(ops, build.id, succeeded=published is not None, now=now)
        record_verdict(
            ops,
            "warehouse",
            "dbt",
            passed=result.success,
            detail="all models and tests succeeded" if result.success else _failures(result),
            build_id=build.id,
            now=now,
        )
        if published is not None:
            sync_origin(ops, "disposition", findings, now=now)
            keep_held(ops, held_orders(published))


def _failures(result: DbtResult) -> str:
    failed = [node for node in result.nodes if not node.succeeded and node.status != "skipped"]
    named = "; ".join(f"{node.unique_id.split('.')[-1]}: {(node.message or node.status).strip()}" for node in failed)
    return (named or result.error or "dbt gave no reason")[:2000]
