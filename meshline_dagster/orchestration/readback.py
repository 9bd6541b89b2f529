"""The read-back assets: the ERP's documents, landed like a feed, so that what we compare with is what the ERP says."""

from collections.abc import Sequence
from datetime import UTC, datetime

import dagster as dg

from meshline_dagster.core.documents import DocumentKind, ErpDocument
from meshline_dagster.core.followups import InvoiceTrigger
from meshline_dagster.delivery.deliveries import heed_deliveries
from meshline_dagster.delivery.readback import ErpFeed
from meshline_dagster.orchestration.connect import connect_writer
from meshline_dagster.orchestration.raw import landed_metadata, poll_feed, poll_metadata
from meshline_dagster.orchestration.resources import MeshlineResource
from meshline_dagster.orchestration.settings import SyncSettings
from meshline_dagster.orchestration.writer import postings_key

__all__ = ["read_back_assets", "read_back_keys"]

_DESCRIPTIONS = {
    DocumentKind.SALES_ORDER: "Sales orders",
    DocumentKind.INVOICE: "Invoices",
    DocumentKind.CREDIT_NOTE: "Credit notes",
}


def read_back_keys(settings: SyncSettings) -> dict[DocumentKind, dg.AssetKey]:
    """The assets of what the ERP holds: orders, and what follows from them where the sync makes it."""
    kinds = list(_DESCRIPTIONS) if settings.policy.billing is not None else [DocumentKind.SALES_ORDER]
    return {kind: dg.AssetKey([settings.destination.name, kind.value]) for kind in kinds}


def read_back_assets(settings: SyncSettings) -> list[dg.AssetsDefinition]:
    """Build the read-back assets of a sync. They read what changed in the ERP since they last looked, in every kind of run."""
    return [_read_back_asset(settings, kind, key) for kind, key in read_back_keys(settings).items()]


def _read_back_asset(settings: SyncSettings, kind: DocumentKind, key: dg.AssetKey) -> dg.AssetsDefinition:
    @dg.asset(
        key=key,
        deps=[postings_key(settings)],
        group_name="delivery",
        kinds={settings.destination.type, "parquet"},
        owners=["team:integrations"],
        tags={"meshline/layer": "read_back"},
        description=f"{_DESCRIPTIONS[kind]} as the ERP holds them, landed by the day on which they changed there.",
    )
    def _read_back(context: dg.AssetExecutionContext, meshline: MeshlineResource) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster does not know the parameterised form
        def heed(documents: Sequence[ErpDocument]) -> None:
            if settings.billing is not None and settings.billing.trigger is InvoiceTrigger.DELIVERY:
                with meshline.store().write() as connection:
                    heed_deliveries(connection, settings.delivery(), documents, now=datetime.now(UTC))

        feed = ErpFeed(connect_writer(settings), kind, heed)
        result = poll_feed(settings, meshline, feed, run_id=context.run.run_id)
        first, last = result.window.start.date(), result.window.end.date()
        return dg.MaterializeResult(metadata=poll_metadata(result) | landed_metadata(meshline, feed.name, first, last))

    return _read_back
