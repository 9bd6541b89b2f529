"""The reconcile assets: what the source says against what the ERP holds, after the read-back."""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from meshline_dagster.core.documents import REVERSE
from meshline_dagster.core.duplicates import Doubled
from meshline_dagster.core.errors import ConfigError, MeshlineError
from meshline_dagster.crm.poll import re_extract
from meshline_dagster.delivery.deletions import Deleted, DeletedFeed, deleted_documents
from meshline_dagster.delivery.duplicates import settle_duplicates
from meshline_dagster.delivery.readback import ErpFeed
from meshline_dagster.erp.protocol import ErpWriter
from meshline_dagster.orchestration.connect import FeedSpec, connect_writer
from meshline_dagster.orchestration.dbt_events import DbtStep
from meshline_dagster.orchestration.derive import LOCK_WAIT, WAREHOUSE_POOL
from meshline_dagster.orchestration.manifest import manifest
from meshline_dagster.orchestration.readback import read_back_keys
from meshline_dagster.orchestration.resources import MeshlineResource
from meshline_dagster.orchestration.settings import SyncSettings
from meshline_dagster.orchestration.sources import ERP_VIEWS, source_files
from meshline_dagster.orchestration.translator import dbt_specs
from meshline_dagster.store.builds import last_build
from meshline_dagster.store.milestones import active_milestones
from meshline_dagster.warehouse.build import RECONCILE, reconcile_args
from meshline_dagster.warehouse.connection import open_warehouse
from meshline_dagster.warehouse.duplicates import doubled_documents
from meshline_dagster.warehouse.extracts import write_billing_terms
from meshline_dagster.warehouse.publish import RECONCILED, publish
from meshline_dagster.warehouse.records import MilestoneEntry
from meshline_dagster.warehouse.sources import create_landing_views

__all__ = ["reconcile_assets"]


def reconcile_assets(settings: SyncSettings, feeds: Sequence[FeedSpec]) -> dg.AssetsDefinition:
    """The models that compare with the ERP, as one step."""
    raw = {ERP_VIEWS[kind]: [key] for kind, key in read_back_keys(settings).items()}
    specs, checks = dbt_specs(manifest(), RECONCILE, raw)

    @dg.multi_asset(
        name=f"{settings.name}_reconcile",
        specs=[spec.merge_attributes(kinds={"dbt", "duckdb"}) for spec in specs],
        check_specs=checks,
        pool=WAREHOUSE_POOL,
    )
    def _reconcile(context: dg.AssetExecutionContext, meshline: MeshlineResource) -> Iterator[Any]:
        path, zone = meshline.warehouse_path, meshline.zone()
        with open_warehouse(path, timeout=LOCK_WAIT, filesystem=zone.filesystem) as connection:
            with meshline.store().write() as ops:
                build = last_build(ops)
                if build is None:
                    raise ConfigError("nothing has been derived yet: materialise the assets up to `outbox` first")
                milestones = [
                    MilestoneEntry(one.entity_key, one.percent, one.amount, one.reached_on)
                    for one in active_milestones(ops)
                ]
                files = source_files(ops, zone, feeds, settings.destination.name, after=build.landing_to)
            create_landing_views(connection, files)
            write_billing_terms(connection, settings.billing_terms(datetime.now(UTC)), milestones)
            step = DbtStep(reconcile_args(), path)
            if step.result.success and _land_deletions(context, settings, meshline, doubled_documents(connection)):
                with meshline.store().write() as ops:
                    files = source_files(ops, zone, feeds, settings.destination.name, after=build.landing_to)
                create_landing_views(connection, files)
                step = DbtStep(reconcile_args(), path)
            if step.result.success:
                publish(connection, meshline.published_path, build_id=build.id, names=RECONCILED)
                _settle_duplicates(settings, meshline, doubled_documents(connection), actor=context.run.run_id)
        yield from step.report(context)

    return _reconcile


def _land_deletions(
    context: dg.AssetExecutionContext, settings: SyncSettings, meshline: MeshlineResource, doubled: Sequence[Doubled]
) -> bool:
    """Ask the ERP whether what stands twice is still there, and land what is not. Returns whether anything was."""
    if not doubled:
        return False
    writer, now = connect_writer(settings), datetime.now(UTC)
    try:
        gone = asyncio.run(_ask(writer, doubled, now))
    except MeshlineError as error:
        context.log.warning("%s was not asked whether its duplicates are still there: %s", writer.name, error)
        return False
    for kind in dict.fromkeys(one.kind for one in gone):
        feed = DeletedFeed(ErpFeed(writer, kind), [one for one in gone if one.kind is kind], now=now)
        store, zone, origin = meshline.store(), meshline.zone(), settings.origin_instant
        re_extract(store, zone, feed, feed.window, run_id=context.run.run_id, origin=origin)
    return bool(gone)


async def _ask(writer: ErpWriter, doubled: Sequence[Doubled], now: datetime) -> list[Deleted]:
    await writer.open()
    try:
        return await deleted_documents(writer, doubled, now=now)
    finally:
        await writer.aclose()


def _settle_duplicates(
    settings: SyncSettings, meshline: MeshlineResource, doubled: Sequence[Doubled], *, actor: str
) -> None:
    """Have what stands twice in the ERP decided by finance. Under the warehouse's lock: an older look never follows a newer one."""
    operations = connect_writer(settings).capabilities.operations if doubled else frozenset()
    with meshline.store().write() as ops:
        settle_duplicates(
            *(ops, doubled),
            options=settings.delivery(),
            reversible=[kind for kind, operation in operations if operation == REVERSE],
            actor=actor,
            now=datetime.now(UTC),
        )
