"""What operators and the close calendar hold back right now, as of a moment ago: looked at again just before each request starts.

A query per request would cost more than the request's own bookkeeping. So the answer is remembered for half a second, and who needs it
later than that has it read again, once for all who wait.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, or_

from meshline_dagster.core.backlog import Backlog
from meshline_dagster.core.pauses import Pause, held_back
from meshline_dagster.delivery.backlog import waiting_backlog
from meshline_dagster.delivery.gates import pauses_now
from meshline_dagster.delivery.outage import OutageGuard
from meshline_dagster.delivery.session import Session
from meshline_dagster.store.approvals import anything_unapproved, unapproved
from meshline_dagster.store.backlogs import released_through, unreleased
from meshline_dagster.store.duplicates import any_reversal_open, reversed_soon
from meshline_dagster.store.pauses import held
from meshline_dagster.store.postings import Posting

__all__ = ["Holds"]

_FRESH = timedelta(seconds=0.5)


class Holds:
    """The pauses of one delivery's destination, the calendar's included, its breaker, the backlog that waits for release, approvals, and
    documents that stand twice.

    Attributes:
        backlog: what waits for release; None when nothing does.
    """

    def __init__(self, session: Session, guard: OutageGuard) -> None:
        self._guard = guard
        self._store, self._options, self._clock = session.store, session.options, session.clock
        self._pauses: list[Pause] = []
        self.backlog: Backlog | None = None
        self._awaits_approval = self._stands_twice = False
        self._at: datetime | None = None
        self._reading = asyncio.Lock()

    def read(self, connection: Connection) -> None:
        """Look now."""
        at = self._clock()
        self._guard.read(connection)
        self._pauses, self._at = pauses_now(connection, self._options, now=at), at

    def read_all(self, connection: Connection) -> None:
        """Look now, at the backlog too: its figures cost more, and change only with a plan or a release."""
        self.read(connection)
        self._awaits_approval = anything_unapproved(connection, self._options.destination)
        self._stands_twice = any_reversal_open(connection, self._options.destination)
        self.backlog = waiting_backlog(connection, self._options)
        self._released = 0 if self.backlog is None else released_through(connection, self._options.destination)

    async def refresh(self) -> None:
        """Look again unless somebody did within the last half second."""
        if self._is_fresh():
            return
        async with self._reading:
            if not self._is_fresh():
                await asyncio.to_thread(self._read)

    def stops(self, rows: Sequence[Posting]) -> str | None:
        """Why a request with these rows may not start, in a word for the ledger; None when it may."""
        if self._guard.is_open:
            return "breaker_open"
        return "paused" if any(held_back(self._pauses, row) for row in rows) else None

    @property
    def condition(self) -> ColumnElement[bool] | None:
        """The condition over ``posting`` that a row is held back; None when nothing is."""
        conditions = [held(pause.scope for pause in self._pauses)] if self._pauses else []
        if self._awaits_approval:
            conditions.append(unapproved())
        if self._stands_twice:
            conditions.append(reversed_soon())
        if self.backlog is not None:
            conditions.append(unreleased(self._released))
        return or_(*conditions) if conditions else None

    def _is_fresh(self) -> bool:
        return self._at is not None and self._clock() - self._at < _FRESH

    def _read(self) -> None:
        with self._store.read() as connection:
            self.read(connection)
