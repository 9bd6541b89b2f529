"""What is read back of deliveries wakes the orders concerned: the next delivery bills them as far as they are delivered."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from meshline_dagster.core.documents import DocumentKind, ErpDocument
from meshline_dagster.core.followups import InvoiceTrigger
from meshline_dagster.core.identity import shard_of
from meshline_dagster.core.invoice_delivery import delivered_of
from meshline_dagster.delivery.options import DeliveryOptions
from meshline_dagster.store.billing import put_off
from meshline_dagster.store.deliveries import ToldDelivery, keep_deliveries

__all__ = ["heed_deliveries"]


def heed_deliveries(
    connection: Connection, options: DeliveryOptions, documents: Sequence[ErpDocument], *, now: datetime
) -> list[str]:
    """Keep what the ERP tells of its orders' deliveries, and have those looked at of which it is something new; tells which.

    Does nothing unless orders are invoiced as they are delivered.
    """
    billing = options.billing
    if billing is None or billing.trigger is not InvoiceTrigger.DELIVERY:
        return []
    told = [
        ToldDelivery(one.external_id, one.erp_id, one.stamp, delivered_of(one))
        for one in documents
        if one.kind is DocumentKind.SALES_ORDER and one.external_id and one.status != "cancelled"
    ]
    changed = keep_deliveries(connection, options.destination, told, now=now)
    today = billing.day(now)
    put_off(connection, options.destination, changed, [(key, shard_of(key, options.shards), today) for key in changed])
    return changed
