"""The grouped commit: everything queued since the last commit is written in one transaction.

Intents and outcomes of many postings share one fsync, so that a fully durable ledger costs hardly anything. Before a transaction
commits, the leases of all shards in it are checked: what was done under a lost lease cannot be recorded.

What may wait (the database's lock, the fsync) happens in a thread. The statements themselves do so only where they cross a network:
SQLite's take microseconds, and a thread that runs them beside a busy event loop spends its time waiting for the interpreter's lock.
Where a pass is large, a process of its own writes the groups: see :mod:`~meshline_dagster.delivery.ledger_process`.
"""

import asyncio
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from types import TracebackType
from typing import Self, TypeVar

from sqlalchemy import Connection

from meshline_dagster.core.errors import StoreUnavailableError
from meshline_dagster.delivery.ledger_group import Work, write_works
from meshline_dagster.delivery.ledger_process import LedgerProcess
from meshline_dagster.delivery.outage import Signal
from meshline_dagster.store.engine import Store
from meshline_dagster.store.leases import Lease

__all__ = ["GroupCommitter"]

_T = TypeVar("_T")
_APART = 0.03
"""Seconds from the beginning of a group of the hired process to the next group. Each costs it 3 to 10 ms however little is in it, and the
rows in progress (see the engine) are enough to keep the requests going meanwhile.
"""
_WOKEN_AT_ONCE = 4
"""Of those who waited for a group so many go on before the event loop looks for answers again: a slot whose answer is there would stand
idle while dozens of others prepare what they do next.
"""

_Item = tuple[Work, "asyncio.Future[None]"]


class GroupCommitter:
    """Commits work of one event loop in groups. An asynchronous context manager: leaving it writes what is queued.

    Args:
        tell: moves the destination's breaker by what requests have learnt, in the group's transaction.
    """

    def __init__(
        self,
        store: Store,
        *,
        held: Callable[[], dict[int, Lease]],
        tell: Callable[[Connection, Sequence[Signal]], None],
        actor: str,
        clock: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._held = held
        self._tell = tell
        self._actor = actor
        self._clock = clock
        self._queue: list[_Item] = []
        self._wake = asyncio.Event()
        self._leaving = False
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="meshline-commits")
        self._hired: asyncio.Task[LedgerProcess] | None = None
        self._not_before = 0.0
        self.commits = 0

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leaving = True
        self._wake.set()
        await self._task
        await self._dismiss()
        self._executor.shutdown()

    def hire(self) -> None:
        """Let a process of its own write the groups, from when it is ready until the end."""
        if self._hired is None:
            self._hired = asyncio.create_task(LedgerProcess.start(self._store, self._actor))

    async def commit(self, work: Work) -> None:
        """Return when ``work`` is durable.

        Raises:
            LeaseLostError: a lease was taken over; nothing of this work was written.
            StoreUnavailableError: the database is away; whether this work is durable is not known.
        """
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append((work, future))
        self._wake.set()
        await future

    async def _run(self) -> None:
        while self._queue or not self._leaving:
            await self._wake.wait()
            self._wake.clear()
            while self._queue:
                await asyncio.sleep(self._not_before - asyncio.get_running_loop().time())
                await self._write_group()

    async def _write_group(self) -> None:
        """Write all that is queued by now together; if that fails, each alone, so that one bad item spoils no other.

        Not when the database is away: it may have committed all of it, and what is told that it was not written is looked up.
        """
        # The breaker is moved here, where its view is. Between this look and the taking of the queue nothing may wait.
        tells = any(work.signals for work, _ in self._queue)
        if self._hired is not None and self._hired.done() and not tells:
            await self._hand_over(self._hired)
            return
        group = await self._write(None)
        if group is None:
            return
        for item in group:
            await self._write(item)

    async def _write(self, one: _Item | None) -> list[_Item] | None:
        """Write one item, or all that is queued when the database's lock is ours. Returns the items to write one by one, if any."""
        transaction = self._store.write()
        items = [one] if one is not None else self._queue
        try:
            connection = await self._in_thread(transaction.__enter__)
            if one is None:
                items, self._queue = self._queue, []
            try:
                works = [work for work, _ in items]
                if self._store.is_sqlite:
                    self._statements(connection, works)
                else:
                    await self._in_thread(lambda: self._statements(connection, works))
            except BaseException:
                failure = sys.exc_info()
                await self._in_thread(lambda: transaction.__exit__(*failure))
                raise
            await self._in_thread(lambda: transaction.__exit__(None, None, None))
        except Exception as error:  # noqa: BLE001 - handed to whoever waits for it
            if items is self._queue:
                items, self._queue = self._queue, []
            if len(items) > 1 and not isinstance(error, StoreUnavailableError):
                return items
            _fail(items, error)
            return None
        self.commits += 1
        await _wake(items, [None] * len(items))
        return None

    async def _hand_over(self, hired: asyncio.Task[LedgerProcess]) -> None:
        """The same in the hired process."""
        self._not_before = asyncio.get_running_loop().time() + _APART
        items, self._queue = self._queue, []
        try:
            process = hired.result()
            results = await process.write([work for work, _ in items], self._held(), self._clock())
        except Exception as error:  # noqa: BLE001 - handed to whoever waits for it
            _fail(items, error)
            return
        self.commits += 1
        await _wake(items, results)

    async def _dismiss(self) -> None:
        """End the hired process, also one that is still starting."""
        if self._hired is None:
            return
        self._hired.cancel()
        [process] = await asyncio.gather(self._hired, return_exceptions=True)
        if isinstance(process, LedgerProcess):
            await process.aclose()

    def _statements(self, connection: Connection, works: Sequence[Work]) -> None:
        now = self._clock()
        write_works(connection, works, held=self._held(), actor=self._actor, now=now)
        signals = [signal for work in works for signal in work.signals]
        if signals:
            self._tell(connection, signals)

    async def _in_thread(self, call: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, call)


async def _wake(items: Sequence[_Item], errors: Sequence[Exception | None]) -> None:
    """Tell those who waited, a few at a time, what became of their work."""
    for place, (item, error) in enumerate(zip(items, errors, strict=True)):
        if place and place % _WOKEN_AT_ONCE == 0:
            await asyncio.sleep(0)
        if error is not None:
            _fail([item], error)
        elif not item[1].done():
            item[1].set_result(None)


def _fail(items: Sequence[_Item], error: Exception) -> None:
    """Tell all of them at once that it went wrong: they have nothing to do that others would wait for."""
    for _, future in items:
        if not future.done():
            future.set_exception(error)
