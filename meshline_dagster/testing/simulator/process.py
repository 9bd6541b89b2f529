"""One simulated process of ours: it runs, is paused, or is dead, and can be struck at every point that it passes.

Points are the places where a process can be interrupted with consequences: each suspension at an ``await`` and each side of a commit.
They are recognised from outside; the product has no hooks for this.
"""

import asyncio
import warnings
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Any, Protocol

from meshline_dagster.testing.simulator.points import points_of_chain, points_of_stack

__all__ = ["PROCESS", "Interruption", "Killed", "Process", "State", "Traced"]

_CLOSINGS = 10


class Killed(BaseException):
    """The process is dead. Whoever meets this inside a dead process must not do anything any more."""


class State(StrEnum):
    """Whether a process runs."""

    RUNNING = "running"
    PAUSED = "paused"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Interruption:
    """What happens to a process, and where.

    Attributes:
        name: the point by name; None: by number.
        number: the how-manieth time: of that point, or of any point.
        then: what happens to it once it goes on.
        pause: seconds that the process stands still, as under SIGSTOP; None: it is killed, as under SIGKILL.
    """

    name: str | None
    number: int
    pause: float | None = None
    then: "Interruption | None" = None

    def __str__(self) -> str:
        what = "killed" if self.pause is None else f"paused for {self.pause:.1f} s"
        where = "any point" if self.name is None else f"<{self.name}>"
        return f"{what} at {where}, time {self.number}" + ("" if self.then is None else f", then {self.then}")


class _Closable(Protocol):
    def close(self) -> None: ...


class _Loop(Protocol):
    def outside_later(self, delay: float, callback: Callable[..., object], *args: Any) -> asyncio.TimerHandle: ...

    def requeue(self, handles: list[asyncio.Handle]) -> None: ...


