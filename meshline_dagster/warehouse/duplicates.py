"""Documents that the ERP holds more than once under one external id, from what was read back and compared."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import duckdb

from meshline_dagster.core.documents import DocumentKind
from meshline_dagster.core.duplicates import Doubled, Standing

__all__ = ["doubled_documents"]

_QUERY = """
WITH documents AS (
    SELECT
        'sales_order' AS document_kind, external_id, erp_id, erp_number, amount, currency, changed_at,
        external_id AS order_external_id
    FROM intermediate.int_erp_orders
    UNION ALL BY NAME
    SELECT document_kind, external_id, erp_id, erp_number, amount, currency, changed_at, order_external_id
    FROM intermediate.int_erp_accounting_documents
),

orders AS (
    SELECT DISTINCT external_id AS order_external_id, entity_key FROM marts.fct_reconciliation WHERE entity_key IS NOT NULL
)

SELECT document_kind, external_id, entity_key, erp_id, erp_number, amount, currency, epoch_us(changed_at)
FROM documents
LEFT JOIN orders USING (order_external_id)
WHERE external_id IS NOT NULL
QUALIFY count(*) OVER (PARTITION BY document_kind, external_id) > 1
ORDER BY document_kind, external_id, erp_id
"""


def doubled_documents(connection: duckdb.DuckDBPyConnection) -> list[Doubled]:
    """Every external id under which more than one live document stands; call it after the models tagged ``reconcile``."""
    found: dict[tuple[str, str, str | None], list[Standing]] = {}
    for kind, external_id, entity_key, erp_id, number, amount, currency, changed in connection.execute(
        _QUERY
    ).fetchall():
        stamp = _EPOCH + timedelta(microseconds=changed)
        one = Standing(erp_id, number or erp_id, amount or Decimal(0), currency, stamp)
        found.setdefault((kind, external_id, entity_key), []).append(one)
    return [
        Doubled(DocumentKind(kind), external_id, entity_key, tuple(documents))
        for (kind, external_id, entity_key), documents in found.items()
    ]


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
