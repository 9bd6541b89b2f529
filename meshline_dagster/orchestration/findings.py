"""Findings for the operators' queue: from published exceptions, and from what a poll left out."""

import pyarrow.parquet as pq

from meshline_dagster.crm.poll import PollResult, left_out_key
from meshline_dagster.store.exceptions import Finding
from meshline_dagster.warehouse.publish import Published

__all__ = ["disposition_findings", "held_orders", "poll_findings"]

_FIX_UNFILED = "Correct the record in the source, or move the sync's origin; the next poll reads it again, and resolves this when it lands."
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


def held_orders(published: Published) -> list[str]:
    """The keys of the orders whose newest state is held: not billed by an older one, and nothing that anybody is asked about."""
    keys: list[str] = pq.read_table(published.path("held")).column("entity_key").to_pylist()
    return keys


def poll_findings(result: PollResult) -> list[Finding]:
    """One finding for each row that could not be filed, and for each thing that the feed itself had to leave out."""
    unfiled = [
        (
            row.reason if row.id is None else f"{row.id}:{row.reason}",
            f"id {row.id}, stamp {row.stamp}: {row.reason}",
            _FIX_UNFILED,
        )
        for row in result.rejected
    ]
    left_out = [(one.name, one.detail, one.fix) for one in result.problems]
    return [
        Finding(
            trace_key=left_out_key(result.feed, name),
            origin="feed",
            code="row_not_landed",
            title=f"{result.feed}: something could not be landed"[:300],
            detail=detail,
            fix=fix,
            owner="integrations",
        )
        for name, detail, fix in [*unfiled, *left_out]
    ]
