"""What read-back shows twice becomes one exception for each external id, with the reversal of each document too many ready to approve.

The reversals are rows of the ledger like all others: planned here, sent by ``deliver``, and only once finance has approved their digest.
Everything is a function of what stands in the ERP now, so that a second look at the same documents changes nothing, and what is gone takes
its exception and its reversal with it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from meshline_dagster.core.approvals import ApprovalKind
from meshline_dagster.core.documents import DocumentKind
from meshline_dagster.core.duplicates import Doubled, choose, reversal_row
from meshline_dagster.core.identity import fingerprint, posting_key
from meshline_dagster.core.ledger import PostingState
from meshline_dagster.core.postings import REFUSED, NewPosting, OutboxRow
from meshline_dagster.delivery.approvals import approval_of
from meshline_dagster.delivery.by_hand import retry
from meshline_dagster.delivery.duplicate_findings import (
    DUPLICATE,
    READ_BACK,
    Case,
    duplicate_finding,
    duplicate_trace_key,
)
from meshline_dagster.delivery.findings import entity_trace_key
from meshline_dagster.delivery.options import DeliveryOptions, Mode
from meshline_dagster.store.approvals import request, void_empty
from meshline_dagster.store.counters import next_values
from meshline_dagster.store.duplicates import asked_for, dead_of, reversal_postings
from meshline_dagster.store.exceptions import open_about, raise_exceptions, resolve
from meshline_dagster.store.ledger_writes import Change, change_states, insert_postings
from meshline_dagster.store.postings import Posting, postings_by_key

__all__ = ["settle_duplicates"]

_S = PostingState
_UNSENT = frozenset({_S.PLANNED, _S.RETRY_DUE})
_TAKEN_BACK = _UNSENT | {_S.REJECTED, _S.DEAD}
_GONE = "one document is left"


def settle_duplicates(
    connection: Connection,
    doubled: Iterable[Doubled],
    *,
    options: DeliveryOptions,
    reversible: Iterable[DocumentKind],
    actor: str,
    now: datetime,
) -> None:
    """Bring exceptions and reversals in step with what read-back shows, in the caller's transaction.

    Args:
        doubled: every external id of the destination under which more than one live document stands.
        reversible: the kinds of which the ERP can cancel one document by its own id.
        actor: the run that read back, for the audit log.
    """
    shown, to = list(doubled), options.destination
    open_items = open_about(connection, READ_BACK, f"{DUPLICATE}:{to}:")
    known = reversal_postings(connection, to)
    if not shown and not open_items and not any(row.state in _TAKEN_BACK for row in known):
        return
    next_values(connection, f"plan:{to}")  # whatever a delivery has read is stale now
    known = reversal_postings(connection, to)
    kinds = frozenset(reversible) if options.mode is Mode.LIVE else frozenset[DocumentKind]()
    cases = _cases(connection, shown, kinds, to, now)
    _take_back(connection, known, cases, actor=actor, now=now)
    fresh = _fresh(known, cases)
    _plan(connection, fresh, options, actor=actor, now=now)
    void_empty(connection, to, actor=actor, now=now)
    latest = {row.event_id: row for row in reversal_postings(connection, to)}  # the newest revision of each
    findings = [duplicate_finding(to, case, latest) for case in cases]
    raise_exceptions(connection, findings, now=now)
    current = {finding.trace_key for finding in findings}
    gone = {key: entity for key, entity in open_items.items() if key not in current}
    _resolve(connection, to, gone, known, actor=actor, now=now)


def _cases(
    connection: Connection, shown: Sequence[Doubled], kinds: frozenset[DocumentKind], to: str, now: datetime
) -> list[Case]:
    asked = asked_for(connection, to, sorted({one.entity_key for one in shown if one.entity_key is not None}))
    found = []
    for one in sorted(shown, key=lambda one: (one.kind.value, one.external_id)):
        ours = [row for row in asked.get(one.entity_key or "", ()) if row.external_id == one.external_id]
        choice = choose(one.documents, [row.erp_id for row in ours if row.erp_id is not None])
        rows: list[OutboxRow] = []
        if ours and one.kind in kinds:  # what we never asked the ERP for is not ours to reverse
            newest = ours[0]
            made = (reversal_row(one, choice, extra, newest.entity_key, now=now) for extra in choice.extra)
            rows = [
                replace(row, selling_entity=newest.selling_entity, customer_key=newest.customer_key) for row in made
            ]
        found.append(Case(one, choice, rows))
    return found


def _take_back(
    connection: Connection, known: Sequence[Posting], cases: Sequence[Case], *, actor: str, now: datetime
) -> None:
    """Reversals of documents that do not stand twice any more, or not as they were, are not sent."""
    wanted = {row.event_id for case in cases for row in case.rows}
    still = {case.doubled.external_id for case in cases}
    changes = [
        Change.of(
            row,
            _S.SUPERSEDED,
            row.lease_token or 0,
            cause="documents_changed" if row.external_id in still else "duplicate_resolved",
        )
        for row in known
        if row.state in _TAKEN_BACK and row.event_id not in wanted
    ]
    change_states(connection, changes, actor=actor, now=now)


def _fresh(known: Sequence[Posting], cases: Sequence[Case]) -> list[NewPosting]:
    """What is not planned yet. What finance has refused is not asked for again, but what was taken back and stands twice again is."""
    latest = {row.event_id: row for row in known}
    fresh = []
    for row in (row for case in cases for row in case.rows):
        have = latest.get(row.event_id)
        if have is None or (have.state is _S.SUPERSEDED and have.cause != REFUSED):
            revision = 1 if have is None else have.revision + 1
            fresh.append(NewPosting(row, revision, fingerprint(row.payload), _S.PLANNED, DUPLICATE))
    return fresh


def _plan(
    connection: Connection, fresh: Sequence[NewPosting], options: DeliveryOptions, *, actor: str, now: datetime
) -> None:
    to = options.destination
    insert_postings(connection, to, fresh, shards=options.shards, actor=actor, now=now)
    rows = postings_by_key(connection, [posting_key(to, one.row.event_id, one.revision) for one in fresh])
    numbers = {one.row.event_id: one.row.payload for one in fresh}
    asked = []
    for row in rows:
        subject = f"reversal of {numbers[row.event_id]['number']}, one document too many of {row.external_id}"
        one = approval_of(ApprovalKind.REVERSALS, subject, [row], authors=actor, now=now, role="finance")
        asked.append((one, [row.id]))
    request(connection, asked)


def _resolve(
    connection: Connection,
    to: str,
    gone: Mapping[str, str | None],
    known: Sequence[Posting],
    *,
    actor: str,
    now: datetime,
) -> None:
    """One document is left: what died because there were two is looked up again by the next delivery."""
    if not gone:
        return
    entities = sorted({entity for entity in gone.values() if entity is not None})
    own = [entity_trace_key(to, row.entity_key) for row in known if _trace_key_of(row) in gone]
    resolve(connection, [*gone, *own], resolution=_GONE, now=now)
    for row in dead_of(connection, to, entities, "duplicate"):
        if _trace_key_of(row) in gone:
            retry(connection, row.key, actor=actor, reason=_GONE, now=now)


def _trace_key_of(row: Posting) -> str:
    return duplicate_trace_key(row.destination, row.document_kind, row.external_id)
