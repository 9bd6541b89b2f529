"""The grouped commit: everything queued since the last commit is written in one transaction.

Intents and outcomes of many postings share one fsync, so that a fully durable ledger costs hardly anything. Before a transaction
commits, the leases of all shards in it are checked: what was done under a lost lease cannot be recorded.

What may wait (the database's lock, the fsync) happens in a thread. The statements themselves do so only where they cross a network:
SQLite's take microseconds, and a thread that runs them beside a busy event loop spends its time waiting for the interpreter's lock.
"""

import asyncio
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Self, TypeVar

from sqlalchemy import Connection

from meshline_dagster.store import leases
from meshline_dagster.store.engine import Store
from meshline_dagster.store.exceptions import Finding, raise_exceptions, resolve
from meshline_dagster.store.leases import Lease
from meshline_dagster.store.ledger_writes import Attempt, AttemptEnd, Change, change_states, record_attempts

__all__ = ["GroupCommitter", "Work"]

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Work:
    """What has to become durable together.

    Attributes:
        gate: raises, inside the transaction, when it must not be written any more.
    """

    changes: Sequence[Change] = ()
    opened: Sequence[Attempt] = ()
    closed: Sequence[AttemptEnd] = ()
    findings: Sequence[Finding] = ()
    resolved: Sequence[str] = ()
    gate: Callable[[Connection], None] | None = None


_Item = tuple[Work, "asyncio.Future[None]"]


class GroupCommitter:
    """Commits work of one event loop in groups. An asynchronous context manager: leaving it writes what is queued."""

    def __init__(
        self, store: Store, *, held: Callable[[], dict[int, Lease]], actor: str, clock: Callable[[], datetime]
    ) -> None:
        self._store = store
        self._held = held
        self._actor = actor
        self._clock = clock
        self._queue: list[_Item] = []
        self._wake = asyncio.Event()
        self._leaving = False
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="meshline-commits")
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
        self._executor.shutdown()

    async def commit(self, work: Work) -> None:
        """Return when ``work`` is durable.

        Raises:
            LeaseLostError: a lease was taken over; nothing of this work was written.
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
                await self._write_group()

    async def _write_group(self) -> None:
        """Write all that is queued by now together; if that fails, each alone, so that one bad item spoils no other."""
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
            if len(items) > 1:
                return items
            _settle(items, error)
            return None
        self.commits += 1
        _settle(items, None)
        return None

    def _statements(self, connection: Connection, works: Sequence[Work]) -> None:
        now, held = self._clock(), self._held()
        changes = [change for work in works for change in work.changes]
        leases.check(connection, [held[shard] for shard in {change.shard for change in changes}])
        for gate in {work.gate for work in works if work.gate is not None}:
            gate(connection)
        change_states(connection, changes, actor=self._actor, now=now)
        record_attempts(
            connection,
            [row for work in works for row in work.opened],
            [row for work in works for row in work.closed],
        )
        raise_exceptions(connection, [finding for work in works for finding in work.findings], now=now)
        resolve(connection, [key for work in works for key in work.resolved], resolution="posted since", now=now)

    async def _in_thread(self, call: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, call)


def _settle(items: Sequence[_Item], error: Exception | None) -> None:
    for _, future in items:
        if future.done():
            continue
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
