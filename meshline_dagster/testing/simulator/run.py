"""Runs one schedule: the real ``plan`` and ``deliver`` against the simulated ERP, then asks the oracle."""

import asyncio
import random
from collections import Counter
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from unittest.mock import patch

from meshline_dagster.core.documents import DocumentKind
from meshline_dagster.core.errors import GateError, LeaseLostError, MeshlineError, StoreUnavailableError
from meshline_dagster.delivery import engine
from meshline_dagster.delivery.options import DeliveryOptions, Mode
from meshline_dagster.delivery.plan import plan
from meshline_dagster.delivery.session import DeliveryReport
from meshline_dagster.testing.oracle import Violation, check_liveness, check_safety
from meshline_dagster.testing.simulator.child import Child
from meshline_dagster.testing.simulator.clerks import edit_at
from meshline_dagster.testing.simulator.deliveries import ship_at
from meshline_dagster.testing.simulator.faults import FaultKind
from meshline_dagster.testing.simulator.loop import VirtualLoop
from meshline_dagster.testing.simulator.network import Network
from meshline_dagster.testing.simulator.operators import Operators
from meshline_dagster.testing.simulator.ops_store import Absence, ProcessStore, fresh_store
from meshline_dagster.testing.simulator.process import PROCESS, Interruption, Killed, Process, State
from meshline_dagster.testing.simulator.schedule import Run, Schedule
from meshline_dagster.testing.simulator.server import SimulatedErp
from meshline_dagster.testing.simulator.settings import DESTINATION, options_of
from meshline_dagster.testing.simulator.truth import truth_of
from meshline_dagster.testing.simulator.world import Publication
from meshline_dagster.testing.simulator.writer import SimulatedWriter

__all__ = ["Outcome", "run_schedule"]

_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)  # where nothing is invoiced: there the day matters
_PLAN_AGAIN_SECONDS = 0.5
_MOST_RUNS = 4  # of one chain, while faults last
_SETTLING_RUNS = 15
_SETTLING_PATIENCE = 200.0
_LEASES_HAVE_ENDED = 30.0
_NEVER = 1_000_000  # postings in one pass
_CHILDS_POINT = "commit of ledger_process._write"
_EXPECTED = (GateError, LeaseLostError)


@dataclass(slots=True)
class Outcome:
    """What became of a schedule.

    Attributes:
        violations: what the oracle found, and errors that no run may end with.
        trace: what happened, in virtual seconds.
        struck: requests struck, by fault.
        reached: the points that each process has come to, by its name.
        crashed: the points at which processes were killed; paused: at which they stood still.
        documents: what the ERP holds in the end, by kind.
        seconds: virtual ones.
    """

    schedule: Schedule
    violations: list[Violation] = field(default_factory=list)
    trace: list[tuple[float, str]] = field(default_factory=list)
    struck: Counter[FaultKind] = field(default_factory=Counter)
    reached: dict[str, set[str]] = field(default_factory=dict)
    crashed: Counter[str] = field(default_factory=Counter)
    paused: Counter[str] = field(default_factory=Counter)
    kills: int = 0
    pauses: int = 0
    exceptions: Counter[str] = field(default_factory=Counter)
    effects: int = 0
    documents: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def failures(self) -> list[Violation]:
        """The violations that delivery could have prevented."""
        return [one for one in self.violations if not one.beyond]


def run_schedule(schedule: Schedule) -> Outcome:
    """Tell the story of a schedule and judge it."""
    simulation = _Simulation(schedule)
    simulation.tell_story()
    return simulation.outcome


