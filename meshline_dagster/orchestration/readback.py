"""The read-back asset: the ERP's documents, landed like a feed, so that what we compare with is what the ERP says."""

import dagster as dg

from meshline_dagster.delivery.readback import ErpFeed
from meshline_dagster.orchestration.connect import connect_writer
from meshline_dagster.orchestration.raw import landed_metadata, poll_feed, poll_metadata
from meshline_dagster.orchestration.resources import MeshlineResource
from meshline_dagster.orchestration.settings import SyncSettings
from meshline_dagster.orchestration.writer import postings_key

__all__ = ["read_back_asset", "read_back_key"]


def read_back_key(settings: SyncSettings) -> dg.AssetKey:
    """The asset of what the ERP holds."""
    return dg.AssetKey([settings.destination.name, "sales_order"])


def read_back_asset(settings: SyncSettings) -> dg.AssetsDefinition:
    """Build the read-back asset of a sync. It reads what changed in the ERP since it last looked, in every kind of run."""
    feed_name = f"{settings.destination.name}/sales_order"

    @dg.asset(
        key=read_back_key(settings),
        deps=[postings_key(settings)],
        group_name="delivery",
        kinds={settings.destination.type, "parquet"},
        owners=["team:integrations"],
        tags={"meshline/layer": "read_back"},
        description="Sales orders as the ERP holds them, landed by the day on which they changed there.",
    )
    def _read_back(context: dg.AssetExecutionContext, meshline: MeshlineResource) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster does not know the parameterised form
        result = poll_feed(settings, meshline, ErpFeed(connect_writer(settings)), run_id=context.run.run_id)
        first, last = result.window.start.date(), result.window.end.date()
        return dg.MaterializeResult(metadata=poll_metadata(result) | landed_metadata(meshline, feed_name, first, last))

    return _read_back
