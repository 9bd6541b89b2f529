"""The people of a schedule: operators who pause, resume and release, and somebody who changes the ledger behind delivery's back."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from datetime import datetime
from typing import Any

from meshline_dagster.core.approvals import ApprovalKind
from meshline_dagster.core.pauses import Scope
from meshline_dagster.governance.decisions import approve
from meshline_dagster.store.approvals import approvals
from meshline_dagster.store.backlogs import release
from meshline_dagster.store.engine import Store
from meshline_dagster.store.pauses import pause, resume
from meshline_dagster.testing.oracle.truth import Hold
from meshline_dagster.testing.simulator.ops_store import forge_planned
from meshline_dagster.testing.simulator.schedule import Schedule

__all__ = ["Operators"]

_WHO = "operator"


class Operators:
    """What they do at their times, each in a transaction of the store.

    Attributes:
        released: virtual seconds at which a backlog was released; approved: at which reversals were approved.
        forged: entity keys of postings that were changed in the database.
    """

    def __init__(
        self,
        store: Store,
        schedule: Schedule,
        destination: str,
        *,
        time: Callable[[], float],
        clock: Callable[[], datetime],
        tell: Callable[[str], None],
    ) -> None:
        self._store, self._schedule, self._destination = store, schedule, destination
        self._time, self._clock, self._tell = time, clock, tell
        self.released: list[float] = []
        self.approved: list[float] = []
        self.forged: set[str] = set()

    def work(self) -> Iterator[Coroutine[Any, Any, None]]:
        """All that they do, to be run side by side."""
        schedule = self._schedule
        yield from (self._paused(hold) for hold in (*schedule.pauses, *schedule.operations.pauses))
        yield from (self._release_at(at) for at in schedule.operations.released)
        if schedule.operations.reversals.is_set:
            yield from (self._approve_at(at) for at in schedule.operations.approved)
        if schedule.forged_at is not None:
            yield self._forge(schedule.forged_at)

    def let_everything_go(self) -> None:
        """Approve what would be taken back, and release what waits."""
        self.approve()
        self.release()

    def approve(self) -> None:
        """Approve every reversal that waits now."""
        with self._store.write() as connection:
            asked = [one for one in approvals(connection) if one.kind is ApprovalKind.REVERSALS]
            for one in asked:
                approve(connection, one, actor=_WHO, reason="drawn", now=self._clock())
        if asked:
            self.approved.append(self._time())
            self._tell("reversals are approved")

    def release(self) -> None:
        """Let go what is open now, where a backlog has limits."""
        if not self._schedule.operations.backlog.is_set:
            return
        with self._store.write() as connection:
            found = release(connection, self._destination, actor=_WHO, reason="drawn", now=self._clock())
        self.released.append(self._time())
        self._tell(f"a backlog of {found.count} is released")

    async def _approve_at(self, at: float) -> None:
        await asyncio.sleep(at)
        self.approve()

    async def _release_at(self, at: float) -> None:
        await asyncio.sleep(at)
        self.release()

    async def _paused(self, hold: Hold) -> None:
        scope = Scope(self._destination, hold.selling_entity, hold.customer)
        await asyncio.sleep(hold.start)
        with self._store.write() as connection:
            pause(connection, scope, actor=_WHO, reason="drawn", now=self._clock())
        self._tell(f"posting to {scope} is paused")
        await asyncio.sleep(hold.end - hold.start)
        with self._store.write() as connection:
            resume(connection, scope, actor=_WHO, now=self._clock())
        self._tell(f"posting to {scope} is resumed")

    async def _forge(self, at: float) -> None:
        """Somebody with access to the database takes its guard away and raises an amount."""
        await asyncio.sleep(at)
        with self._store.write() as connection:
            entity = forge_planned(connection)
        if entity is not None:
            self.forged.add(entity)
            self._tell(f"a planned posting of {entity} is forged")
