"""One request, or one look-up, from intent to outcome."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

import orjson

from meshline_dagster.core.documents import REVERSE, Answer, Document, ErpDocument, Outcome
from meshline_dagster.core.duplicates import NEEDLESS, after_reversal_lookup
from meshline_dagster.core.errors import GateError, MeshlineError, PlanChangedError
from meshline_dagster.core.ledger import PostingState
from meshline_dagster.core.partials import PartialPolicy, policy_of
from meshline_dagster.core.settle import Settled, after_answer, after_lookup, reversed_in_erp
from meshline_dagster.delivery.comparison import NOT_COMPARED, Compared, answers_by_comparison, to_compare
from meshline_dagster.delivery.holds import Holds
from meshline_dagster.delivery.masters import is_matched_first, is_only_matched
from meshline_dagster.delivery.outage import OutageGuard, Signal
from meshline_dagster.delivery.pace import Pace
from meshline_dagster.delivery.recorder import Recorder, Results
from meshline_dagster.delivery.reversing import find_reversed, reverse, target_of
from meshline_dagster.delivery.session import Session
from meshline_dagster.delivery.shards import ShardLeases
from meshline_dagster.delivery.slots import Slots
from meshline_dagster.delivery.wanted import document_of, forgery, matched, needless, previous_of, refusal
from meshline_dagster.erp.deadline import within
from meshline_dagster.store.ledger_writes import Attempt
from meshline_dagster.store.postings import Posting, is_in_erp

__all__ = ["Requests"]

_RATE_LIMITED = "rate_limited"
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
        self._store, self._lag = session.store, session.writer.capabilities.settle_after
        self._clock, self._jitter, self._timeout = session.clock, session.jitter, session.timeout
        self._recorder, self._leases, self._guard, self._holds, self._pace = recorder, leases, guard, holds, pace
        self._operations = session.writer.capabilities.operations

    async def send(self, batch: Sequence[Posting], before: Mapping[str, Posting]) -> None:
        """Intent durable, request, outcome durable: for a batch of one kind, each of another entity.

        Args:
            before: the last posted row of each entity that has one.
        """
        idle: dict[str, list[Posting]] = {}
        refused: list[tuple[Posting, Settled]] = []
        rows: list[Posting] = []
        documents: list[Document] = []
        for row in batch:
            if self._holds.stops([row]) or self._pace.is_delayed:
                continue
            policy = self._policy(row)
            problem = refusal(row, policy)
            if problem is not None:
                refused.append((row, problem))
                continue
            previous = previous_of(row, before)
            payload = orjson.loads(row.payload)
            cause = needless(row, payload, previous)
            if cause is not None:
                idle.setdefault(cause, []).append(row)
            elif self._leases.covers(row.shard, self._timeout):
                rows.append(row)
                documents.append(
                    document_of(
                        row, payload, previous, policy=policy, ownership=self._options.ownership, lags=bool(self._lag)
                    )
                )
        for cause, of_cause in idle.items():
            await self._recorder.put_aside(of_cause, cause)
        if refused:
            await self._refuse(refused)
        if rows:
            await self._send(rows, documents, before)

    async def look_up(self, batch: Sequence[Posting], before: Mapping[str, Posting]) -> None:
        """Settle unknown postings by what the ERP shows. One whose payload was changed in the ledger says nothing to compare that with."""
        refused = [(row, problem) for row in batch if (problem := forgery(row)) is not None]
        if refused:
            await self._refuse(refused)
        forged = {row.id for row, _ in refused}
        rows = [row for row in batch if row.id not in forged and self._leases.covers(row.shard, self._timeout)]
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
            settled = self._settled(row, found, before, asked_at=started)
            attempts.append(self._recorder.attempt(row, "look_up", started))
            self._recorder.settle(results, row, attempts[-1], settled, before=row.state, answer=settled.message)
        await self._recorder.record(results, attempts)

    def _settled(
        self, row: Posting, found: Mapping[str, list[ErpDocument]], before: Mapping[str, Posting], *, asked_at: datetime
    ) -> Settled:
        """What a look-up makes of one posting."""
        sent_at, settle_after = row.sent_at or asked_at, self._writer.capabilities.settle_after
        attempts, most = row.attempts, self._options.max_attempts
        if row.operation == REVERSE:
            [shown] = found.get(target_of(row), [None])
            return after_reversal_lookup(
                shown, sent_at=sent_at, settle_after=settle_after, attempts=attempts, max_attempts=most, now=asked_at
            )
        previous, payload = previous_of(row, before), orjson.loads(row.payload)
        return after_lookup(
            found.get(row.external_id, []),
            kind=row.document_kind,
            event_id=row.event_id,
            payload=payload,
            sent=self._options.ownership.sent(row.document_kind, "amend", payload),
            previous=None if previous is None else orjson.loads(previous.payload),
            sent_at=sent_at,
            settle_after=settle_after,
            attempts=attempts,
            max_attempts=most,
            now=asked_at,
            partial=self._policy(row),
            cause=row.cause,
            closed_by_hand=previous is not None and previous.state is not _S.POSTED,
        )

    async def _find(self, rows: Sequence[Posting]) -> Mapping[str, list[ErpDocument]] | None:
        """What the ERP shows; None when it wants to be left alone for now."""
        await self._pace.turn()
        if self._pace.is_delayed:
            return None
        async with within(self._timeout):
            if rows[0].operation == REVERSE:
                return await find_reversed(self._writer, rows)
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
            if compared is None:
                return _RATE_LIMITED, []
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
    ) -> Compared | None:
        """Look at what would be overwritten. Where that gets no answer, nothing was sent: that is only "not now". None when the ERP wants to
        be left alone: what was not looked at is not sent either, also when the wait is over a moment later.
        """
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
            return None
        self._report.lookups += len(asked)
        return Compared(started, answers_by_comparison(self._session, asked, before, found))

    def _why_not(self, rows: Sequence[Posting]) -> str | None:
        """What forbids a request at the last moment, in a word for the ledger; None when nothing does."""
        if self._pace.is_delayed:
            return _RATE_LIMITED
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
            async with within(self._timeout):
                if documents[0].operation == REVERSE:
                    answers = await reverse(self._writer, documents)
                else:
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
        if not places:
            return await self._writer.post(documents)
        known = dict(zip(places, await self._match([documents[place] for place in places]), strict=True))
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
        return [matched(document, found.get(document.external_id, [])) for document in documents]

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
                self._unless_it_lags(row, answer),
                kind=row.document_kind,
                attempts=made,
                max_attempts=self._options.max_attempts,
                now=now,
                jitter=self._jitter(),
                begun=row.state is _S.PARTIAL,
            )
            if (
                answer.field == NEEDLESS and document.operation == REVERSE
            ):  # the next read-back says what is to be done instead
                settled = replace(settled, outcome=NEEDLESS, problem=None)
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

    def _unless_it_lags(self, row: Posting, answer: Answer) -> Answer:
        """What the ledger knows to be in the ERP, and its list does not show, is waited for; until the attempts are used up."""
        if answer.outcome is not Outcome.REJECTED or answer.absent is None or not self._lag:
            return answer
        with self._store.read() as connection:
            if not is_in_erp(connection, row, answer.absent):
                return answer
        text = f"{answer.message}; it was there, so the ERP's list lags, or somebody has removed it"
        return replace(answer, outcome=Outcome.RETRY, message=text, retry_after=self._lag.total_seconds())

    async def _postpone(self, rows: Sequence[Posting], signals: list[Signal]) -> None:
        """The look-up itself failed: nothing was learnt, ask again a little later."""
        silence = Answer(Outcome.UNKNOWN, message="the look-up got no answer")
        most = self._options.max_attempts
        now = self._clock()
        kind = rows[0].document_kind
        settled = after_answer(silence, kind=kind, attempts=1, max_attempts=most, now=now, jitter=self._jitter())
        changes = [self._recorder.change(row, row.state, settled) for row in rows]
        await self._recorder.record(Results(now, changes, signals=signals))

    def _policy(self, row: Posting) -> PartialPolicy:
        """What is to become of this document if it is there in part."""
        return policy_of(row.partial_policy, was_sent=row.sent_at is not None, current=self._options.partial)

    async def _refuse(self, refused: Sequence[tuple[Posting, Settled]]) -> None:
        """Rows that are not sent before a person has looked."""
        now = self._clock()
        results = Results(now)
        attempts = [self._recorder.attempt(row, "refuse", now) for row, _ in refused]
        for (row, settled), attempt in zip(refused, attempts, strict=True):
            self._recorder.settle(results, row, attempt, settled, before=row.state, answer=settled.message)
        await self._recorder.record(results, attempts)
