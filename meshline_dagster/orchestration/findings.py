"""Published exceptions as findings for the operators' queue."""

import pyarrow.parquet as pq

from meshline_dagster.store.exceptions import Finding
from meshline_dagster.warehouse.publish import Published

__all__ = ["disposition_findings"]

_COLUMNS = [
    *("trace_key", "code", "title", "detail", "fix", "owner", "priority", "field", "record_id"),
    *("entity_key", "event_id", "amount", "currency"),
]


def disposition_findings(published: Published) -> list[Finding]:
    """One finding for each order whose newest state may not be posted."""
    return [
        Finding(
            trace_key=row["trace_key"],
            origin="disposition",
            code=row["code"],
            title=f"{row['title']}: {row['entity_key']}",
            detail=f"{row['detail']} (field {row['field']}, record {row['record_id']})"
            if row["field"]
            else row["detail"],
            fix=row["fix"],
            owner=row["owner"],
            priority=row["priority"],
            entity_key=row["entity_key"],
            event_id=row["event_id"],
            amount=row["amount"],
            currency=row["currency"],
        )
        for row in pq.read_table(published.path("exceptions"), columns=_COLUMNS).to_pylist()
    ]