class Process:
    """A process by its name.

    Args:
        tell: told what happens to it, for the trace.

    Attributes:
        has_paused: it has stood still, whatever came after that.
        struck: the points at which it was interrupted; reached: all that it has come to.
        transaction: the connection with its open transaction, which its death rolls back.
        for_child: what happens to its child instead; None: nothing drawn for this one.
        at_death: called when it is killed: its pipes close.
        tasks: all of its tasks; kept until it is buried, so that no garbage collection runs their ``finally`` blocks in between.
    """

    def __init__(self, name: str, loop: _Loop, interruption: Interruption | None, tell: Callable[[str], None]) -> None:
        self.name = name
        self.state = State.RUNNING
        self.tasks: list[asyncio.Task[Any]] = []
        self.struck: tuple[str, ...] = ()
        self.has_paused = False
        self.reached: set[str] = set()
        self.transaction: _Closable | None = None
        self.on_end: Callable[[], object] = lambda: None
        self.for_child: Interruption | None = None
        self.at_death: list[Callable[[], object]] = []
        self._loop = loop
        self._interruption = interruption
        self._tell = tell
        self._passed = 0
        self._parked: list[asyncio.Handle] = []
        self._pause_next = False

    def check(self) -> None:
        """Raise ``Killed`` when the process is dead."""
        if self.state is State.DEAD:
            raise Killed

    def admits(self, handle: asyncio.Handle) -> bool:
        """Tell whether the handle may run now; a paused process keeps it for later."""
        if self.state is State.PAUSED:
            self._parked.append(handle)
        return self.state is State.RUNNING

    def suspended(self, coroutine: Any) -> None:
        """A task of ours waits: the moment for an interruption at an ``await``."""
        if self.state is not State.RUNNING:
            return
        points = points_of_chain(coroutine)
        self.reached.update(points)
        if self._pause_next:
            self._pause(points)
        elif points and self._is_struck(points):
            self._strike(points)

    def passes(self, *points: str) -> None:
        """The process is at one side of a commit. Raises ``Killed`` when it dies here."""
        self.check()
        self.reached.update(points)
        if points and self._is_struck(points):
            if self._interruption is not None and self._interruption.pause is not None:
                self._pause_next, self.struck = (
                    True,
                    points,
                )  # what holds a transaction cannot stand still: at the next await
                return
            self._strike(points)
            raise Killed

    def runs_through(self) -> None:
        """A task of ours could wait at an ``await``, but holds a transaction. Raises ``Killed`` when it dies here."""
        self.passes(*points_of_stack())

    def bury(self) -> None:
        """Throw away what is left of it. Its ``finally`` blocks run now, and find store and ERP closed to them."""
        self.state = State.DEAD
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # what a dead process begins to wait for, nobody awaits
            self._close_tasks()
        self.tasks.clear()

    def _close_tasks(self) -> None:
        for task in self.tasks:
            task._log_destroy_pending = False  # type: ignore[attr-defined] # noqa: SLF001 - asyncio would complain of what is meant
            if task.done():
                continue
            for coroutine in reversed(
                list(_chain(task.get_coro()))
            ):  # the innermost first: each may wait in its ``finally``
                _close(coroutine)

    def kill(self, where: str) -> None:
        """It is dead from now on: by what was drawn for it, or by somebody else's SIGKILL."""
        if self.state is State.DEAD:
            return
        self.state = State.DEAD
        self._parked.clear()
        if self.transaction is not None:
            self.transaction.close()
            self.transaction = None
        self._tell(f"{self.name} is killed at {where}")
        for call in self.at_death:
            call()
        self.on_end()

    def _is_struck(self, points: tuple[str, ...]) -> bool:
        wanted = self._interruption
        if wanted is None or self.struck or (wanted.name is not None and wanted.name not in points):
            return False
        self._passed += 1
        return self._passed == wanted.number

    def _strike(self, points: tuple[str, ...]) -> None:
        assert self._interruption is not None
        if self._interruption.pause is not None:
            self._pause(points)
            return
        self.struck = points
        self.kill(points[-1])

    def _pause(self, points: tuple[str, ...]) -> None:
        assert self._interruption is not None
        assert self._interruption.pause is not None
        where = (self.struck or points or ("an await of the writer",))[-1]
        self.struck, self.state, self._pause_next = self.struck or points, State.PAUSED, False
        self._tell(f"{self.name} is paused for {self._interruption.pause:.1f} s at {where}")
        self.has_paused = True
        self._loop.outside_later(self._interruption.pause, self._resume)

    def _resume(self) -> None:
        if self.state is State.PAUSED:
            self.state = State.RUNNING
            if self._interruption is not None and self._interruption.then is not None:
                self._interruption, self._passed, self.struck = self._interruption.then, 0, ()
            self._tell(f"{self.name} goes on")
            self._loop.requeue(self._parked)
            self._parked = []


def _chain(coroutine: Any) -> Iterator[Any]:
    """A coroutine and those that it waits for."""
    while hasattr(coroutine, "close"):
        yield coroutine
        coroutine = getattr(coroutine, "cr_await", None)


def _close(coroutine: Any) -> None:
    for _ in range(_CLOSINGS):
        try:
            coroutine.close()
        except BaseException:  # noqa: BLE001, S112 - whatever a dead process says
            continue
        return


PROCESS: ContextVar[Process | None] = ContextVar("meshline_simulated_process", default=None)
"""The process that the current context belongs to; None outside of all processes."""


class Traced(Coroutine[Any, Any, Any]):
    """A coroutine whose suspensions are told to its process."""

    __slots__ = ("_coroutine",)

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._coroutine = coroutine

    def send(self, value: Any) -> Any:
        """One step."""
        waits_for = self._coroutine.send(value)
        self._suspended()
        return waits_for

    def throw(  # type: ignore[override] # one form for both of the typeshed's overloads
        self, kind: Any, value: BaseException | None = None, traceback: TracebackType | None = None, /
    ) -> Any:
        """One step that begins with an exception."""
        del traceback
        waits_for = self._coroutine.throw(kind if value is None else value)
        self._suspended()
        return waits_for

    def close(self) -> None:
        """End it."""
        self._coroutine.close()

    @property
    def cr_await(self) -> Any:
        """What it waits for: that which runs inside."""
        return self._coroutine

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._coroutine.__await__()

    def _suspended(self) -> None:
        process = PROCESS.get()
        if process is not None:
            process.suspended(self._coroutine)
