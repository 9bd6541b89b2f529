"""An asyncio event loop on a virtual clock: waiting costs nothing, and the same schedule runs the same way each time.

When nothing is ready, the clock jumps to the next timer. Callbacks run in the order in which they were registered, as asyncio
promises; what varies between schedules are the delays that the schedule draws from its seed.
"""

import asyncio
import heapq
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextvars import Context
from typing import Any

from meshline_dagster.testing.simulator.process import PROCESS, Killed, Traced

__all__ = ["StuckError", "VirtualLoop"]


class StuckError(RuntimeError):
    """Everybody waits and nothing will ever wake anybody: a deadlock in the code under test or in the schedule."""


class _Deferred(asyncio.Future[Any]):
    """A call that its caller makes once he has waited; a process with an open transaction does not wait, so that none is ever open
    while somebody else runs.
    """

    def __init__(self, loop: "VirtualLoop", call: Callable[[], Any]) -> None:
        super().__init__(loop=loop)
        self._call = call
        process = PROCESS.get()
        self._at_once = process is not None and process.transaction is not None
        if not self._at_once:
            loop.call_later(loop.waiting(), self._come)

    def __await__(self) -> Generator[Any, None, Any]:
        process = PROCESS.get()
        if self._at_once:
            if process is not None:
                process.runs_through()
        else:
            yield from super().__await__()
        if process is not None:
            process.check()
        return self._call()

    def _come(self) -> None:
        if not self.done():
            self.set_result(None)


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs the processes of one schedule.

    A handle belongs to the process in whose context it was registered: it runs only while that process runs. What a killed process
    still had to do is dropped, no ``finally`` block included; what a paused one has to do waits for it.

    Args:
        waiting: draws the seconds that something which would wait in a thread takes: for the database's lock, mostly.

    Attributes:
        outside: the context of whatever belongs to no process: the ERP, the network, the story itself.
        spawn: starts a child of the current process, for the given protocol of its pipes.
        errors: what callbacks raised, beside the death of their process.
    """

    _ready: Any  # asyncio's own queues, which its type stubs do not name
    _scheduled: Any

    def __init__(self, waiting: Callable[[], float]) -> None:
        super().__init__()
        self.waiting = waiting
        self._now = 0.0
        self.outside = Context()
        self.spawn: Callable[[Any], Awaitable[asyncio.SubprocessTransport]] = _no_children
        self.errors: list[BaseException] = []
        self.set_exception_handler(self._note_error)

    def time(self) -> float:
        """Virtual seconds since the schedule began."""
        return self._now

    def outside_later(self, delay: float, callback: Callable[..., object], *args: Any) -> asyncio.TimerHandle:
        """Call later, outside of every process: it happens even when the caller's process dies."""
        return self.call_later(delay, callback, *args, context=self.outside)

    def requeue(self, handles: list[asyncio.Handle]) -> None:
        """Give a process that goes on what came for it while it was paused: timers first, as a real loop would."""
        self._ready.extend(sorted(handles, key=lambda handle: not isinstance(handle, asyncio.TimerHandle)))

    def create_task(self, coro: Any, **options: Any) -> asyncio.Task[Any]:
        """A task whose every suspension its process gets to know."""
        task: asyncio.Task[Any] = super().create_task(Traced(coro), **options)
        process = PROCESS.get() if "context" not in options else options["context"].get(PROCESS)
        if process is not None:
            process.tasks.append(task)
        return task

    def run_in_executor(  # type: ignore[override] # typeshed ties args to func
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """What would wait in a thread waits here for a drawn moment, and is then done in its caller's own step."""
        del executor
        return _Deferred(self, lambda: func(*args))

    async def subprocess_exec(
        self, protocol_factory: Callable[[], Any], *command: Any, **options: Any
    ) -> tuple[Any, Any]:
        """A child of the current process, whatever the command: the simulation knows one kind."""
        del command, options
        protocol = protocol_factory()
        return await self.spawn(protocol), protocol

    def run(self, story: Coroutine[Any, Any, None]) -> None:
        """Run the story to its end."""
        self.run_until_complete(self.create_task(story, context=self.outside.copy()))

    def _run_once(self) -> None:
        timers = self._scheduled
        while timers and timers[0].cancelled():
            heapq.heappop(timers)._scheduled = False  # noqa: SLF001 - as asyncio's own loop does
        if not self._ready:
            if not timers:
                raise StuckError("nothing is ready and no timer is set")
            self._now = max(self._now, timers[0].when())
        while timers and timers[0].when() <= self._now:
            handle = heapq.heappop(timers)
            handle._scheduled = False  # noqa: SLF001 - as above
            self._ready.append(handle)
        for _ in range(len(self._ready)):
            handle = self._ready.popleft()
            if handle.cancelled():
                continue
            process = handle._context.get(PROCESS)  # noqa: SLF001 - asyncio gives no other way to a handle's context
            if process is None or process.admits(handle):
                handle._run()  # noqa: SLF001 - as above

    def _process_events(self, event_list: Any) -> None:
        """There are no sockets."""

    def _write_to_self(self) -> None:
        """Nobody sleeps who would have to be woken."""

    def _note_error(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if "handle" in context and error is not None and not isinstance(error, Killed):
            self.errors.append(error)


async def _no_children(protocol: Any) -> asyncio.SubprocessTransport:
    raise NotImplementedError(f"nothing was set to start a child for {protocol}")
