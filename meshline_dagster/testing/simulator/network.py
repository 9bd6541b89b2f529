"""The way between us and the ERP: it delays, loses, repeats and cuts off, as the fault plan says.

What has left us is out of our hands: it reaches the ERP although its sender dies, pauses or stops waiting.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from meshline_dagster.testing.simulator.faults import FaultKind, FaultPlan
from meshline_dagster.testing.simulator.loop import VirtualLoop
from meshline_dagster.testing.simulator.server import Profile, Reply, Request, SimulatedErp, Status

__all__ = ["Failure", "Network", "Timing", "too_late"]

_F = FaultKind
_RESET_SECONDS = 0.02
_LATEST = 4.0


@dataclass(frozen=True, slots=True)
class Timing:
    """How long things take, in seconds.

    Attributes:
        latency: one way, typically.
        settle_after: within this time after a request left, the ERP acts on it or never, unless it breaks its promise.
        timeout: after which we stop waiting.
    """

    latency: float
    settle_after: float
    timeout: float


def too_late(timing: Timing, times: float = _LATEST) -> float:
    """Seconds after which an ERP acts that breaks its promise, by so many times its ``settle_after``; at most, where nothing is said."""
    return timing.settle_after * times + 2 * timing.timeout


@dataclass(frozen=True, slots=True)
class Failure:
    """What we see instead of an answer.

    Attributes:
        sent: the request may have reached the ERP.
        retry_after: seconds, when the ERP named them.
    """

    message: str
    sent: bool
    retry_after: float | None = None


_Answer = Reply | Failure


class Network:
    """Carries the requests of one schedule.

    Attributes:
        erp: at its other end.
        struck: how many requests each fault has struck.
        failed: how many requests about one external id were struck.
        belongs: the order of each accounting document that was ever asked for, both by external id.
        answered: when we were told that the ERP had done what an event asks for, by event.
        waits: ``(from, to)``: a sender was told to wait.
    """

    def __init__(
        self,
        loop: VirtualLoop,
        erp: SimulatedErp,
        faults: FaultPlan,
        timing: Timing,
        *,
        rng: random.Random,
        tell: Callable[[str], None],
    ) -> None:
        self._loop, self.erp, self._faults, self._timing, self._rng, self._tell = loop, erp, faults, timing, rng, tell
        self.struck: Counter[FaultKind] = Counter()
        self.failed: Counter[str] = Counter()
        self.waits: list[tuple[float, float]] = []
        self.belongs: dict[str, str] = {}
        self.answered: dict[str, float] = {}

    def send(self, request: Request) -> asyncio.Future[_Answer]:
        """Take a request over. The future may never be done: an answer may never come."""
        future: asyncio.Future[_Answer] = self._loop.create_future()
        reading = request.is_reading
        fault = self._faults.strike(self._rng, self._loop.time(), reading=reading)
        if fault is _F.COPIED and not self._may_copy(request):
            fault = None
        what = f"{request.process} -> {request.action} {' '.join(request.external_ids)} {request.event_id[:8]}"
        self._tell(what if fault is None else f"{what} [{fault.value}]")
        if fault is not None:
            self.struck[fault] += 1
            self.failed.update(request.external_ids)
        self._carry(request, fault, future)
        return future

    def _may_copy(self, request: Request) -> bool:
        """A second copy of a creation makes a second document in an ERP without protection, whatever its client does."""
        return self.erp.profile is not Profile.LOOKUP_ONLY or request.action in {"replace", "confirm", "reverse"}

    def _carry(self, request: Request, fault: FaultKind | None, future: asyncio.Future[_Answer]) -> None:
        out, back = self._latency(), self._latency()
        match fault:  # a time-out with nothing done: nothing happens
            case None:
                self._deliver(request, out, back, future)
            case _F.RESET_BEFORE | _F.RESET_LOST | _F.BUSY | _F.BUSY_UNTIL | _F.ERROR_BEFORE:
                self._turn_away(request, fault, out, back, future)
            case _F.RESET_AFTER | _F.MID_BODY | _F.ERROR_AFTER:
                self._deliver(request, out, back, None)
                self._fail(future, out + back * self._rng.uniform(0.1, 2.0), Failure(fault.value, sent=True))
            case _F.TIMEOUT_DONE:
                self._deliver(request, out, back, None)
            case _F.LATE_COMMIT | _F.TOO_LATE:
                self._carry_late(request, fault, future)
            case _F.COPIED:
                self._deliver(request, out, back, future)
                self._deliver(replace(request, copy=True), self._copy_delay(out, back), back, None)
            case _F.SLOW:
                out = min(self._rng.uniform(0, self._timing.timeout), self._bound)
                self._deliver(request, out, self._rng.uniform(0, self._timing.timeout), future)

    def _turn_away(
        self, request: Request, fault: FaultKind, out: float, back: float, future: asyncio.Future[_Answer]
    ) -> None:
        """The ERP does nothing."""
        if fault is _F.RESET_BEFORE:
            self._fail(future, _RESET_SECONDS, Failure(fault.value, sent=False))
        elif fault in {_F.BUSY, _F.BUSY_UNTIL}:
            wait = self._rng.uniform(0.5, 10.0) if fault is _F.BUSY_UNTIL else None
            self._fail(future, out + back, Failure(fault.value, sent=False, retry_after=wait))
            if wait is not None and request.action in {
                "create",
                "draft",
                "replace",
                "reverse",
            }:  # else the writer keeps it to itself
                future.add_done_callback(partial(self._note_wait, wait), context=self._loop.outside)
        else:
            self._fail(future, out if fault is _F.RESET_LOST else out + back, Failure(fault.value, sent=True))

    def _note_wait(self, wait: float, future: asyncio.Future[_Answer]) -> None:
        if not future.cancelled():
            self.waits.append((self._loop.time(), self._loop.time() + wait))

    def _carry_late(self, request: Request, fault: FaultKind, future: asyncio.Future[_Answer]) -> None:
        """The ERP acts when nobody waits for it any more; we see a reset soon, or nothing at all."""
        if fault is _F.LATE_COMMIT:
            self._deliver(request, self._rng.uniform(0.0, self._bound), 0.0, None)
        else:
            delay = too_late(self._timing, self._rng.uniform(1.2, _LATEST))
            self._deliver(replace(request, late=True), delay, 0.0, None)
        if self._rng.random() < 0.5:  # noqa: PLR2004 - as often as not
            self._fail(future, _RESET_SECONDS, Failure(fault.value, sent=True))

    def _copy_delay(self, out: float, back: float) -> float:
        """An ERP that knows our keys may get the copy at any time; elsewhere it follows on the heels of the first."""
        if self.erp.profile is Profile.IDEMPOTENT:
            return out + self._rng.uniform(0.0, 60.0)
        return out + back * self._rng.random()

    @property
    def _bound(self) -> float:
        return 0.98 * self._timing.settle_after

    def _latency(self) -> float:
        return self._timing.latency * self._rng.uniform(0.3, 2.0)

    def _deliver(self, request: Request, out: float, back: float, future: asyncio.Future[_Answer] | None) -> None:
        self._loop.outside_later(out, self._arrive, request, back, future)

    def _arrive(self, request: Request, back: float, future: asyncio.Future[_Answer] | None) -> None:
        reply = self.erp.handle(request, self._loop.time())
        if not request.is_reading:
            lost = "" if future is not None else " (nobody will hear of it)"
            self._tell(
                f"erp: {request.action} {request.external_ids[0]} {request.event_id[:8]}: {reply.status.value}{lost}"
            )
        if future is not None:
            self._loop.outside_later(back, self._answer, request, future, reply)

    def _answer(self, request: Request, future: asyncio.Future[_Answer], reply: Reply) -> None:
        done = {Status.CREATED, Status.UPDATED, Status.UNCHANGED}
        if request.action in {"create", "confirm"} and reply.status in done and not future.done():
            self.answered.setdefault(request.event_id, self._loop.time())
        _settle(future, reply)

    def _fail(self, future: asyncio.Future[_Answer], delay: float, failure: Failure) -> None:
        self._loop.outside_later(delay, _settle, future, failure)


def _settle(future: asyncio.Future[_Answer], answer: _Answer) -> None:
    if not future.done():
        future.set_result(answer)
