"""The grouped commit: one thread writes everything queued since its last commit in one transaction.

Intents and outcomes of many postings share one fsync, so that a fully durable ledger costs hardly anything. Before a transaction
commits, the leases of all shards in it are checked: what was done under a lost lease cannot be recorded.
"""

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Self

from meshline_dagster.store import leases
from meshline_dagster.store.engine import Store
from meshline_dagster.store.exceptions import Finding, raise_exceptions, resolve
from meshline_dagster.store.leases import Lease
from meshline_dagster.store.postings import Attempt, Change, change_states, record_attempts

__all__ = ["GroupCommitter", "Work"]

_GROUP = 4_000


@dataclass(frozen=True, slots=True)
class Work:
    """What has to become durable together."""

    changes: Sequence[Change] = ()
    opened: Sequence[Attempt] = ()
    closed: Sequence[Attempt] = ()
    findings: Sequence[Finding] = ()
    resolved: Sequence[str] = ()


_Item = tuple[Work, "asyncio.Future[None]", asyncio.AbstractEventLoop]


class GroupCommitter:
    """Commits work from an event loop in groups. A context manager: leaving it flushes what is queued."""

    def __init__(
        self, store: Store, *, held: Callable[[], dict[int, Lease]], actor: str, clock: Callable[[], datetime]
    ) -> None:
        self._store = store
        self._held = held
        self._actor = actor
        self._clock = clock
        self._queue: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="meshline-commits", daemon=True)
        self.commits = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._queue.put(None)
        self._thread.join()

    async def commit(self, work: Work) -> None:
        """Return when ``work`` is durable.

        Raises:
            LeaseLostError: a lease was taken over; nothing of this work was written.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._queue.put((work, future, loop))
        await future

    def _work(self) -> None:
        while True:
            group, last = self._next_group()
            if group:
                self._write_group(group)
            if last:
                return

    def _next_group(self) -> tuple[list[_Item], bool]:
        item = self._queue.get()
        group: list[_Item] = []
        while item is not None:
            group.append(item)
            if len(group) >= _GROUP:
                return group, False
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return group, False
        return group, True

    def _write_group(self, group: Sequence[_Item]) -> None:
        """Write all together; if that fails, each alone, so that one bad item spoils no other."""
        try:
            self._write([work for work, _, _ in group])
        except Exception as error:  # noqa: BLE001 - handed to whoever waits for it
            if len(group) == 1:
                _answer(group, error)
            else:
                for item in group:
                    self._write_group([item])
            return
        _answer(group, None)

    def _write(self, works: Sequence[Work]) -> None:
        now, held = self._clock(), self._held()
        changes = [change for work in works for change in work.changes]
        with self._store.write() as connection:
            leases.check(connection, [held[shard] for shard in {change.posting.shard for change in changes}])
            change_states(connection, changes, actor=self._actor, now=now)
            record_attempts(
                connection,
                [row for work in works for row in work.opened],
                [row for work in works for row in work.closed],
            )
            raise_exceptions(connection, [finding for work in works for finding in work.findings], now=now)
            resolve(connection, [key for work in works for key in work.resolved], resolution="posted since", now=now)
        self.commits += 1


def _answer(items: Sequence[_Item], error: Exception | None) -> None:
    """Settle all futures of a group in one wake-up of their loop; one committer serves one loop."""

    def settle() -> None:
        for _, future, _ in items:
            if future.done():
                continue
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)

    items[0][2].call_soon_threadsafe(settle)
