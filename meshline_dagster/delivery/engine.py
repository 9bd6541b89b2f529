"""Deliver: bring every open posting of a destination to its end, exactly once in effect.

The loop takes the oldest open posting of each entity, in passes. For each one: the intent is durable before the request, the outcome
after it. What is inherited as ``sending`` from a run that died is unknown, and unknowns are looked up before anything is sent again.
"""

import asyncio
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from meshline_dagster.core.errors import StoreUnavailableError, TransientError
from meshline_dagster.core.foreign import kept_cause
from meshline_dagster.core.ledger import PostingState
from meshline_dagster.delivery.backlog import announce_backlog
from meshline_dagster.delivery.behind import tell_what_waits
from meshline_dagster.delivery.billing import check_billing
from meshline_dagster.delivery.committer import GroupCommitter
from meshline_dagster.delivery.gates import IntentGate, check_company, check_gates, plan_number
from meshline_dagster.delivery.holds import Holds
from meshline_dagster.delivery.ledger_group import Work
from meshline_dagster.delivery.masters import check_masters
from meshline_dagster.delivery.options import DeliveryOptions, Mode
from meshline_dagster.delivery.outage import OutageGuard, Signal
from meshline_dagster.delivery.pace import Pace
from meshline_dagster.delivery.recorder import Recorder
from meshline_dagster.delivery.requests import Requests
from meshline_dagster.delivery.reversals import Excess, ReversalGuard
from meshline_dagster.delivery.session import DeliveryReport, Session, utc_now
from meshline_dagster.delivery.shards import ShardLeases
from meshline_dagster.delivery.slots import Slots
from meshline_dagster.delivery.units import Units, Way
from meshline_dagster.erp.deadline import within
from meshline_dagster.erp.protocol import ErpWriter
from meshline_dagster.store.approvals import waiting_count
from meshline_dagster.store.backlogs import backlog_key
from meshline_dagster.store.billing import ripe_entities
from meshline_dagster.store.calendar import remember_calendar
from meshline_dagster.store.engine import Store
from meshline_dagster.store.exceptions import open_keys
from meshline_dagster.store.ledger_writes import Change
from meshline_dagster.store.postings import (
    Posting,
    due_postings,
    next_due,
    open_shards,
    outdated_states,
    refused_states,
)

__all__ = ["DeliveryReport", "deliver"]

_LOOKED_AT = 50_000  # ids of due postings that a pass knows at most
_BILLED_AT_ONCE = 5_000
_WORTH_A_PROCESS = 2_000  # postings in a pass that repay the second of processor time which a process takes to start
_IN_PROGRESS = 3  # units of work per HTTP slot, so that commits never leave a slot idle
_IN_PROGRESS_BESIDE_A_PROCESS = 6  # the same where groups are larger and further apart
_POLL_SECONDS = 0.25
_STORE_PAUSES = (1.0, 2.0, 4.0, 8.0)
_S = PostingState


async def deliver(
    store: Store,
    writer: ErpWriter,
    options: DeliveryOptions,
    *,
    actor: str,
    clock: Callable[[], datetime] = utc_now,
    jitter: Callable[[], float] = random.random,
) -> DeliveryReport:
    """Post what is due, settle what is unknown, and say what is left.

    Args:
        actor: the run that delivers, for leases and audit.
        clock: UTC now. jitter: random numbers in [0, 1). Both are passed in for tests.

    Raises:
        GateError: the writer may not post now; a PausedError when everything is paused.
        AuthError, ConfigError: the ERP refuses us, or the set-up is wrong.
        LeaseLostError: another run took over; what is durable stays, nothing was written under the lost lease.
        StoreUnavailableError: the ops store's database went away; what was on its way is looked up by the next delivery.
    """
    remember_calendar(store, options.destination, options.freezes, actor=actor, now=clock())
    with store.read() as connection:
        check_gates(connection, options, now=clock())
    check_billing(options, writer.capabilities)
    check_masters(options, writer.capabilities.operations)
    session = Session(store, writer, options, actor, clock, jitter, DeliveryReport())
    if options.mode is Mode.SHADOW:
        return session.report
    delivery = _Delivery(session)
    if not delivery.guard.begin():
        delivery.count_left()
        return session.report
    try:
        check_company(options, await _connect(writer))
        await delivery.run()
    except StoreUnavailableError:
        raise
    except TransientError as error:
        delivery.guard.tell([Signal(clock(), message=str(error), for_good=True)])
        delivery.count_left()
    except ExceptionGroup as group:
        raise group.exceptions[0] from group
    finally:
        await writer.aclose()
    return session.report


