"""The child of a simulated process: what a delivery starts to write its ledger, on the virtual loop.

The parent's code is the real one, pipes included, and so is what the child does with a message. Simulated are the operating system between
them and time: a child is a process of its own, which can be struck like any other. It lives on when its parent dies, and ends after what it
has begun; a message that the parent had not written whole by then never was one.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from meshline_dagster.delivery.ledger_process import answer, read_message, write_message
from meshline_dagster.testing.simulator.process import PROCESS, Interruption, Killed, Process, State

__all__ = ["Child", "Hiring"]

_PARENT_WRITES, _PARENT_READS = 0, 1
_GAP_SECONDS = 0.0005


@dataclass(frozen=True, slots=True)
class Hiring:
    """When a delivery hires a child for its ledger, and how that fares.

    Attributes:
        postings: so many in a pass are worth it.
        start: seconds until it exists.
        step: up to how many seconds it takes to get a message, to do what it says, and to answer.
        end: seconds that it takes to end, once nobody needs it.
        interruption: what happens to it; None: nothing.
    """

    postings: int
    start: float
    step: float
    end: float
    interruption: Interruption | None = None

    def __str__(self) -> str:
        return (
            f"{self.postings} postings hire a process within {self.start:.2f} s (steps up to {self.step:.2f} s, end {self.end:.1f} s): "
            f"{self.interruption or 'undisturbed'}"
        )


class Child(asyncio.SubprocessTransport):
    """One child, as its parent's end of the pipes.

    Args:
        waiting: draws how long a step takes.
        tell: told what happens to it, for the trace.

    Attributes:
        parent: who hired it; process: the child itself.
    """

    def __init__(
        self,
        parent: Process,
        protocol: Any,
        hiring: Hiring,
        *,
        loop: Any,
        waiting: Callable[[], float],
        tell: Callable[[str], None],
    ) -> None:
        super().__init__()
        self.parent, self._protocol, self._hiring, self._loop = parent, protocol, hiring, loop
        self._waiting, self._tell = waiting, tell
        self._inbox: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._ended: asyncio.Future[int] = loop.create_future()
        self._pipe = _Pipe(self)
        self.process = Process(f"{parent.name}/ledger", loop, parent.for_child or hiring.interruption, tell)
        self.process.on_end = lambda: loop.outside_later(0, self._end)
        parent.at_death.append(self._pipe.close)
        context = loop.outside.copy()
        context.run(PROCESS.set, self.process)
        protocol.connection_made(self)
        loop.create_task(self._live(), context=context)

    async def _live(self) -> None:
        try:
            first = await self._inbox.get()
            if first is None:
                return
            opener, actor = read_message(BytesIO(first))
            store = opener()
            await self._say(None)
            while (data := await self._inbox.get()) is not None:
                await asyncio.sleep(self._waiting())
                await self._say(answer(store, actor, read_message(BytesIO(data))))
            await asyncio.sleep(self._hiring.end)
        except Killed:
            return
        finally:
            if self.process.state is State.RUNNING:
                self._loop.outside_later(0, self._end)

    async def _say(self, message: Any) -> None:
        await asyncio.sleep(self._waiting())
        reply = BytesIO()
        write_message(reply, message)
        data, first = reply.getvalue(), 8  # a pipe may give any part of it first
        self._loop.outside_later(0, self._give, data[:first])
        self._loop.outside_later(_GAP_SECONDS, self._give, data[first:])

    def _give(self, data: bytes) -> None:
        if not self._ended.done():
            self._protocol.pipe_data_received(_PARENT_READS, data)

    def take(self, data: bytes) -> None:
        """The parent writes: its pipe is full until the child has read it."""
        self._protocol.pause_writing()
        self._loop.outside_later(self._waiting(), self._taken, data)

    def _taken(self, data: bytes) -> None:
        if self._ended.done() or self.parent.state is State.DEAD:
            return
        self._protocol.resume_writing()
        self._inbox.put_nowait(data)

    def no_more(self) -> None:
        """The parent has closed its end, or died."""
        self._inbox.put_nowait(None)

    def _end(self) -> None:
        if self._ended.done():
            return
        self._tell(f"{self.process.name} has ended")
        self._ended.set_result(0)
        self._pipe.close()
        self._protocol.pipe_connection_lost(_PARENT_WRITES, BrokenPipeError("the child has ended"))
        self._protocol.pipe_connection_lost(_PARENT_READS, None)
        self._protocol.process_exited()

    @property
    def was_struck(self) -> bool:
        """Whether something happened to it that a parent has to complain of."""
        return self.process.state is State.DEAD

    def get_pid(self) -> int:
        """Some number."""
        return 1

    def get_returncode(self) -> int | None:
        """None while it lives."""
        return self._ended.result() if self._ended.done() else None

    def get_pipe_transport(self, fd: int) -> Any:
        """The pipes."""
        return {_PARENT_WRITES: self._pipe, _PARENT_READS: _Reading()}.get(fd)

    def kill(self) -> None:
        """Kill it."""
        self.process.kill("the will of its parent")

    def close(self) -> None:
        """Nothing is held."""

    async def _wait(self) -> int:  # what asyncio's own process object waits for
        return await asyncio.shield(self._ended)


class _Pipe(asyncio.WriteTransport):
    """What the parent writes into."""

    def __init__(self, child: Child) -> None:
        super().__init__()
        self._child, self._closed = child, False

    def write(self, data: Any) -> None:
        """Send a message, whole."""
        if not self._closed:
            self._child.take(bytes(data))

    def is_closing(self) -> bool:
        """Whether it is closed."""
        return self._closed

    def close(self) -> None:
        """The child gets to know after what it has been told."""
        if not self._closed:
            self._closed = True
            self._child.no_more()


class _Reading(asyncio.ReadTransport):
    """What the parent reads from: it is never too fast."""

    def pause_reading(self) -> None:
        """Nothing to do."""

    def resume_reading(self) -> None:
        """Nothing to do."""
