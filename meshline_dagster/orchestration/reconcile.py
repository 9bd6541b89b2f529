"""The reconcile assets: what the source says against what the ERP holds, after the read-back."""

from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg

from meshline_dagster.core.errors import ConfigError
from meshline_dagster.orchestration.connect import FeedSpec
from meshline_dagster.orchestration.dbt_events import dagster_events, whole_step
from meshline_dagster.orchestration.derive import LOCK_WAIT, WAREHOUSE_POOL
from meshline_dagster.orchestration.manifest import dbt_target_path, manifest
from meshline_dagster.orchestration.readback import read_back_key
from meshline_dagster.orchestration.resources import MeshlineResource
from meshline_dagster.orchestration.settings import SyncSettings
from meshline_dagster.orchestration.sources import source_files
from meshline_dagster.orchestration.translator import MeshlineDbtTranslator, dbt_specs
from meshline_dagster.store.builds import last_build
from meshline_dagster.warehouse.build import RECONCILE, reconcile_args
from meshline_dagster.warehouse.connection import open_warehouse
from meshline_dagster.warehouse.dbt import run_dbt
from meshline_dagster.warehouse.publish import RECONCILED, publish
from meshline_dagster.warehouse.sources import create_landing_views

__all__ = ["reconcile_assets"]


def reconcile_assets(settings: SyncSettings, feeds: Sequence[FeedSpec]) -> dg.AssetsDefinition:
    """The models that compare with the ERP, as one step."""
    specs, checks = dbt_specs(manifest(), RECONCILE, {"erp__sales_order": [read_back_key(settings)]})

    @dg.multi_asset(
        name=f"{settings.name}_reconcile",
        specs=[spec.merge_attributes(kinds={"dbt", "duckdb"}) for spec in specs],
        check_specs=checks,
        pool=WAREHOUSE_POOL,
    )
    def _reconcile(context: dg.AssetExecutionContext, meshline: MeshlineResource) -> Iterator[Any]:
        path, zone = meshline.warehouse_path, meshline.zone()
        events: list[Any] = []
        with open_warehouse(path, timeout=LOCK_WAIT, filesystem=zone.filesystem) as connection:
            with meshline.store().write() as ops:
                build = last_build(ops)
                if build is None:
                    raise ConfigError("nothing has been derived yet: materialise the assets up to `outbox` first")
                files = source_files(ops, zone, feeds, settings.destination.name, after=build.landing_to)
            create_landing_views(connection, files)
            result = run_dbt(reconcile_args(), warehouse=path, target_path=dbt_target_path(), on_event=events.append)
            if result.success:
                publish(connection, meshline.published_path, build_id=build.id, names=RECONCILED)
        reported = dagster_events(
            events,
            context=context,
            manifest=manifest(),
            translator=MeshlineDbtTranslator(),
            target_path=dbt_target_path(),
        )
        yield from whole_step(context, reported, succeeded=result.success)
        result.raise_for_failure()

    return _reconcile
