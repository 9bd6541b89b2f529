"""One request, or one look-up, from intent to outcome."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

import orjson

from meshline_dagster.core.documents import ACCOUNTING_KINDS, Answer, Document, DocumentKind, ErpDocument, Outcome
from meshline_dagster.core.errors import GateError, MeshlineError, PlanChangedError
from meshline_dagster.core.identity import sha256_hex
from meshline_dagster.core.ledger import PostingState
from meshline_dagster.core.partials import PartialPolicy
from meshline_dagster.core.settle import Settled, after_answer, after_lookup, reversed_in_erp
from meshline_dagster.delivery.comparison import NOT_COMPARED, Compared, answers_by_comparison, to_compare
from meshline_dagster.delivery.holds import Holds
from meshline_dagster.delivery.options import DeliveryOptions, MissingCustomer
from meshline_dagster.delivery.outage import OutageGuard, Signal
from meshline_dagster.delivery.pace import Pace
from meshline_dagster.delivery.recorder import Recorder, Results
from meshline_dagster.delivery.session import Session
from meshline_dagster.delivery.shards import ShardLeases
from meshline_dagster.delivery.slots import Slots
from meshline_dagster.store.ledger_writes import Attempt
from meshline_dagster.store.postings import Posting

__all__ = ["Requests"]

_S = PostingState


class _Told(NamedTuple):
    """An answer, and when what it answers was asked."""

    started: datetime
    answer: Answer


class Requests:
    """Sends and looks up for one delivery.

    Attributes:
        slots: the requests in flight of the current pass.
        refused: an intent of it was refused: what the pass has read is of no use any more.
    """

    slots: Slots
    refused: bool

    def __init__(
        self,
        session: Session,
        recorder: Recorder,
        leases: ShardLeases,
        *,
        guard: OutageGuard,
        holds: Holds,
        pace: Pace,
    ) -> None:
        self._session = session
        self._writer, self._options, self._report = session.writer, session.options, session.report
        self._clock, self._jitter, self._timeout = session.clock, session.jitter, session.timeout
        self._recorder, self._leases, self._guard, self._holds, self._pace = recorder, leases, guard, holds, pace
        self._operations = session.writer.capabilities.operations

    async def send(self, batch: Sequence[Posting], before: Mapping[str, Posting]) -> None:
        """Intent durable, request, outcome durable: for a batch of one kind, each of another entity.

        Args:
            before: the last posted row of each entity that has one.
        """
        needless: dict[str, list[Posting]] = {}
        forged: list[Posting] = []
        rows: list[Posting] = []
        documents: list[Document] = []
        for row in batch:
            if self._holds.stops([row]) or self._pace.is_delayed:
                continue
            if sha256_hex(row.payload.encode()) != row.fingerprint:
                forged.append(row)
                continue
            previous = _previous(row, before)
            payload = orjson.loads(row.payload)
            cause = _needless(row, payload, previous)
            if cause is not None:
                needless.setdefault(cause, []).append(row)
            elif self._leases.covers(row.shard, self._timeout):
                rows.append(row)
                documents.append(_document(row, payload, previous, self._options))
        for cause, idle in needless.items():
            await self._recorder.put_aside(idle, cause)
        if forged:
            await self._refuse(forged)
        if rows:
            await self._send(rows, documents, before)

    async def look_up(self, batch: Sequence[Posting], before: Mapping[str, Posting]) -> None:
        """Settle unknown postings by what the ERP shows."""
        rows = [row for row in batch if self._leases.covers(row.shard, self._timeout)]
        if not rows:
            return
        started = self._clock()
        try:
            found = await self.slots.run(lambda: self._find(rows))
        except (MeshlineError, TimeoutError) as error:
            await self._postpone(rows, self._guard.missed(str(error) or "the look-up got no answer in time", started))
            return
        if found is None:
            return
        self._report.lookups += len(rows)
        attempts: list[Attempt] = []
        results = Results(self._clock(), signals=self._guard.reached(started))
        for row in rows:
            previous = _previous(row, before)
            settled = after_lookup(
                found.get(row.external_id, []),
                kind=row.document_kind,
                event_id=row.event_id,
                payload=orjson.loads(row.payload),
                previous=None if previous is None else orjson.loads(previous.payload),
                sent_at=row.sent_at or started,
                settle_after=self._writer.capabilities.settle_after,
                attempts=row.attempts,
                max_attempts=self._options.max_attempts,
                now=started,
                partial=self._options.partial,
                cause=row.cause,
                closed_by_hand=previous is not None and previous.state is not _S.POSTED,
            )
            attempts.append(self._recorder.attempt(row, "look_up", started))
            self._recorder.settle(results, row, attempts[-1], settled, before=row.state, answer=settled.message)
        await self._recorder.record(results, attempts)

    async def _find(self, rows: Sequence[Posting]) -> Mapping[str, list[ErpDocument]] | None:
        """What the ERP shows; None when it wants to be left alone for now."""
        await self._pace.turn()
        if self._pace.is_delayed:
            return None
        async with asyncio.timeout(self._timeout):
            return await self._writer.find(rows[0].document_kind, [row.external_id for row in rows])

    async def _send(
        self, rows: Sequence[Posting], documents: Sequence[Document], before: Mapping[str, Posting]
    ) -> None:
        """The wait for a slot may be long, so pauses and lease are looked at once more: no request starts unless the lease outlives
        its deadline.
        """
        now = self._clock()
        attempts = [self._recorder.attempt(row, "post", now) for row in rows]
        try:
            await self._recorder.intend(rows, attempts, now)
        except (GateError, PlanChangedError):  # nothing is sent; the next pass reads again, or says why not
            self.refused = True
            return

        async def ask() -> tuple[str | None, list[_Told]]:
            compared = await self._compare(rows, documents, before)
            await self._pace.turn()
            await self._holds.refresh()
            why_not, started = self._why_not(rows), self._clock()
            if why_not:
                return why_not, []
            left = [one for row, one in zip(rows, documents, strict=True) if row.id not in compared.answers]
            told = iter(await self._post(left) if left else [])
            looked = compared.started or started
            return None, [
                _Told(looked, compared.answers[row.id]) if row.id in compared.answers else _Told(started, next(told))
                for row in rows
            ]

        why_not, told = await self.slots.run(ask)
        if why_not:
            await self._recorder.not_sent(rows, attempts, self._clock(), cause=why_not, due_at=self._pace.not_before)
        else:
            await self._record(rows, documents, attempts, told, now=self._clock())

    async def _compare(
        self, rows: Sequence[Posting], documents: Sequence[Document], before: Mapping[str, Posting]
    ) -> Compared:
        """Look at what would be overwritten. Where that gets no answer, nothing was sent: that is only "not now"."""
        asked = to_compare(rows, documents, before)
        if not asked:
            return NOT_COMPARED
        started = self._clock()
        try:
            found = await self._find(list(asked.values()))
        except (MeshlineError, TimeoutError) as error:
            answer = Answer(Outcome.RETRY, message=str(error) or "the look-up got no answer in time")
            return Compared(started, dict.fromkeys(asked, answer))
        if found is None:
            return NOT_COMPARED
        self._report.lookups += len(asked)
        return Compared(started, answers_by_comparison(self._session, asked, before, found))

    def _why_not(self, rows: Sequence[Posting]) -> str | None:
        """What forbids a request at the last moment, in a word for the ledger; None when nothing does."""
        if self._pace.is_delayed:
            return "rate_limited"
        covered = all(self._leases.covers(row.shard, self._timeout) for row in rows)
        return self._holds.stops(rows) if covered else "lease_too_short"

    async def _post(self, documents: Sequence[Document]) -> list[Answer]:
        """Ask the writer; whatever goes wrong in it, the ERP may have acted: that is unknown, not failed."""
        self._report.requests += 1
        kind, only_match = documents[0].kind, self._matches_only(documents[0].kind)
        undeclared = {one.operation for one in documents if (kind, one.operation) not in self._operations}
        if undeclared and not only_match:
            text = f"{self._writer.name} does not declare that it can {' or '.join(sorted(undeclared))} a {kind.value}"
            return [Answer(Outcome.REJECTED, message=text, field="operation")] * len(documents)
        try:
            async with asyncio.timeout(self._timeout):
                answers = await (self._match(documents) if only_match else self._writer.post(documents))
        except Exception as error:  # noqa: BLE001 - an unknown outcome must never end the run without a record
            return [Answer(Outcome.UNKNOWN, message=f"{type(error).__name__}: {error}")] * len(documents)
        if len(answers) != len(documents):
            text = f"the writer gave {len(answers)} answers for {len(documents)} documents"
            return [Answer(Outcome.UNKNOWN, message=text)] * len(documents)
        return answers

    async def _match(self, documents: Sequence[Document]) -> list[Answer]:
        """Look for masters that we may not create. Nothing is sent, so silence is only "not now"."""
        kind = documents[0].kind
        try:
            found = await self._writer.find(kind, [document.external_id for document in documents])
        except MeshlineError as error:
            return [Answer(Outcome.RETRY, message=str(error))] * len(documents)
        return [_matched(document, found.get(document.external_id, [])) for document in documents]

    def _matches_only(self, kind: DocumentKind) -> bool:
        return kind is DocumentKind.CUSTOMER and self._options.missing_customer is MissingCustomer.EXCEPTION

    async def _record(
        self,
        rows: Sequence[Posting],
        documents: Sequence[Document],
        attempts: Sequence[Attempt],
        told: Sequence[_Told],
        *,
        now: datetime,
    ) -> None:
        results, probe = Results(now), self._guard.is_probing
        for row, document, attempt, (started, answer) in zip(rows, documents, attempts, told, strict=True):
            silent = answer.outcome in {Outcome.RETRY, Outcome.UNKNOWN}
            made = row.attempts + (0 if probe and silent else 1)  # an outage does not use a posting's attempts up
            settled = after_answer(
                answer,
                kind=row.document_kind,
                attempts=made,
                max_attempts=self._options.max_attempts,
                now=now,
                jitter=self._jitter(),
                begun=row.state is _S.PARTIAL,
            )
            if document.key != row.key and settled.state is _S.POSTED:
                settled = reversed_in_erp(settled.erp_id)
            settled = replace(settled, attempts=made) if probe and silent else settled
            words = orjson.dumps(dict(answer.raw), default=str).decode() if answer.raw else settled.message
            self._recorder.settle(results, row, attempt, settled, before=_S.SENDING, answer=words)
            results.signals += (
                self._guard.missed(answer.message, started, wait=answer.retry_after)
                if silent
                else self._guard.reached(started)
            )
        await self._recorder.record(results)

    async def _postpone(self, rows: Sequence[Posting], signals: list[Signal]) -> None:
        """The look-up itself failed: nothing was learnt, ask again a little later."""
        silence = Answer(Outcome.UNKNOWN, message="the look-up got no answer")
        most = self._options.max_attempts
        now = self._clock()
        kind = rows[0].document_kind
        settled = after_answer(silence, kind=kind, attempts=1, max_attempts=most, now=now, jitter=self._jitter())
        changes = [self._recorder.change(row, row.state, settled) for row in rows]
        await self._recorder.record(Results(now, changes, signals=signals))

    async def _refuse(self, rows: Sequence[Posting]) -> None:
        """The ledger's content is not what was fingerprinted: somebody changed it behind our back. It is never sent."""
        now = self._clock()
        results = Results(now)
        attempts = [self._recorder.attempt(row, "refuse", now) for row in rows]
        text = "the payload in the ledger does not have the fingerprint that it was planned with"
        settled = Settled(_S.DEAD, "fingerprint_conflict", text, problem="fingerprint_conflict")
        for row, attempt in zip(rows, attempts, strict=True):
            self._recorder.settle(results, row, attempt, settled, before=row.state, answer=text)
        await self._recorder.record(results, attempts)