class _Simulation:
    """One schedule while it runs."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.outcome = Outcome(schedule)
        self.rng = random.Random(f"run/{schedule.profile.value}/{schedule.seed}")  # noqa: S311 - repeatable, not secret
        self.loop = VirtualLoop(lambda: schedule.commit_seconds * self.rng.random())
        self.store = fresh_store()
        billing = schedule.billing
        self.epoch = _EPOCH if billing is None else billing.epoch
        masters = schedule.masters
        self.erp = SimulatedErp(
            schedule.profile,
            None if billing is None else billing.closing,
            keeps_items=masters is not None and masters.items,
        )
        self.erp.have(DocumentKind.ITEM, () if masters is None else masters.there)
        if schedule.matches_only:
            self.erp.have(DocumentKind.CUSTOMER, schedule.world.customers)
        self.network = Network(self.loop, self.erp, schedule.faults, schedule.timing, rng=self.rng, tell=self.tell)
        self.processes: list[Process] = []
        self.children: list[Child] = []
        self.absence = Absence(schedule.absences, self.loop.time)
        self.shadows: set[str] = set()
        self.last_delivery = 0.0
        self.operators = Operators(
            *(self.store, self.erp, schedule, DESTINATION),
            time=self.loop.time,
            clock=self._now,
            tell=self.tell,
            later=self.loop.outside_later,
        )
        self.loop.spawn = self._spawn

    def tell(self, text: str) -> None:
        """Note what happens now."""
        self.outcome.trace.append((self.loop.time(), text))

    def tell_story(self) -> None:
        """Run the story, bury the dead, ask the oracle."""
        try:
            with patch.object(engine, "_WORTH_A_PROCESS", self._postings_that_hire()):
                self.loop.run(self._story())
            self._judge()
        except Exception as error:  # noqa: BLE001 - a failing seed must print itself, whatever failed
            self._fail("simulation", f"{type(error).__name__}: {error}")
        finally:
            for process in self.processes:
                self.outcome.reached[process.name] = process.reached
                process.bury()
            self.loop.close()
        outcome, documents = self.outcome, self.erp.records.documents
        outcome.seconds, outcome.struck = self.loop.time(), self.network.struck
        outcome.effects = len(self.erp.records.effects)
        outcome.documents = Counter(held.kind.value for held in documents if not held.draft)

    async def _story(self) -> None:
        schedule = self.schedule
        async with asyncio.TaskGroup() as group:
            group.create_task(self._publish())
            for number, run in enumerate(schedule.runs, start=1):
                group.create_task(self._chain(number, run))
            for work in (
                *self.operators.work(),
                *(edit_at(edit, self.erp, self.tell) for edit in self.schedule.edits),
                *(ship_at(one, self.erp, self.tell) for one in self.schedule.shipments),
            ):
                group.create_task(work)
        await asyncio.sleep(max(0.0, schedule.until - self.loop.time()) + _LEASES_HAVE_ENDED)
        await self._settle("settle")
        for number, run in enumerate(schedule.later_runs, start=1):
            await asyncio.sleep(max(0.0, run.at - self.loop.time()))
            await self._deliver(f"later-{number}", run.patience, run.interruption)
            await asyncio.sleep(run.again)
            await self._deliver(f"later-{number}.2", run.patience, None)
        last = schedule.quiet_from(self.loop.time())
        if last is not None:
            await asyncio.sleep(last - self.loop.time())
            await self._settle("last")
        self._read_back()

    async def _settle(self, name: str) -> None:
        """No faults any more: run until nothing is left to do."""
        for number in range(1, _SETTLING_RUNS + 1):
            work = self._plan(self.schedule.world.publications[-1], Mode.LIVE)
            await self._process(f"plan-{name}-{number}", work, None)
            self._read_back()
            self.operators.let_everything_go()
            report = await self._deliver(f"{name}-{number}", _SETTLING_PATIENCE, None)
            if report is not None and _is_idle(report):
                break
            await asyncio.sleep(_SETTLING_PATIENCE / 4)

    def _read_back(self) -> None:
        mode = Mode.SHADOW if self.loop.time() < self.schedule.live_from else Mode.LIVE
        options = self._options(mode, 0.0)
        self.operators.read_back(self.erp.records, options)
        self.operators.read_deliveries(self.erp.records, options, self._erp_epoch)

    async def _publish(self) -> None:
        """Plan each outbox in turn; a planner that dies is started again, as a failed run would be."""
        for number, publication in enumerate(self.schedule.world.publications[:-1], start=1):
            await asyncio.sleep(max(0.0, publication.at - self.loop.time()))
            interruption = self.schedule.plan_interruptions[number - 1]
            while True:
                mode = Mode.SHADOW if self.loop.time() < self.schedule.live_from else Mode.LIVE
                process = await self._process(f"plan-{number}", self._plan(publication, mode), interruption)
                if process.state is not State.DEAD:
                    break
                interruption = None
                await asyncio.sleep(_PLAN_AGAIN_SECONDS)

    def _plan(self, publication: Publication, mode: Mode) -> Coroutine[Any, Any, None]:
        async def work() -> None:
            process = PROCESS.get()
            assert process is not None
            plan(
                ProcessStore(self.store.engine, process),
                publication.rows,
                touched=publication.touched,
                options=self._options(mode, 0.0),
                build_id=None,
                actor=process.name,
                now=self._now(),
            )

        return work()

    async def _chain(self, number: int, run: Run) -> None:
        """A run, and after its end or death the next one, until the faults end."""
        await asyncio.sleep(run.at)
        interruption = run.interruption
        for turn in range(1, _MOST_RUNS + 1):
            await self._deliver(f"run-{number}.{turn}", run.patience, interruption)
            interruption = None
            self._read_back()
            await asyncio.sleep(run.again)
            if self.loop.time() >= self.schedule.until:
                return

    async def _deliver(self, name: str, patience: float, interruption: Interruption | None) -> DeliveryReport | None:
        self.last_delivery = self.loop.time()
        mode = Mode.SHADOW if self.loop.time() < self.schedule.live_from else Mode.LIVE
        if mode is Mode.SHADOW:
            self.shadows.add(name)
        reports: list[DeliveryReport] = []

        async def work() -> None:
            process = PROCESS.get()
            assert process is not None
            as_network = self.schedule.as_network
            store = ProcessStore(self.store.engine, process, as_network=as_network, absence=self.absence)
            options = self._options(mode, patience)
            try:
                report = await engine.deliver(
                    store, self._writer(process), options, actor=name, clock=self._now, jitter=self.rng.random
                )
            except MeshlineError as error:
                if not isinstance(error, self._expected()) and not self._has_lost_a_child(process):
                    raise
                self.tell(f"{name} stops: {error}")
                return
            reports.append(report)
            self.tell(
                f"{name} ends: {report.outcomes or 'nothing to do'}, {report.waiting} wait{', outage' * report.outage}"
            )

        await self._process(name, work(), interruption)
        return reports[0] if reports else None

    async def _process(self, name: str, work: Coroutine[Any, Any, None], interruption: Interruption | None) -> Process:
        """Run some work as a process of its own; returns when it has ended or was killed."""
        process = Process(name, self.loop, interruption, self.tell)
        if interruption is not None and _CHILDS_POINT in (interruption.name or ""):
            process.for_child = interruption
        self.processes.append(process)
        ended = self.loop.create_future()
        process.on_end = lambda: self.loop.outside_later(0, _set, ended)
        self.tell(f"{name} starts")

        async def life() -> None:
            try:
                await work
            except Killed:
                return
            except Exception as error:  # noqa: BLE001 - whatever it is, no run may end with it
                self._fail("error", f"{name} ended with {type(error).__name__}: {error}")
            process.on_end()

        context = self.loop.outside.copy()
        context.run(PROCESS.set, process)
        self.loop.create_task(life(), context=context)
        await ended
        self._count(process)
        return process

    def _count(self, process: Process) -> None:
        if process.state is State.DEAD:
            self.outcome.kills += 1
            self.outcome.crashed.update(process.struck)
        elif process.struck or process.has_paused:
            self.outcome.pauses += 1
            self.outcome.paused.update(process.struck)

    def _postings_that_hire(self) -> int:
        hiring = self.schedule.operations.hiring
        return _NEVER if hiring is None else hiring.postings

    async def _spawn(self, protocol: Any) -> Child:
        """Start the current process's child."""
        hiring, parent = self.schedule.operations.hiring, PROCESS.get()
        assert hiring is not None
        assert parent is not None
        await asyncio.sleep(hiring.start)
        if self.loop.time() >= self.schedule.until:
            hiring = replace(hiring, interruption=None)
        child = Child(
            parent,
            protocol,
            hiring,
            loop=self.loop,
            waiting=partial(self._step, hiring.step),
            tell=self.tell,
        )
        self.children.append(child)
        self.processes.append(child.process)
        self.tell(f"{child.process.name} starts")
        return child

    def _step(self, most: float) -> float:
        return most * self.rng.random()

    def _expected(self) -> tuple[type[MeshlineError], ...]:
        return (*_EXPECTED, StoreUnavailableError) if self.absence.noticed else _EXPECTED

    def _has_lost_a_child(self, process: Process) -> bool:
        return any(child.was_struck and child.parent is process for child in self.children)

    def _writer(self, process: Process) -> SimulatedWriter:
        schedule = self.schedule
        return SimulatedWriter(
            process,
            self.network,
            schedule.profile,
            schedule.timing,
            epoch=self._erp_epoch,
            two_steps=schedule.two_steps,
            slots=schedule.slots,
        )

    @property
    def _erp_epoch(self) -> datetime:
        return self.epoch + timedelta(seconds=self.schedule.skew)

    def _options(self, mode: Mode, patience: float) -> DeliveryOptions:
        return options_of(self.schedule, mode, patience=patience, now=self.loop.time(), instant=self._instant)

    def _now(self) -> datetime:
        return self._instant(self.loop.time())

    def _instant(self, seconds: float) -> datetime:
        return self.epoch + timedelta(seconds=seconds)

    def _judge(self) -> None:
        for child in self.children:
            if child.process.struck:
                self._count(child.process)
        records = self.erp.records
        disturbed = self.outcome.kills + self.outcome.pauses + self.absence.noticed
        truth = truth_of(self.schedule, self.network, self.operators, shadows=self.shadows, disturbed=disturbed)
        for error in self.loop.errors:
            self._fail("error", f"a callback raised {type(error).__name__}: {error}")
        queue, prepared = self.operators.left()
        codes: dict[str, set[str]] = {}
        for item in queue:
            codes.setdefault(item.entity_key or "", set()).add(item.code)
        self.outcome.exceptions.update(item.code for item in queue)
        self.outcome.violations += check_safety(records, truth)
        self.outcome.violations += check_liveness(records, truth, codes, ended=self.last_delivery, prepared=prepared)

    def _fail(self, check: str, message: str) -> None:
        self.outcome.violations.append(Violation(check, "", message))


def _is_idle(report: DeliveryReport) -> bool:
    waits = report.outage or report.waiting or report.backlog  # what was planned after the last release
    return not waits and not report.requests and not report.lookups


def _set(future: asyncio.Future[None]) -> None:
    with suppress(asyncio.InvalidStateError):
        future.set_result(None)
