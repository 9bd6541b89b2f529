"""What became of requests and look-ups, put into the words of the ledger and made durable."""

import itertools
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from meshline_dagster.core.documents import REVERSE, DocumentKind
from meshline_dagster.core.errors import GateError, PlanChangedError
from meshline_dagster.core.foreign import kept_cause
from meshline_dagster.core.ledger import PostingState
from meshline_dagster.core.settle import Settled
from meshline_dagster.core.text import kept_text
from meshline_dagster.delivery.billing import billing_of
from meshline_dagster.delivery.committer import GroupCommitter
from meshline_dagster.delivery.findings import finding_for, trace_key
from meshline_dagster.delivery.gates import IntentGate
from meshline_dagster.delivery.ledger_group import Work
from meshline_dagster.delivery.outage import Signal
from meshline_dagster.delivery.session import Session
from meshline_dagster.delivery.shards import ShardLeases
from meshline_dagster.store.exceptions import Finding
from meshline_dagster.store.ledger_writes import Attempt, AttemptEnd, Change
from meshline_dagster.store.postings import Posting

__all__ = ["Recorder", "Results"]


@dataclass(slots=True)
class Results:
    """What one request or look-up settled, and when (UTC)."""

    at: datetime
    changes: list[Change] = field(default_factory=list)
    ends: list[AttemptEnd] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    resolved: list[str] = field(default_factory=list)
    signals: list[Signal] = field(default_factory=list)
    billed: list[str] = field(default_factory=list)


