"""An operator's two ways out for a dead posting: try again, or settle it himself.

Both change the row under the fencing token that last changed it, so a delivery at work is not disturbed: it leaves dead postings and
their entities alone, and whatever else touched the row meanwhile makes the change fail.
"""

from datetime import datetime, timedelta

from sqlalchemy import Connection

from meshline_dagster.core.documents import ACCOUNTING_KINDS, BOOKED_KINDS, MASTER_KINDS, DocumentKind
from meshline_dagster.core.errors import RefusedError
from meshline_dagster.core.foreign import cause_of_retry
from meshline_dagster.core.ledger import CLOSED_ABSENT, CLOSED_IN_ERP, PostingState
from meshline_dagster.delivery.findings import conflict_trace_key, trace_key
from meshline_dagster.store import audit
from meshline_dagster.store.billing import credit_notes_planned, put_off
from meshline_dagster.store.exceptions import resolve
from meshline_dagster.store.ledger_writes import Change, change_states
from meshline_dagster.store.postings import Posting, last_posted, posting_by_key, refused_states

__all__ = ["close", "retry"]

_WHAT_NOW = {
    PostingState.UNKNOWN: "the next delivery looks it up by itself",
    PostingState.SENDING: "a delivery is at work on it; if that died, the next one looks it up",
    PostingState.PARTIAL: "the next delivery completes it",
    PostingState.PLANNED: "the next delivery sends it",
    PostingState.RETRY_DUE: "a delivery sends it again when its time has come",
    PostingState.POSTED: "it is done, and frozen",
    PostingState.REJECTED: "correct what the ERP names, in the CRM or by a mapping: the corrected event is posted by itself",
    PostingState.SUPERSEDED: "it will not be sent",
    PostingState.SHADOWED: "it is planned when the workflow goes live",
}


def retry(connection: Connection, key: str, *, actor: str, reason: str, now: datetime) -> Posting:
    """Try a dead posting again: its outcome is unknown, so the next delivery looks it up, and sends it only if it is absent and has
    outlived the ERP's ``settle_after``. Attempts count anew. Its exception stays open until it is posted.

    One that was held because its document was changed in the ERP then overwrites that: the state that its exception tells, and no other.

    Raises:
        RefusedError: no posting has this key, or it is not dead.
    """
    row = _dead(connection, key)
    change = Change(
        *(row.id, row.key, row.shard, row.state, PostingState.UNKNOWN, row.lease_token or 0),
        attempts=0,
        sent_at=row.sent_at or now,  # one that was refused before its first request has none
        cause=cause_of_retry(row.cause),
    )
    change_states(connection, [change], actor=actor, now=now)
    _tell(connection, "posting.retried", row, {"reason": reason}, actor=actor, now=now)
    return row


def close(
    connection: Connection,
    key: str,
    *,
    actor: str,
    reason: str,
    now: datetime,
    erp_id: str | None,
    absent: bool = False,
) -> Posting:
    """Settle a dead posting by hand: it is never sent, whatever is derived later, and what waits behind it goes on. The next delivery
    invoices or credits what follows from the state that the ERP holds now: an invoice that the ERP does not hold is planned anew, and credit
    notes against it are not sent.

    Args:
        erp_id: the document's id in the ERP; None: as the ledger knows it. The order's next state amends this document.
        absent: the ERP does not hold the document, so that the order's next state creates one.

    Raises:
        RefusedError: no posting has this key, it is not dead, it is a master, nobody says what the ERP holds, or it is a credit note that
            the ERP does not hold.
    """
    row = _dead(connection, key)
    if absent and row.document_kind is DocumentKind.CREDIT_NOTE:
        raise RefusedError(
            f"without {row.external_id} the invoice that it credits stands, and the order would be invoiced once more: what follows waits "
            f"until there is a credit note. Have it made with `meshline postings retry {key} --reason TEXT`, or by a replay of its order "
            "if the ERP refused it; or make it in the ERP by hand and close this with `--erp-id ID`"
        )
    if row.document_kind in MASTER_KINDS:
        raise RefusedError(
            f"{row.external_id} is a master ({row.document_kind.value}), and the orders that name it wait until it is posted: create it in the ERP under this code, then "
            f"`meshline postings retry {key} --reason TEXT`, which finds it there"
        )
    is_state = row.document_kind not in BOOKED_KINDS  # an order's own document says nothing of its invoices
    known = (
        erp_id
        or row.erp_id
        or (is_state and row.entity_key in last_posted(connection, row.destination, [row.entity_key]))
    )
    if not absent and not known:
        raise RefusedError(
            f"the ledger does not know whether the ERP holds {row.external_id}: add `--erp-id ID` if it does, so that the order's next "
            "state amends that document, or `--not-in-erp` if it does not, so that the next state creates one"
        )
    cause = CLOSED_ABSENT if absent else CLOSED_IN_ERP
    change = Change(
        *(row.id, row.key, row.shard, row.state, PostingState.SUPERSEDED, row.lease_token or 0),
        erp_id=erp_id,
        cause=cause,
    )
    superseded = PostingState.SUPERSEDED
    needless = credit_notes_planned(connection, row) if absent and row.document_kind is DocumentKind.INVOICE else []
    notes = [Change.of(note, superseded, note.lease_token or 0, cause="planned_anew") for note in needless]
    change_states(connection, [change, *notes], actor=actor, now=now)
    _tell(connection, "posting.closed", row, {"reason": reason, "cause": cause}, actor=actor, now=now)
    if is_state or row.document_kind in ACCOUNTING_KINDS:
        at_once = (now - timedelta(days=1)).date()  # has begun in every time zone
        put_off(connection, row.destination, [row.entity_key], [(row.entity_key, row.shard, at_once)])
    keys = [conflict_trace_key(row.destination, row.event_id)]
    refused = refused_states(connection, row.destination).get(row.entity_key)
    if refused is None or refused <= row.event_time:  # a newer state that was refused is still somebody's to correct
        keys.append(trace_key(row))
    resolve(connection, keys, resolution=f"closed by hand: {reason}", now=now, actor=actor)
    return row


def _dead(connection: Connection, key: str) -> Posting:
    row = posting_by_key(connection, key)
    if row is None:
        raise RefusedError(f"no posting has the key {key!r}; `meshline postings list` shows those that are not settled")
    if row.state is not PostingState.DEAD:
        raise RefusedError(f"{row.external_id} is {row.state.value}, not dead: {_WHAT_NOW[row.state]}")
    return row


def _tell(
    connection: Connection, action: str, row: Posting, detail: dict[str, str], *, actor: str, now: datetime
) -> None:
    audit.append(connection, [audit.Entry(actor, action, f"posting:{row.key}", detail)], at=now)
