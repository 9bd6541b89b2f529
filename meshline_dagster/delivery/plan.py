"""Plan: the outbox of a build enters the ledger. One transaction; a second plan of the same outbox changes nothing."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
from sqlalchemy import Connection

from meshline_dagster.core.documents import DocumentKind
from meshline_dagster.core.identity import posting_key
from meshline_dagster.core.ledger import PostingState
from meshline_dagster.core.postings import (
    RESTATED,
    EntityPlan,
    NewPosting,
    OutboxRow,
    plan_entity,
    release_shadowed,
)
from meshline_dagster.delivery.approvals import ReplayScope, let_wait
from meshline_dagster.delivery.behind import changed_details
from meshline_dagster.delivery.billing import reopen_refused
from meshline_dagster.delivery.findings import conflict_trace_key
from meshline_dagster.delivery.options import DeliveryOptions, Mode
from meshline_dagster.store.approvals import void_empty
from meshline_dagster.store.builds import mark_planned
from meshline_dagster.store.counters import next_values
from meshline_dagster.store.engine import Store
from meshline_dagster.store.exceptions import Finding, raise_exceptions
from meshline_dagster.store.ledger_writes import Change, change_states, insert_postings
from meshline_dagster.store.postings import Posting, known_postings, postings_by_key, postings_of
from meshline_dagster.store.shadowed import releasable
from meshline_dagster.store.waiting import set_detail

__all__ = ["PlanReport", "entity_plans", "outbox_rows", "plan"]


@dataclass(frozen=True, slots=True)
class PlanReport:
    """How many ledger rows one plan wrote, by what it did. ``restatements`` are amendments that wait for approval now,
    and masters and events closed by hand that would be posted differently.
    """

    planned: int = 0
    shadowed: int = 0
    superseded: int = 0
    released: int = 0
    restatements: int = 0
    conflicts: int = 0


def outbox_rows(table: pa.Table) -> list[OutboxRow]:
    """Read the published outbox. Only what is about to be planned becomes Python objects."""
    return [
        OutboxRow(
            event_id=row["event_id"],
            entity_key=row["entity_key"],
            document_kind=DocumentKind(row["document_kind"]),
            external_id=row["external_id"],
            event_time=row["event_time"],
            operation=row["operation"],
            depends_on=_several(row["depends_on"]),
            amount=row["amount"],
            currency=row["currency"],
            document_date=row["document_date"],
            payload=json.loads(row["payload"]),
            selling_entity=row.get("selling_entity"),  # a publication of an older version has neither
            customer_key=row.get("customer_key"),
        )
        for row in table.to_pylist()
    ]


def _several(given: Sequence[str] | str | None) -> tuple[str, ...]:
    """A publication of an older version names the customer alone."""
    return (given,) if isinstance(given, str) else tuple(given or ())


def plan(
    store: Store,
    rows: Iterable[OutboxRow],
    *,
    touched: Sequence[str],
    options: DeliveryOptions,
    build_id: str | None,
    actor: str,
    now: datetime,
    scope: ReplayScope | None = None,
) -> PlanReport:
    """Bring the ledger in step with the outbox rows of the touched entities; live, also plan what was shadowed of all others.

    Args:
        rows: every postable event of the touched entities.
        touched: entity keys that the build looked at, also those that have no postable event any more.
        build_id: the build to mark as planned in the same transaction.
        actor: who plans, for the audit log: the run id.
        scope: the replay that the build covers: what it plans anew may wait for an approval.
    """
    outbox = list(rows)
    with store.write() as connection:
        next_values(connection, f"plan:{options.destination}")  # one plan at a time for a destination
        plans = entity_plans(connection, outbox, touched, options, scope)
        _write(connection, plans, options, actor, now)
        released: list[EntityPlan] = []
        if options.mode is Mode.LIVE:
            asks = scope if options.approve_replays else None
            sendable = _sendable(connection, plans, options, everything=asks is not None)
            let_wait(connection, sendable, asks, destination=options.destination, actor=actor, now=now)
            released = _gone_live(connection, options, {*touched, *(row.entity_key for row in outbox)})
            _write(connection, released, options, actor, now)
        void_empty(connection, options.destination, actor=actor, now=now)
        keys = {*touched, *(row.entity_key for row in outbox)}
        asked = [key for key in sorted(keys) if scope is None or not scope.leaves_out(key, frozenset())]
        reopen_refused(connection, asked, options, actor=actor, now=now)
        if build_id is not None:
            mark_planned(connection, build_id, now=now)
        for key, detail in changed_details(connection, options.destination).items():
            set_detail(connection, key, detail)
    return _report([*plans, *released])


def entity_plans(
    connection: Connection,
    rows: Iterable[OutboxRow],
    touched: Sequence[str],
    options: DeliveryOptions,
    scope: ReplayScope | None,
) -> list[EntityPlan]:
    """Compare outbox and ledger, entity by entity; nothing is written. Arguments as of :func:`plan`."""
    live = options.mode is Mode.LIVE
    by_entity: dict[str, list[OutboxRow]] = {key: [] for key in touched}
    for row in rows:
        if not live or _is_after_cutover(row, options):
            by_entity.setdefault(row.entity_key, []).append(row)
    if scope is not None:
        by_entity = _limited(by_entity, scope)
    replayed = scope.entities if scope is not None else frozenset()
    known = known_postings(connection, options.destination, list(by_entity))
    return [
        plan_entity(found, known.get(key, ()), live=live, again=key in replayed)
        for key, found in by_entity.items()
        if found or key in known
    ]


def _limited(by_entity: Mapping[str, list[OutboxRow]], scope: ReplayScope) -> dict[str, list[OutboxRow]]:
    """Without the entities that a replay touches though it was limited to others."""
    only = scope.replay.entities or frozenset()
    masters = frozenset(one for key in only for row in by_entity.get(key, ()) for one in row.depends_on)
    return {key: found for key, found in by_entity.items() if not scope.leaves_out(key, masters)}


def _write(
    connection: Connection, plans: Sequence[EntityPlan], options: DeliveryOptions, actor: str, now: datetime
) -> None:
    causes = {posting_id: cause for one in plans for posting_id, cause in one.supersede}
    changes = [
        Change.of(row, PostingState.SUPERSEDED, row.lease_token or 0, cause=causes[row.id])
        for row in postings_of(connection, list(causes))
    ]
    changes += [
        Change.of(row, PostingState.PLANNED, row.lease_token or 0, cause="gone_live")
        for row in postings_of(connection, [posting_id for one in plans for posting_id in one.release])
    ]
    change_states(connection, changes, actor=actor, now=now)
    fresh = [row for one in plans for row in one.insert]
    fresh.sort(key=lambda row: (row.row.event_time, row.row.event_id))
    insert_postings(connection, options.destination, fresh, shards=options.shards, actor=actor, now=now)
    findings = [_restatement(row, options) for one in plans for row in one.restatements]
    findings += [_conflict(row, options) for one in plans for row in one.conflicts]
    raise_exceptions(connection, findings, now=now)


def _is_after_cutover(row: OutboxRow, options: DeliveryOptions) -> bool:
    """A publication that is older than the cut-over date still has what it excludes: to us that is not derived any more."""
    return options.effective_from is None or row.document_date is None or row.document_date >= options.effective_from


def _gone_live(connection: Connection, options: DeliveryOptions, done: Collection[str]) -> list[EntityPlan]:
    """What was shadowed of entities that the build left alone: nothing about them has changed, so it is still wanted."""
    found = releasable(connection, options.destination, effective_from=options.effective_from)
    wanted = {entity: ids for entity, ids in found.items() if entity not in done}
    known = known_postings(connection, options.destination, list(wanted)) if wanted else {}
    return [release_shadowed(known[entity], ids) for entity, ids in wanted.items()]


def _restatement(row: OutboxRow, options: DeliveryOptions) -> Finding:
    key = f"restatement:{options.destination}:{row.event_id}"
    return Finding(
        trace_key=key,
        origin="delivery",
        code="restatement_candidate",
        title=f"{row.entity_key} would be posted differently today",
        detail="It is a master or a payment and posted, or the event is closed by hand, and frozen; rules, mappings or code have changed since.",
        fix="Compare the ERP document with the event. If the new derivation is right, have finance amend the document in the ERP, and the "
        f"CRM say the same; then `meshline exceptions resolve {key} --reason TEXT`.",
        owner="finance",
        priority="P3",
        **_about(row),
    )


def _sendable(
    connection: Connection, plans: Sequence[EntityPlan], options: DeliveryOptions, *, everything: bool
) -> list[Posting]:
    """The rows that may be sent by this plan and could not before; without ``everything`` the restatement candidates alone."""
    keys = [
        posting_key(options.destination, new.row.event_id, new.revision)
        for one in plans
        for new in one.insert
        if new.state is PostingState.PLANNED and (everything or new.cause == RESTATED)
    ]
    released = [posting_id for one in plans for posting_id in one.release] if everything else []
    found = [*postings_by_key(connection, keys), *postings_of(connection, released)]
    return sorted(found, key=lambda row: (row.event_time, row.id))


def _conflict(row: OutboxRow, options: DeliveryOptions) -> Finding:
    key = conflict_trace_key(options.destination, row.event_id)
    return Finding(
        trace_key=key,
        origin="delivery",
        code="fingerprint_conflict",
        title=f"{row.entity_key}: one event, two contents",
        detail="A request for this event may have reached the ERP with other content than the event has today.",
        fix=f"`meshline trace {row.event_id}` shows the posting. Wait until it is settled; if it is dead, its own exception says what to "
        f"do. Then compare the ERP document with the event, and `meshline exceptions resolve {key} --reason TEXT`.",
        owner="integrations",
        priority="P1",
        **_about(row),
    )


def _about(row: OutboxRow) -> dict[str, Any]:
    return {
        "entity_key": row.entity_key,
        "event_id": row.event_id,
        "amount": row.amount if row.currency else None,
        "currency": row.currency,
    }


def _report(plans: Sequence[EntityPlan]) -> PlanReport:
    fresh: list[NewPosting] = [row for one in plans for row in one.insert]
    states = [row.state for row in fresh]
    restatements = sum(row.cause == RESTATED for row in fresh)
    return PlanReport(
        planned=states.count(PostingState.PLANNED) - restatements,
        shadowed=states.count(PostingState.SHADOWED),
        superseded=states.count(PostingState.SUPERSEDED) + sum(len(one.supersede) for one in plans),
        released=sum(len(one.release) for one in plans),
        restatements=restatements + sum(len(one.restatements) for one in plans),
        conflicts=sum(len(one.conflicts) for one in plans),
    )
