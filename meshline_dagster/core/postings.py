"""What planning decides about one entity: pure, so that every rule can be read and tested without a database.

Rules, in order, for each event of an entity as the outbox has it now:

- unknown to the ledger: plan it, unless the ledger already moved past its time: then it is superseded;
- closed by an operator: settled like what is posted, so a difference is a *restatement*, for a person to look at;
- superseded otherwise, but the ledger has not moved past its time: it was taken back and is derived again, so a new revision is planned; one
  that a person has refused is planned again only by a replay, or when it is a master that an order needs;
- known with the same fingerprint: nothing to do (a shadowed one is planned when the workflow has gone live);
- posted: frozen. When the state that stands in the ERP is derived with another content today, and no newer one comes, that is a *restatement candidate*: an
  amendment with an event id of its own, which is sent only when a person approves it, and not asked for again when one has refused it;
- known with another fingerprint: if it surely never reached the ERP (planned, shadowed, retry_due, rejected) a new revision replaces it,
  superseded at once when the ledger has moved past its time; in every other state it is a *conflict*: never sent;
- in the ledger, not sent, and no longer derived: superseded.

What is booked once (a payment) is no state of its entity: none of them is late, and none supersedes or amends another.

What the workflow shadowed is released when it goes live, also of entities that the build left alone: nothing about them has changed.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from meshline_dagster.core.approvals import CANCEL
from meshline_dagster.core.documents import BOOKED_KINDS, MASTER_KINDS, DocumentKind
from meshline_dagster.core.identity import fingerprint
from meshline_dagster.core.ledger import BY_HAND, PostingState
from meshline_dagster.core.restatements import amendment_id

__all__ = [
    "REFUSED",
    "RESTATED",
    "EntityPlan",
    "KnownPosting",
    "NewPosting",
    "OutboxRow",
    "plan_entity",
    "release_shadowed",
]

REFUSED = "approval_rejected"
"""The cause of a posting that was superseded because a person refused to approve it."""

RESTATED = "restated"
"""The cause of an amendment that gives a posted order the content that it would have today."""

_S = PostingState
_NEVER_SENT = frozenset({_S.PLANNED, _S.SHADOWED, _S.RETRY_DUE})


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """One event that may be posted. ``payload`` holds money and quantities as strings.

    Attributes:
        depends_on: the entities of the masters that must be posted before it.
        selling_entity: our company that sells; None for a master.
        customer_key: the entity of the customer that it is, or that it is for; None for an item, which is nobody's.
    """

    event_id: str
    entity_key: str
    document_kind: DocumentKind
    external_id: str
    event_time: datetime
    operation: str
    depends_on: tuple[str, ...]
    amount: Decimal
    currency: str | None
    document_date: date | None
    payload: Mapping[str, Any]
    selling_entity: str | None = None
    customer_key: str | None = None


@dataclass(frozen=True, slots=True)
class KnownPosting:
    """What the ledger knows of an event: its latest revision. ``cause`` says why it is in its state."""

    id: int
    event_id: str
    revision: int
    event_time: datetime
    fingerprint: str
    state: PostingState
    cause: str = ""
    operation: str = ""
    document_kind: DocumentKind = DocumentKind.SALES_ORDER

    @property
    def is_frozen(self) -> bool:
        """Whether it is done for good: posted, or closed by an operator who dealt with it himself."""
        return self.state is PostingState.POSTED or (self.state is PostingState.SUPERSEDED and self.cause in BY_HAND)


@dataclass(frozen=True, slots=True)
class NewPosting:
    """A row to insert. ``state`` is planned, shadowed or superseded."""

    row: OutboxRow
    revision: int
    fingerprint: str
    state: PostingState
    cause: str


@dataclass(frozen=True, slots=True)
class EntityPlan:
    """What to do about one entity.

    Attributes:
        insert: new ledger rows; one with the cause :data:`RESTATED` is a restatement candidate.
        supersede: ``(posting id, cause)`` of rows that will not be sent.
        release: ids of shadowed rows that are planned now.
        restatements: masters and payments posted, and events closed by hand, whose derivation differs today: nothing of ours amends those.
        conflicts: events under way whose derivation differs today.
    """

    insert: tuple[NewPosting, ...] = ()
    supersede: tuple[tuple[int, str], ...] = ()
    release: tuple[int, ...] = ()
    restatements: tuple[OutboxRow, ...] = ()
    conflicts: tuple[OutboxRow, ...] = ()


def plan_entity(
    rows: Iterable[OutboxRow], known: Iterable[KnownPosting], *, live: bool, again: bool = False
) -> EntityPlan:
    """Compare the outbox rows of one entity with its ledger rows (latest revision of each event).

    Args:
        again: a replay asks: what a person has refused is planned once more.
    """
    ordered = sorted(rows, key=lambda row: (row.event_time, row.event_id))
    ledger = {posting.event_id: posting for posting in known}
    if ordered and ordered[0].document_kind in MASTER_KINDS:
        ordered = _create_only(ordered, ledger)
    start = PostingState.PLANNED if live else PostingState.SHADOWED
    insert: list[NewPosting] = []
    supersede: list[tuple[int, str]] = []
    release: list[int] = []
    conflicts: list[OutboxRow] = []
    standing = _standing(ledger.values())
    reached = standing.event_time if standing is not None else _stands_cancelled(ordered, ledger)

    def add(row: OutboxRow, revision: int, cause: str) -> None:
        late = reached is not None and row.event_time < reached
        state, cause = (_S.SUPERSEDED, "late_older_state") if late else (start, cause)
        insert.append(NewPosting(row, revision, fingerprint(row.payload), state, cause))

    frozen = {posting.event_id for posting in ledger.values() if posting.is_frozen}
    for row in [one for one in ordered if one.event_id not in frozen]:
        digest, have = fingerprint(row.payload), ledger.get(row.event_id)
        if have is None:
            add(row, 1, "derived")
        elif have.state is _S.SUPERSEDED:
            if _may_return(have, row, again=again) and (reached is None or row.event_time > reached):
                add(row, have.revision + 1, "derived_again")
        elif have.fingerprint == digest:
            release += [have.id] if have.state is _S.SHADOWED and live else []
        elif have.state in _NEVER_SENT | {_S.REJECTED}:
            supersede.append((have.id, "rederived"))
            add(row, have.revision + 1, "rederived")
        else:
            conflicts.append(row)
    restatements = [one for one in ordered if one.event_id in frozen and _is_for_people(one, ledger[one.event_id])]
    to_be_sent = {new.row.event_id for new in insert if new.state is not _S.SUPERSEDED}
    to_be_sent |= {posting.event_id for posting in ledger.values() if posting.state in _NEVER_SENT}
    candidate = _restatement(ordered, standing, to_be_sent) if live else None
    if candidate is not None:
        insert += _new_candidate(candidate, ledger.get(candidate.event_id))
        ordered.append(candidate)
    supersede += _no_longer_derived(ordered, ledger)
    return EntityPlan(tuple(insert), tuple(supersede), tuple(release), tuple(restatements), tuple(conflicts))


def _is_for_people(row: OutboxRow, have: KnownPosting) -> bool:
    """It would be posted differently today, and nothing of ours amends it: a master, a payment, or what an operator dealt with himself."""
    ours = have.state is _S.POSTED and row.document_kind not in MASTER_KINDS | BOOKED_KINDS
    return not ours and have.fingerprint != fingerprint(row.payload)


def _restatement(
    ordered: Sequence[OutboxRow], standing: KnownPosting | None, to_be_sent: Collection[str]
) -> OutboxRow | None:
    """The amendment that would bring what stands in the ERP to today's derivation of the same state; None when a newer state comes
    anyway. Masters are the ERP's by then.
    """
    if standing is None or standing.state is not _S.POSTED or not ordered or ordered[0].document_kind in MASTER_KINDS:
        return None
    if any(row.event_time > standing.event_time and row.event_id in to_be_sent for row in ordered):
        return None
    newest = next((row for row in reversed(ordered) if row.event_time == standing.event_time), None)
    if newest is None:
        return None
    digest, cancelled = fingerprint(newest.payload), newest.payload.get("status") == "cancelled"
    if digest == standing.fingerprint:
        return None
    if cancelled and standing.operation == CANCEL:
        return None
    operation = CANCEL if cancelled else "amend"
    return replace(newest, event_id=amendment_id(standing.event_id, digest), operation=operation)


def _new_candidate(row: OutboxRow, have: KnownPosting | None) -> list[NewPosting]:
    """None when it waits or is on its way already, and none when a person has refused it."""
    if have is not None and (have.state is not _S.SUPERSEDED or have.cause == REFUSED):
        return []
    revision = 1 if have is None else have.revision + 1
    return [NewPosting(row, revision, fingerprint(row.payload), _S.PLANNED, RESTATED)]


def release_shadowed(known: Iterable[KnownPosting], wanted: Collection[int]) -> EntityPlan:
    """Plan what was shadowed of an entity that the build left alone, now that the workflow is live.

    Args:
        wanted: ids of the rows that may be posted by the cut-over date.
    """
    ledger = list(known)
    shadowed = [posting for posting in ledger if posting.state is _S.SHADOWED and posting.id in wanted]
    standing = _standing(ledger)
    reached = None if standing is None else standing.event_time
    late = [posting.id for posting in shadowed if reached is not None and posting.event_time < reached]
    return EntityPlan(
        supersede=tuple((one, "late_older_state") for one in late),
        release=tuple(posting.id for posting in shadowed if posting.id not in late),
    )


def _no_longer_derived(ordered: Iterable[OutboxRow], ledger: Mapping[str, KnownPosting]) -> Iterator[tuple[int, str]]:
    derived = {row.event_id for row in ordered}
    for posting in ledger.values():
        if posting.event_id not in derived and posting.state in _NEVER_SENT:
            yield posting.id, "no_longer_derived"


def _may_return(have: KnownPosting, row: OutboxRow, *, again: bool) -> bool:
    return have.cause != REFUSED or again or row.document_kind in MASTER_KINDS


def _create_only(ordered: list[OutboxRow], ledger: Mapping[str, KnownPosting]) -> list[OutboxRow]:
    """Masters are created once: as soon as one version is on its way, other versions are left to the ERP's owners."""
    under_way = [row for row in ordered if row.event_id in ledger]
    settled = any(posting.state not in _NEVER_SENT | {_S.REJECTED, _S.SUPERSEDED} for posting in ledger.values())
    return under_way if settled else ordered


def _standing(ledger: Iterable[KnownPosting]) -> KnownPosting | None:
    """The newest state that has reached, or may have reached, the ERP: by us, or by an operator's hand."""
    stays = _NEVER_SENT | {_S.REJECTED, _S.SUPERSEDED}
    states = [posting for posting in ledger if posting.document_kind not in BOOKED_KINDS]
    gone = [posting for posting in states if posting.state not in stays or posting.is_frozen]
    return max(gone, key=lambda posting: (posting.event_time, posting.id), default=None)


def _stands_cancelled(ordered: Iterable[OutboxRow], ledger: Mapping[str, KnownPosting]) -> datetime | None:
    """The time of a cancellation that found nothing to cancel: it stands, so an older state must not be posted after it."""
    waiting = [posting.event_time for posting in ledger.values() if posting.state in _NEVER_SENT]
    times = [
        row.event_time
        for row in ordered
        if row.payload.get("status") == "cancelled"
        and (have := ledger.get(row.event_id)) is not None
        and have.state is _S.SUPERSEDED
        and have.cause != REFUSED
        and not any(time < row.event_time for time in waiting)
    ]
    return max(times, default=None)
