"""Approvals: sets of writes by their digest, what somebody decided about them, and the postings that wait for that.

A posting that waits is sent only while its digest is approved; an approval covers the postings that were listed when it was asked for,
and no other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, func, select, update

from meshline_dagster.core.approvals import ApprovalKind
from meshline_dagster.core.ledger import PostingState
from meshline_dagster.store import audit
from meshline_dagster.store.bulk import insert_rows
from meshline_dagster.store.exceptions import resolve
from meshline_dagster.store.postings import Posting, postings_of
from meshline_dagster.store.tables import approval, is_open, posting, waiting_posting

__all__ = [
    "APPROVED",
    "REJECTED",
    "VOID",
    "Approval",
    "anything_unapproved",
    "approvals",
    "decide",
    "find_approvals",
    "request",
    "unapproved",
    "void_empty",
    "waiting",
    "waiting_count",
]

APPROVED, REJECTED, VOID = "approved", "rejected", "void"


@dataclass(frozen=True, slots=True)
class Approval:
    """One set of writes that somebody has to approve.

    Attributes:
        role: whose word it takes: ``revops`` or ``finance``.
        requested_by: whoever asked for what led to these writes, separated by commas: none of them may approve.
    """

    digest: str
    destination: str
    kind: ApprovalKind
    role: str
    subject: str
    requested_by: str
    requested_at: datetime
    decision: str | None = None
    decided_by: str | None = None
    decided_at: datetime | None = None
    reason: str | None = None

    @property
    def trace_key(self) -> str:
        """The key of its exception."""
        return f"approval:{self.digest}"

    @property
    def authors(self) -> frozenset[str]:
        """Who may not approve it."""
        return frozenset(one.strip() for one in self.requested_by.split(","))


_NAMES = tuple(Approval.__dataclass_fields__)
_COLUMNS = [approval.c[name] for name in _NAMES]


def _from_row(row: Sequence[object]) -> Approval:
    values = dict(zip(_NAMES, row, strict=True))
    return Approval(**{**values, "kind": ApprovalKind(values["kind"])})  # type: ignore[arg-type]  # the columns have these types


def request(connection: Connection, asked: Sequence[tuple[Approval, Sequence[int]]]) -> None:
    """Let postings (by id) wait for approvals."""
    if not asked:
        return
    insert_rows(connection, approval, _NAMES, [tuple(getattr(one, name) for name in _NAMES) for one, _ in asked])
    rows = [(posting_id, one.digest) for one, ids in asked for posting_id in ids]
    insert_rows(connection, waiting_posting, ("posting_id", "digest"), rows)
    entries = [
        audit.Entry(
            *(one.requested_by[:100], "approval.requested", one.trace_key),
            {"kind": one.kind.value, "subject": one.subject, "postings": str(len(ids))},
        )
        for one, ids in asked
    ]
    audit.append(connection, entries, at=asked[0][0].requested_at)


def decide(connection: Connection, asked: Approval, decision: str, *, actor: str, reason: str, now: datetime) -> bool:
    """Record a decision. False when it was decided before: the first decision stands.

    Args:
        decision: ``approved``, ``rejected`` or ``void``.
    """
    done = connection.execute(
        update(approval)
        .where(approval.c.digest == asked.digest, approval.c.decision.is_(None))
        .values(decision=decision, decided_by=actor, decided_at=now, reason=reason)
    )
    if not done.rowcount:
        return False
    detail = {"kind": asked.kind.value, "role": asked.role, "reason": reason}
    audit.append(connection, [audit.Entry(actor, f"approval.{decision}", asked.trace_key, detail)], at=now)
    words = f"{decision} by {actor}{f': {reason}' if reason else ''}"
    resolve(connection, [asked.trace_key], resolution=words, now=now, actor=actor)
    return True


def void_empty(connection: Connection, destination: str, *, actor: str, now: datetime) -> int:
    """Close what nobody has to decide any more: all of its postings were superseded meanwhile. Returns how many."""
    left = (
        select(waiting_posting.c.posting_id)
        .join(posting, posting.c.id == waiting_posting.c.posting_id)
        .where(waiting_posting.c.digest == approval.c.digest, is_open(posting))
        .exists()
    )
    query = select(*_COLUMNS).where(approval.c.destination == destination, approval.c.decision.is_(None), ~left)
    found = [_from_row(row) for row in connection.execute(query)]
    for one in found:
        decide(connection, one, VOID, actor=actor, reason="nothing of it is left to be sent", now=now)
    return len(found)


def anything_unapproved(connection: Connection, destination: str) -> bool:
    """Whether :func:`unapproved` can hold anything of a destination at all: asking each row costs more."""
    found = select(approval.c.digest).where(
        approval.c.destination == destination, approval.c.decision.is_distinct_from(APPROVED)
    )
    return connection.execute(found.limit(1)).first() is not None


def unapproved() -> ColumnElement[bool]:
    """The condition over ``posting`` that a row waits for an approval that nobody has given."""
    return (
        select(waiting_posting.c.posting_id)
        .join(approval, approval.c.digest == waiting_posting.c.digest)
        .where(waiting_posting.c.posting_id == posting.c.id, approval.c.decision.is_distinct_from(APPROVED))
        .correlate(posting)
        .exists()
    )


def waiting_count(connection: Connection, destination: str) -> int:
    """How many open postings wait for an approval."""
    query = (
        select(func.count())
        .select_from(approval)
        .join(waiting_posting, approval.c.digest == waiting_posting.c.digest)
        .join(posting, posting.c.id == waiting_posting.c.posting_id)
        .where(approval.c.destination == destination, approval.c.decision.is_(None), is_open(posting))
    )
    return connection.execute(query).scalar_one()


def approvals(connection: Connection, *, only_open: bool = True) -> list[Approval]:
    """What was asked for, oldest first."""
    query = select(*_COLUMNS).order_by(approval.c.requested_at, approval.c.digest)
    if only_open:
        query = query.where(approval.c.decision.is_(None))
    return [_from_row(row) for row in connection.execute(query)]


def find_approvals(connection: Connection, start: str) -> list[Approval]:
    """The approvals whose digest starts with this text."""
    query = select(*_COLUMNS).where(approval.c.digest.startswith(start, autoescape=True))
    return [_from_row(row) for row in connection.execute(query)]


def waiting(connection: Connection, asked: Approval) -> list[Posting]:
    """The postings of an approval that are still to be sent, in sequence."""
    query = select(waiting_posting.c.posting_id).where(waiting_posting.c.digest == asked.digest)
    found = postings_of(connection, list(connection.execute(query).scalars()))
    open_rows = [row for row in found if row.state in {PostingState.PLANNED, PostingState.RETRY_DUE}]
    return sorted(open_rows, key=lambda row: (row.event_time, row.id))
