"""One request, or one look-up, from intent to outcome."""

import asyncio
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from meshline_dagster.core.documents import Answer, Document, Outcome
from meshline_dagster.core.errors import MeshlineError
from meshline_dagster.core.ledger import PostingState
from meshline_dagster.core.settle import Settled, after_answer, after_lookup
from meshline_dagster.delivery.committer import GroupCommitter, Work
from meshline_dagster.delivery.findings import finding_for, trace_key
from meshline_dagster.delivery.outage import OutageGuard
from meshline_dagster.delivery.session import Session
from meshline_dagster.delivery.shards import ShardLeases
from meshline_dagster.store.exceptions import Finding
from meshline_dagster.store.postings import Attempt, Change, Posting

__all__ = ["Requests"]

_S = PostingState
_ANSWER_CHARACTERS = 2_000


class Requests:
    """Sends and looks up for one delivery, with at most the ERP's number of requests in flight."""

    def __init__(self, session: Session, committer: GroupCommitter, leases: ShardLeases, guard: OutageGuard) -> None:
        self._writer, self._options, self._report = session.writer, session.options, session.report
        self._clock, self._jitter, self._timeout = session.clock, session.jitter, session.timeout
        self._committer, self._leases, self._guard = committer, leases, guard
        self._slots = asyncio.Semaphore(session.writer.capabilities.max_in_flight)

    async def send(self, batch: Sequence[Posting], before: Mapping[str, Posting]) -> None:
        """Intent durable, request, outcome durable: for a batch of one kind, each of another entity.

        Args:
            before: the last posted row of each entity that has one.
        """
        idle: list[Posting] = []
        rows: list[Posting] = []
        documents: list[Document] = []
        for row in batch:
            document = self._document(row, before.get(row.entity_key))
            if document is None:
                idle.append(row)
            elif self._leases.covers(row.shard, self._timeout):
                rows.append(row)
                documents.append(document)
        if idle:
            await self._nothing_to_cancel(idle)
        if not rows:
            return
        sending, attempts = await self._intend(rows)
        async with self._slots:
            answers = await self._post(documents)
        self._report.requests += 1
        await self._record(sending, attempts, answers)

    async def look_up(self, batch: Sequence[Posting], before: Mapping[str, Posting]) -> None:
        """Settle unknown postings by what the ERP shows."""
        rows = [row for row in batch if self._leases.covers(row.shard, self._timeout)]
        if not rows:
            return
        started = self._clock()
        try:
            async with self._slots:
                found = await self._writer.find(rows[0].document_kind, [row.external_id for row in rows])
        except MeshlineError as error:
            self._guard.missed(str(error))
            await self._postpone(rows)
            return
        self._guard.reached()
        self._report.lookups += len(rows)
        now = self._clock()
        changes: list[Change] = []
        attempts: list[Attempt] = []
        findings: list[Finding] = []
        resolved: list[str] = []
        for row in rows:
            previous = before.get(row.entity_key)
            settled = after_lookup(
                found.get(row.external_id, []),
                kind=row.document_kind,
                event_id=row.event_id,
                payload=json.loads(row.payload),
                previous=None if previous is None else json.loads(previous.payload),
                sent_at=row.sent_at or started,
                settle_after=self._writer.capabilities.settle_after,
                attempts=row.attempts,
                max_attempts=self._options.max_attempts,
                now=now,
            )
            changes.append(self._change(row, settled))
            attempt = self._attempt(row, "look_up", started)
            attempts.append(replace(attempt, ended_at=now, outcome=settled.outcome, answer=settled.message))
            self._collect(row, settled, findings, resolved)
        await self._committer.commit(Work(changes, opened=attempts, findings=findings, resolved=resolved))

    def _document(self, row: Posting, previous: Posting | None) -> Document | None:
        """What to ask for, given what was posted last; None when a cancellation finds nothing to cancel."""
        payload: dict[str, Any] = json.loads(row.payload)
        cancelled = payload.get("status") == "cancelled"
        if cancelled and previous is None:
            return None
        operation = "cancel" if cancelled else "create" if previous is None else "amend"
        return Document(row.document_kind, row.external_id, row.key, row.event_id, operation, payload)

    async def _nothing_to_cancel(self, rows: Sequence[Posting]) -> None:
        values = {"cause": "nothing_to_cancel", "due_at": None}
        changes = [Change(row, _S.SUPERSEDED, self._leases.token(row.shard), values) for row in rows]
        await self._committer.commit(Work(changes))
        for _ in rows:
            self._report.count("nothing_to_cancel")

    async def _intend(self, rows: Sequence[Posting]) -> tuple[list[Posting], list[Attempt]]:
        """Make the intent durable: nothing is sent before this returns."""
        now = self._clock()
        attempts = [self._attempt(row, "post", now) for row in rows]
        changes = [
            Change(
                row,
                _S.SENDING,
                self._leases.token(row.shard),
                {"attempts": row.attempts + 1, "sent_at": now, "due_at": None},
            )
            for row in rows
        ]
        await self._committer.commit(Work(changes, opened=attempts))
        sending = [replace(row, state=_S.SENDING, attempts=row.attempts + 1, sent_at=now) for row in rows]
        return sending, attempts

    async def _post(self, documents: Sequence[Document]) -> list[Answer]:
        """Ask the writer; whatever goes wrong in it, the ERP may have acted: that is unknown, not failed."""
        try:
            answers = await asyncio.wait_for(self._writer.post(documents), self._timeout)
        except Exception as error:  # noqa: BLE001 - an unknown outcome must never end the run without a record
            return [Answer(Outcome.UNKNOWN, message=f"{type(error).__name__}: {error}")] * len(documents)
        if len(answers) != len(documents):
            text = f"the writer gave {len(answers)} answers for {len(documents)} documents"
            return [Answer(Outcome.UNKNOWN, message=text)] * len(documents)
        return answers

    async def _record(self, rows: Sequence[Posting], attempts: Sequence[Attempt], answers: Sequence[Answer]) -> None:
        now = self._clock()
        changes: list[Change] = []
        closed: list[Attempt] = []
        findings: list[Finding] = []
        resolved: list[str] = []
        for row, attempt, answer in zip(rows, attempts, answers, strict=True):
            settled = after_answer(
                answer, attempts=row.attempts, max_attempts=self._options.max_attempts, now=now, jitter=self._jitter()
            )
            changes.append(self._change(row, settled))
            text = json.dumps(dict(answer.raw), default=str)[:_ANSWER_CHARACTERS] if answer.raw else settled.message
            closed.append(replace(attempt, ended_at=now, outcome=settled.outcome, answer=text[:_ANSWER_CHARACTERS]))
            self._collect(row, settled, findings, resolved)
            if answer.outcome in {Outcome.RETRY, Outcome.UNKNOWN}:
                self._guard.missed(answer.message)
            else:
                self._guard.reached()
        await self._committer.commit(Work(changes, closed=closed, findings=findings, resolved=resolved))

    async def _postpone(self, rows: Sequence[Posting]) -> None:
        """The look-up itself failed: nothing was learnt, ask again a little later."""
        settled = after_answer(
            Answer(Outcome.UNKNOWN, message="the look-up got no answer"),
            attempts=1,
            max_attempts=self._options.max_attempts,
            now=self._clock(),
            jitter=self._jitter(),
        )
        await self._committer.commit(Work([self._change(row, settled) for row in rows]))

    def _collect(self, row: Posting, settled: Settled, findings: list[Finding], resolved: list[str]) -> None:
        self._report.count(settled.outcome)
        if settled.problem is not None:
            findings.append(finding_for(row, settled))
        elif settled.state is _S.POSTED:
            resolved.append(trace_key(row))

    def _change(self, row: Posting, settled: Settled) -> Change:
        values = {
            "outcome": settled.outcome,
            "message": settled.message[:_ANSWER_CHARACTERS],
            "due_at": settled.due_at,
            "erp_id": settled.erp_id or row.erp_id,
        }
        return Change(row, settled.state, self._leases.token(row.shard), values)

    def _attempt(self, row: Posting, action: str, now: datetime) -> Attempt:
        return Attempt(
            posting_id=row.id,
            request_id=str(uuid.uuid4()),
            action=action,
            fingerprint=row.fingerprint,
            lease_token=self._leases.token(row.shard),
            started_at=now,
        )
