"""Closed periods, at the plan of an invoice or credit note: what is re-dated and material waits until finance approves it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import orjson
from sqlalchemy import Connection

from meshline_dagster.core.approvals import ApprovalKind
from meshline_dagster.core.identity import posting_key
from meshline_dagster.core.postings import NewPosting
from meshline_dagster.core.redating import is_material
from meshline_dagster.delivery.approvals import approval_of, command
from meshline_dagster.store.approvals import Approval, request
from meshline_dagster.store.exceptions import Finding, raise_exceptions
from meshline_dagster.store.postings import Posting, postings_by_key

__all__ = ["let_redated_wait"]


def let_redated_wait(
    connection: Connection,
    destination: str,
    fresh: Sequence[NewPosting],
    limits: Mapping[str, Decimal],
    *,
    actor: str,
    now: datetime,
) -> None:
    """Let documents that were just planned wait for an approval each, where they need one, in the caller's transaction.

    Args:
        limits: currency -> what a document may be worth, ex tax, without an approval.
    """
    keys = [
        posting_key(destination, new.row.event_id, new.revision)
        for new in fresh
        if is_material(new.row.payload, limits)
    ]
    if not keys:
        return
    asked: list[tuple[Approval, list[int]]] = []
    findings: list[Finding] = []
    for row in postings_by_key(connection, keys):
        payload = orjson.loads(row.payload)
        subject = f"{_named(row)} dated {payload['invoice_date']} instead of {payload['original_date']}"
        one = approval_of(ApprovalKind.REDATED, subject, [row], authors=actor, now=now)
        asked.append((one, [row.id]))
        findings.append(_finding(one, row, payload, limits[payload["currency"]]))
    request(connection, asked)
    raise_exceptions(connection, findings, now=now)


def _named(row: Posting) -> str:
    return f"{row.document_kind.value.replace('_', ' ')} {row.external_id} of {row.entity_key}"


def _finding(asked: Approval, row: Posting, payload: Mapping[str, Any], limit: Decimal) -> Finding:
    return Finding(
        trace_key=asked.trace_key,
        origin="approval",
        code="redated_waits_for_approval",
        title=f"{_named(row)} falls into a closed period: it waits for approval",
        detail=f"Its own day is {payload['original_date']}, whose period is closed; it would be dated {payload['invoice_date']}, the first open "
        f"day. It is worth {row.amount:,.2f} {row.currency} ex tax; up to {limit:,.2f} goes without an approval.",
        fix=f"If the amount may count in the open period, approve; else reject, and have the order's day replayed once the period is open "
        f"again: {command(asked)}. Until then its order waits.",
        owner=asked.role,
        priority="P2",
        entity_key=row.entity_key,
        event_id=row.event_id,
        amount=row.amount,
        currency=row.currency,
    )