async def _connect(writer: ErpWriter) -> str:
    """Open the writer and ask for its company. Raises ``TransientError`` also when the answer takes too long, or drips in for ever."""
    try:
        async with within(2 * writer.capabilities.request_timeout):
            await writer.open()
            return await writer.company()
    except TimeoutError as error:
        raise TransientError(f"{writer.name} did not answer in time") from error


@dataclass(frozen=True, slots=True)
class _Seen:
    """The ledger at the beginning of a pass: what is due, when the next thing is, whether another run holds shards with work, what would
    take back too much, the order states that newer ones make needless, and the orders whose day to be invoiced has come.
    """

    now: datetime
    due: Sequence[int]
    later: datetime | None
    elsewhere: bool
    outdated: Sequence[Posting]
    excess: Excess | None
    ripe: Sequence[str]


class _Delivery:
    """One call of ``deliver``."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.store, self.options, self.report, self.clock = (
            session.store,
            session.options,
            session.report,
            session.clock,
        )
        self.capabilities = session.writer.capabilities
        self.leases = ShardLeases(
            session.store,
            session.options.destination,
            shards=session.options.shards,
            holder=session.actor,
            ttl=timedelta(seconds=2 * session.timeout + 10),
            clock=session.clock,
        )
        self.left = sys.maxsize if self.options.at_most is None else self.options.at_most
        self.pace = Pace(session)
        self.guard = OutageGuard(session, self.pace, limit=session.options.failures)
        self.holds = Holds(session, self.guard)
        self.reversals = ReversalGuard(session)

    async def run(self) -> None:
        """Work until nothing is due any more or patience ends."""
        deadline = self.clock() + timedelta(seconds=self.options.patience)
        async with GroupCommitter(
            self.store,
            held=lambda: self.leases.held,
            tell=self.guard.apply,
            actor=self.session.actor,
            clock=self.clock,
        ) as committer:
            recorder = Recorder(self.session, committer, self.leases)
            requests = Requests(self.session, recorder, self.leases, guard=self.guard, holds=self.holds, pace=self.pace)
            keeper = asyncio.create_task(self.leases.keep())
            try:
                while not self.report.outage and await self._pass_or_wait(requests, recorder, committer, deadline):
                    if keeper.done():
                        keeper.result()
            finally:
                keeper.cancel()
                await asyncio.gather(keeper, return_exceptions=True)
                await self._give_back()
                self.report.commits = committer.commits
        self.count_left()

    async def _give_back(self) -> None:
        """Release the leases, also when the ops store is away for a moment: whoever delivers next need not wait until they run out."""
        for pause in _STORE_PAUSES:
            try:
                await asyncio.to_thread(self.leases.release)
            except StoreUnavailableError:
                await asyncio.sleep(pause)
            else:
                return

    def count_left(self) -> None:
        """Say what is left, what waits behind dead postings, and whether the destination is given up."""
        tell_what_waits(self.store, self.options.destination)
        with self.store.read() as connection:
            self.holds.read_all(connection)
            shards = list(range(self.options.shards))
            left = due_postings(
                connection,
                self.options.destination,
                shards,
                now=datetime.max.replace(tzinfo=UTC),
                limit=_LOOKED_AT,
                held=self.holds.condition,
            )
            self.report.unapproved = waiting_count(connection, self.options.destination)
        self.report.waiting = len(left)
        self.report.backlog = 0 if self.holds.backlog is None else self.holds.backlog.count
        self.report.outage = self.guard.is_open

    async def _pass_or_wait(
        self, requests: Requests, recorder: Recorder, committer: GroupCommitter, deadline: datetime
    ) -> bool:
        """Do one pass, or wait for the next thing that is due. False when there is nothing to wait for."""
        if self.left <= 0:
            return False
        shards = await asyncio.to_thread(self.leases.take)
        seen = self._look(shards, recorder)
        await self._mind_backlog(recorder, seen.now)
        if seen.excess is not None:
            await asyncio.to_thread(self.reversals.hold, seen.excess)
            return True
        if seen.outdated or seen.ripe:
            await (recorder.coalesce(seen.outdated) if seen.outdated else recorder.bill(seen.ripe))
            return seen.now < deadline
        if seen.due:
            before = committer.commits
            if len(seen.due) >= _WORTH_A_PROCESS:
                committer.hire()
            await self._work_off(requests, committer, seen.due)
            if committer.commits == before:  # leases are too short for a request, or the ERP is given up: never spin
                await asyncio.sleep(_POLL_SECONDS)
                return seen.now < deadline and not self.guard.is_open
            return not self.guard.is_open
        if self.guard.is_probing and not self.pace.is_delayed:  # nothing to send: that it told its company has to do
            self.guard.tell(self.guard.reached(seen.now))
        return await self._wait(seen, deadline)

    def _look(self, shards: Sequence[int], recorder: Recorder) -> _Seen:
        """What there is to do now, and what delivery has to know to do it."""
        now, to = self.clock(), self.options.destination
        with self.store.read() as connection:
            check_gates(connection, self.options, now=now)
            recorder.gate = IntentGate(self.options, plan_number(connection, self.options))
            self.holds.read_all(connection)
            held = self.holds.condition
            due = due_postings(connection, to, shards, now=now, limit=min(_LOOKED_AT, self.left), held=held)
            later = next_due(connection, to, shards, now=now, held=held)
            elsewhere = open_shards(connection, to) - set(shards)
            outdated = outdated_states(connection, to, shards, held=held) if self.options.coalesce else []
            billing = self.options.billing
            ripe = (
                ripe_entities(connection, to, shards, today=billing.day(now), limit=_BILLED_AT_ONCE) if billing else []
            )
            recorder.open_exceptions |= open_keys(connection, "delivery")
            recorder.refused = refused_states(connection, to)
            excess = self.reversals.check(connection)
        if self.pace.is_delayed:
            due, later = [], self.pace.not_before
        return _Seen(now, due, later, bool(elsewhere), outdated, excess, ripe)

    async def _mind_backlog(self, recorder: Recorder, now: datetime) -> None:
        key = backlog_key(self.options.destination)
        if self.holds.backlog is not None or key in recorder.open_exceptions:
            recorder.open_exceptions.discard(key)
            await asyncio.to_thread(announce_backlog, self.store, self.options, self.holds.backlog, now=now)

    async def _wait(self, seen: _Seen, deadline: datetime) -> bool:
        """Sleep until something may be due. False when nothing will be before patience ends."""
        later = seen.later
        if later is None and not seen.elsewhere:
            return False
        if seen.now >= deadline or (later is not None and later > deadline and not seen.elsewhere):
            return False
        pause = _POLL_SECONDS if seen.elsewhere or later is None else (later - seen.now).total_seconds()
        await asyncio.sleep(min(max(pause, 0.01), 5.0))
        return True

    async def _work_off(self, requests: Requests, committer: GroupCommitter, due: Sequence[int]) -> None:
        """One pass: masters before orders, entities in parallel, a bounded number of requests in flight."""
        if self.guard.is_probing:
            due = [due[int(self.session.jitter() * len(due))]]
        units = Units(self.session, due)

        async def worker() -> None:
            while not (self.guard.is_open or requests.refused) and (unit := units.take()):
                match unit.way:
                    case Way.INHERIT:
                        await self._inherit(unit.rows, committer)
                    case Way.LOOK_UP:
                        await requests.look_up(unit.rows, unit.before)
                    case Way.SEND:
                        await requests.send(unit.rows, unit.before)

        per_slot = _IN_PROGRESS if len(due) < _WORTH_A_PROCESS else _IN_PROGRESS_BESIDE_A_PROCESS
        workers = min(len(due), self.capabilities.max_in_flight * per_slot)
        async with asyncio.TaskGroup() as group:
            requests.slots, requests.refused = Slots(group, self.capabilities.max_in_flight), False
            for _ in range(workers):
                group.create_task(worker())
        self.left -= units.given

    async def _inherit(self, rows: Sequence[Posting], committer: GroupCommitter) -> None:
        """What another run left as ``sending`` is unknown: it died, or lost its lease, between request and outcome."""
        now = self.clock()  # its requests were started before now: from now on the ERP has settle_after to act on them
        token = self.leases.token
        changes = [
            Change.of(row, _S.UNKNOWN, token(row.shard), cause=kept_cause(row.cause, "inherited"), sent_at=now)
            for row in rows
        ]
        await committer.commit(Work(changes=changes))