class Recorder:
    """Writes for one delivery, under its leases.

    Attributes:
        gate: what must hold for an intent of the current pass to be written.
        open_exceptions: trace keys of what is open in the queue, so that a success asks the database only where it resolves something.
        refused: the time of the newest refused state of each entity in exception.
    """

    def __init__(self, session: Session, committer: GroupCommitter, leases: ShardLeases) -> None:
        self._report, self._committer, self._leases = session.report, committer, leases
        self._billing, self._partial = billing_of(session.options), session.options.partial
        self.gate: IntentGate | None = None
        self._name, self._numbers = uuid.uuid4().hex[:24], itertools.count(1)
        self.open_exceptions: set[str] = set()
        self.refused: dict[str, datetime] = {}

    def attempt(self, row: Posting, action: str, now: datetime) -> Attempt:
        """A request or look-up that begins. Its id is new."""
        request_id = f"{self._name}-{next(self._numbers):011d}"
        return Attempt(row.id, request_id, action, row.fingerprint, self._leases.token(row.shard), now)

    async def intend(self, rows: Sequence[Posting], attempts: Sequence[Attempt], now: datetime) -> None:
        """Make the intent durable: nothing may be sent before this returns.

        Raises:
            GateError, PlanChangedError: posting was paused, a verdict fell, or the ledger was planned anew, since the pass began.
        """
        assert self.gate is not None
        token, sending = self._leases.token, PostingState.SENDING
        changes = [
            Change(
                *(row.id, row.key, row.shard, row.state, sending, token(row.shard)),
                attempts=row.attempts + 1,
                sent_at=now,
                partial_policy=self._partial.value if row.sent_at is None else None,
            )
            for row in rows
        ]
        await self._committer.commit(Work(changes, opened=attempts, gate=self.gate))

    def settle(
        self, results: Results, row: Posting, attempt: Attempt, settled: Settled, *, before: PostingState, answer: str
    ) -> None:
        """Add one settled posting.

        Args:
            before: the state that the row has now.
            answer: the ERP's own words, for the attempt.
        """
        given_up = results.at if before is PostingState.SENDING else None
        results.changes.append(self.change(row, before, settled, given_up=given_up))
        is_order = row.document_kind is DocumentKind.SALES_ORDER and row.operation != REVERSE
        if settled.state is PostingState.POSTED and is_order:
            results.billed.append(row.entity_key)
        end = AttemptEnd(attempt.posting_id, attempt.request_id, results.at, settled.outcome, kept_text(answer))
        results.ends.append(end)
        self._report.count(settled.outcome)
        if settled.problem is not None:
            results.findings.append(finding_for(row, settled))
            self.open_exceptions.add(trace_key(row))
            self.refused[row.entity_key] = max(row.event_time, self.refused.get(row.entity_key, row.event_time))
        elif settled.state is PostingState.POSTED and self._resolves(row):
            results.resolved.append(trace_key(row))

    def _resolves(self, row: Posting) -> bool:
        """An older state that is posted late says nothing of a newer one that was refused."""
        refused = self.refused.get(row.entity_key)
        return trace_key(row) in self.open_exceptions and (refused is None or refused <= row.event_time)

    def change(
        self, row: Posting, before: PostingState, settled: Settled, *, given_up: datetime | None = None
    ) -> Change:
        """The state change alone.

        Args:
            given_up: when a request that got no answer was given up: until then it may have been under way.
        """
        return Change(
            *(row.id, row.key, row.shard, before, settled.state, self._leases.token(row.shard)),
            due_at=settled.due_at,
            attempts=settled.attempts,
            sent_at=given_up,
            erp_id=settled.erp_id,
            outcome=settled.outcome,
            message=kept_text(settled.message),
            cause=settled.cause,
        )

    async def record(self, results: Results, opened: Sequence[Attempt] = ()) -> None:
        """Make results durable.

        Args:
            opened: attempts that begin and end in this very transaction, as look-ups do.
        """
        work = Work(results.changes, opened, results.ends, results.findings, results.resolved, results.signals)
        if self._billing is not None and results.billed:
            work = work._replace(billing=self._billing.of(results.billed))
        await self._committer.commit(work)

    async def put_aside(self, rows: Sequence[Posting], cause: str) -> None:
        """Rows that need no request: superseded for this cause."""
        token = self._leases.token
        changes = [Change.of(row, PostingState.SUPERSEDED, token(row.shard), cause=cause) for row in rows]
        await self._committer.commit(Work(changes))
        for _ in rows:
            self._report.count(cause)

    async def bill(self, entity_keys: Sequence[str]) -> None:
        """Plan what follows from orders whose day has come."""
        if self._billing is not None and entity_keys:
            await self._committer.commit(Work(billing=self._billing.of(entity_keys)))

    async def coalesce(self, rows: Sequence[Posting]) -> None:
        """Older order states that were never sent make room for the newest."""
        token = self._leases.token
        changes = [Change.of(row, PostingState.SUPERSEDED, token(row.shard), cause="coalesced") for row in rows]
        try:
            await self._committer.commit(Work(changes, gate=self.gate))
        except (GateError, PlanChangedError):  # the next pass looks again, or says why not
            return
        self._report.outcomes["coalesced"] = self._report.outcomes.get("coalesced", 0) + len(rows)

    async def not_sent(
        self,
        rows: Sequence[Posting],
        attempts: Sequence[Attempt],
        now: datetime,
        *,
        cause: str,
        due_at: datetime | None,
    ) -> None:
        """Take an intent back: nothing was sent.

        Args:
            due_at: when to try again; None: at once.
            cause: why not, e.g. ``paused``, or ``lease_too_short`` for the request's deadline.
        """
        token, sending = self._leases.token, PostingState.SENDING
        partial, due = PostingState.PARTIAL, PostingState.RETRY_DUE
        changes = [
            Change(
                *(row.id, row.key, row.shard, sending, partial if row.state is partial else due, token(row.shard)),
                due_at=due_at,
                attempts=row.attempts,
                cause=kept_cause(row.cause, cause),
            )
            for row in rows
        ]
        ends = [AttemptEnd(one.posting_id, one.request_id, now, "not_sent", "") for one in attempts]
        await self._committer.commit(Work(changes, closed=ends))
