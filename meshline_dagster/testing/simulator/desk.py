"""The operator's desk: what is dead is tried again or closed by hand, as somebody would who looks into the ERP first.

Who closes a posting as being in the ERP has seen to that: he enters the document there, or brings the one that is there to what the event
says. Who closes it as not being there has looked.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime

import orjson
from sqlalchemy import Connection, select

from meshline_dagster.core.documents import ACCOUNTING_KINDS, REVERSE, DocumentKind
from meshline_dagster.core.errors import RefusedError
from meshline_dagster.core.ledger import PostingState
from meshline_dagster.delivery.by_hand import close, retry
from meshline_dagster.store.engine import Store
from meshline_dagster.store.postings import Posting, postings_of
from meshline_dagster.store.tables import posting
from meshline_dagster.testing.oracle.records import Bill, Content, Held
from meshline_dagster.testing.simulator.server import SimulatedErp

__all__ = ["Desk"]

_WHO, _WHY = "operator", "drawn"
_LEFT = 0.2
_RETRIED = 0.5
_CLOSED = 0.6


class Desk:
    """One operator with the queue before him.

    Args:
        alone: entity keys of what he leaves alone. time: the virtual second that it is.

    Attributes:
        retried, closed: virtual seconds at which he did so, by external id of the order (or of the master).
        settled: the events that he has closed.
        done: how often he did what.
    """

    def __init__(
        self,
        store: Store,
        erp: SimulatedErp,
        *,
        rng: random.Random,
        alone: set[str],
        time: Callable[[], float],
        clock: Callable[[], datetime],
        tell: Callable[[str], None],
    ) -> None:
        self._store, self._erp, self._rng, self._alone = store, erp, rng, alone
        self._time, self._clock, self._tell = time, clock, tell
        self.retried: defaultdict[str, list[float]] = defaultdict(list)
        self.closed: defaultdict[str, list[float]] = defaultdict(list)
        self.settled: set[str] = set()

    async def work_at(self, at: float) -> None:
        """Go through the queue at a time."""
        await asyncio.sleep(at)
        self.work(leaving=True)

    def work(self, *, leaving: bool) -> None:
        """Deal with everything that is dead or rejected.

        Args:
            leaving: some of it is left for later.
        """
        with self._store.write() as connection:
            states = [PostingState.DEAD.value, PostingState.REJECTED.value]
            query = select(posting.c.id).where(posting.c.state.in_(states)).order_by(posting.c.id)
            for row in postings_of(connection, list(connection.execute(query).scalars())):
                if row.entity_key in self._alone or (leaving and self._rng.random() < _LEFT):
                    continue
                if row.state is PostingState.REJECTED:
                    self._refused(connection, row)
                else:
                    self._deal_with(connection, row)

    def _refused(self, connection: Connection, row: Posting) -> None:
        """What the ERP refused is corrected in the CRM: neither way out is open to it."""
        for way in (self._retry, self._close_absent):
            try:
                way(connection, row)
            except RefusedError:
                continue
            raise AssertionError(f"{row.external_id} was rejected, and could be settled by hand")

    def _deal_with(self, connection: Connection, row: Posting) -> None:
        there = [held for held in self._erp.records.documents if held.external_id == row.external_id]
        live = [held for held in there if held.is_live]
        may_close = row.operation != REVERSE and row.document_kind in {DocumentKind.SALES_ORDER, *ACCOUNTING_KINDS}
        chance = self._rng.random()
        if len(live) > 1:  # a reversal is prepared
            return
        if not may_close or any(held.draft for held in there) or chance < _RETRIED:
            self._retry(connection, row)
        elif not there and row.document_kind is DocumentKind.SALES_ORDER and chance < _CLOSED:
            self._close_absent(connection, row)
        else:
            self._close_in_erp(connection, row, next(iter(live or there), None))

    def _retry(self, connection: Connection, row: Posting) -> None:
        retry(connection, row.key, actor=_WHO, reason=_WHY, now=self._clock())
        self.retried[row.external_id].append(self._time())
        self._tell(f"{row.external_id} {row.event_id[:8]} ({row.outcome}) is tried again")

    def _close_absent(self, connection: Connection, row: Posting) -> None:
        close(connection, row.key, actor=_WHO, reason=_WHY, now=self._clock(), erp_id=None, absent=True)
        self._note(row, "not in the ERP")

    def _close_in_erp(self, connection: Connection, row: Posting, held: Held | None) -> None:
        kind, payload = row.document_kind, orjson.loads(row.payload)
        is_booked = kind in ACCOUNTING_KINDS and held is not None  # what is in the books is never changed
        if is_booked or not self._erp.takes(payload):
            self._retry(connection, row)
            return
        content, bill = Content.of(kind, payload), Bill.of(kind, payload)
        if held is None and content.status == "cancelled":
            self._close_absent(connection, row)
            return
        made = self._erp.enter(kind, row.external_id, row.event_id, content, bill, held=held, now=self._time())
        close(connection, row.key, actor=_WHO, reason=_WHY, now=self._clock(), erp_id=made.erp_id)
        self._note(row, f"in the ERP, by hand, as {made.erp_id}")

    def _note(self, row: Posting, what: str) -> None:
        self.closed[row.external_id].append(self._time())
        self.settled.add(row.event_id)
        self._tell(f"{row.external_id} {row.event_id[:8]} ({row.outcome}) is closed: {what}")
