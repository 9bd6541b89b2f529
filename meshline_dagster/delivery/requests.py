"""One request, or one look-up, from intent to outcome."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import orjson

from meshline_dagster.core.documents import BOOKED_KINDS, Answer, Document, ErpDocument, Outcome
from meshline_dagster.core.errors import GateError, MeshlineError, PlanChangedError
from meshline_dagster.core.identity import sha256_hex
from meshline_dagster.core.ledger import PostingState
from meshline_dagster.core.partials import PartialPolicy
from meshline_dagster.core.settle import Settled, after_answer, after_lookup, reversed_in_erp
from meshline_dagster.delivery.holds import Holds
from meshline_dagster.delivery.masters import is_matched_first, is_only_matched
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
        self._writer, self._options, self._report = session.writer, session.options, session.report
        self._clock, self._jitter, self._timeout = session.clock, session.jitter, session.timeout
        self._recorder, self._leases, self._guard, self._holds, self._pace = recorder, leases, guard, holds, pace
        self._operations = session.writer.capabilities.operations

    async def send(self, batch: Sequence[Posting], before: Mapping[str, Posting]) -> None:
        """Intent durable, request, outcome durable: for a batch of one kind, each of another entity.

        Args:
            before: the last posted row of each entity that has one.
        """
        idle: list[Posting] = []
        forged: list[Posting] = []
        rows: list[Posting] = []
        documents: list[Document] = []
        for row in batch:
            if self._holds.stops([row]) or self._pace.is_delayed:
                continue
            if sha256_hex(row.payload.encode()) != row.fingerprint:
                forged.append(row)
                continue
            document = _document(row, _previous(row, before), self._options.partial)
            if document is None:
                idle.append(row)
            elif self._leases.covers(row.shard, self._timeout):
                rows.append(row)
                documents.append(document)
        if idle:
            await self._recorder.put_aside(idle, "nothing_to_cancel")
        if forged:
            await self._refuse(forged)
        if rows:
            await self._send(rows, documents)

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

    async def _send(self, rows: Sequence[Posting], documents: Sequence[Document]) -> None:
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

        async def ask() -> tuple[str | None, datetime, list[Answer]]:
            await self._pace.turn()
            await self._holds.refresh()
            why_not, started = self._why_not(rows), self._clock()
            return why_not, started, [] if why_not else await self._post(documents)

        why_not, started, answers = await self.slots.run(ask)
        if why_not:
            await self._recorder.not_sent(rows, attempts, self._clock(), cause=why_not, due_at=self._pace.not_before)
        else:
            await self._record(rows, documents, attempts, answers, started=started, now=self._clock())

    def _why_not(self, rows: Sequence[Posting]) -> str | None:
        """What forbids a request at the last moment, in a word for the ledger; None when nothing does."""
        if self._pace.is_delayed:
            return "rate_limited"
        covered = all(self._leases.covers(row.shard, self._timeout) for row in rows)
        return self._holds.stops(rows) if covered else "lease_too_short"

    async def _post(self, documents: Sequence[Document]) -> list[Answer]:
        """Ask the writer; whatever goes wrong in it, the ERP may have acted: that is unknown, not failed."""
        self._report.requests += 1
        kind, only_match = documents[0].kind, is_only_matched(documents[0].kind, self._options)
        undeclared = {one.operation for one in documents if (kind, one.operation) not in self._operations}
        if undeclared and not only_match:
            text = f"{self._writer.name} does not declare that it can {' or '.join(sorted(undeclared))} a {kind.value}"
            return [Answer(Outcome.REJECTED, message=text, field="operation")] * len(documents)
        try:
            async with asyncio.timeout(self._timeout):
                answers = await self._bring_about(documents, only_match=only_match)
        except Exception as error:  # noqa: BLE001 - an unknown outcome must never end the run without a record
            return [Answer(Outcome.UNKNOWN, message=f"{type(error).__name__}: {error}")] * len(documents)
        if len(answers) != len(documents):
            text = f"the writer gave {len(answers)} answers for {len(documents)} documents"
            return [Answer(Outcome.UNKNOWN, message=text)] * len(documents)
        return answers

    async def _bring_about(self, documents: Sequence[Document], *, only_match: bool) -> list[Answer]:
        """Match before create: what is there under a code that others give, too, is used as it is."""
        places = [place for place, one in enumerate(documents) if only_match or is_matched_first(one)]
        known = (
            dict(zip(places, await self._match([documents[place] for place in places]), strict=True)) if places else {}
        )
        absent = [] if only_match else [place for place in places if known[place].outcome is Outcome.ABSENT]
        sent = [place for place in range(len(documents)) if place not in known or place in absent]
        made = await self._writer.post([documents[place] for place in sent]) if sent else []
        if len(made) != len(sent):
            return made
        known |= dict(zip(sent, made, strict=True))
        return [known[place] for place in range(len(documents))]

    async def _match(self, documents: Sequence[Document]) -> list[Answer]:
        """Look for masters. Nothing is sent, so silence is only "not now"."""
        kind = documents[0].kind
        try:
            found = await self._writer.find(kind, [document.external_id for document in documents])
        except MeshlineError as error:
            return [Answer(Outcome.RETRY, message=str(error))] * len(documents)
        return [_matched(document, found.get(document.external_id, [])) for document in documents]

    async def _record(
        self,
        rows: Sequence[Posting],
        documents: Sequence[Document],
        attempts: Sequence[Attempt],
        answers: Sequence[Answer],
        *,
        started: datetime,
        now: datetime,
    ) -> None:
        results, probe = Results(now), self._guard.is_probing
        for row, document, attempt, answer in zip(rows, documents, attempts, answers, strict=True):
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
    text = f"{document.payload.get('name') or document.kind.value} is not there under the code {document.external_id}"
    return Answer(Outcome.ABSENT, message=text)


def _previous(row: Posting, before: Mapping[str, Posting]) -> Posting | None:
    """The state that this one follows; what is booked once follows none of its kind."""
    return None if row.document_kind in BOOKED_KINDS else before.get(row.entity_key)


def _document(row: Posting, previous: Posting | None, partial: PartialPolicy) -> Document | None:
    """What to ask for, given what was posted last; None when a cancellation finds nothing to cancel.

    What is there in part is brought about once more, or cancelled, under a key of its own: it is another request.
    """
    payload: dict[str, Any] = orjson.loads(row.payload)
    if row.state is _S.PARTIAL and partial is PartialPolicy.REVERSE:
        payload["status"] = "cancelled"
        key = sha256_hex(f"{row.key}/reverse".encode())
        return Document(row.document_kind, row.external_id, key, row.event_id, "cancel", payload)
    cancelled = payload.get("status") == "cancelled"
    if cancelled and previous is None:
        return None
    operation = "cancel" if cancelled else "create" if previous is None else "amend"
    return Document(row.document_kind, row.external_id, row.key, row.event_id, operation, payload)