def _matched(document: Document, there: Sequence[ErpDocument]) -> Answer:
    if len(there) > 1:
        text = f"{len(there)} records carry the code {document.external_id}"
        return Answer(Outcome.EXISTS_DIFFERENT, message=text, field="duplicate")
    if there:
        return Answer(Outcome.EXISTS, erp_id=there[0].erp_id)
    text = f"{document.payload.get('name') or 'a customer'} is not there under the code {document.external_id}"
    return Answer(Outcome.ABSENT, message=text)


def _previous(row: Posting, before: Mapping[str, Posting]) -> Posting | None:
    """The state that this one follows; an accounting document follows none of its kind."""
    return None if row.document_kind in ACCOUNTING_KINDS else before.get(row.entity_key)


def _needless(row: Posting, payload: Mapping[str, Any], previous: Posting | None) -> str | None:
    """Why a row needs no request, in a word for the ledger: a cancellation finds nothing to cancel, or a customer is there already. None
    when it needs one.
    """
    if row.state is _S.PARTIAL:
        return None
    if row.document_kind is DocumentKind.CUSTOMER:
        return None if previous is None else "created_once"
    return "nothing_to_cancel" if previous is None and payload.get("status") == "cancelled" else None


def _document(row: Posting, payload: dict[str, Any], previous: Posting | None, options: DeliveryOptions) -> Document:
    """What to ask for, given what was posted last.

    What is there in part is brought about once more, or cancelled, under a key of its own: it is another request. What is not ours to say
    is left out.
    """
    if row.state is _S.PARTIAL and options.partial is PartialPolicy.REVERSE:
        payload["status"] = "cancelled"
        key = sha256_hex(f"{row.key}/reverse".encode())
        return Document(row.document_kind, row.external_id, key, row.event_id, "cancel", payload)
    cancelled = payload.get("status") == "cancelled"
    operation = "cancel" if cancelled else "create" if previous is None else "amend"
    sent = options.ownership.sent(row.document_kind, operation, payload)
    return Document(row.document_kind, row.external_id, row.key, row.event_id, operation, sent)
