"""The people of a schedule: operators who pause, resume and release, and somebody who changes the ledger behind delivery's back."""

import asyncio
import random
from collections.abc import Callable, Coroutine, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from meshline_dagster.core.approvals import ApprovalKind
from meshline_dagster.core.documents import ACCOUNTING_KINDS, DocumentKind
from meshline_dagster.core.duplicates import Doubled, Standing
from meshline_dagster.core.followups import InvoiceTrigger
from meshline_dagster.core.ledger import OPEN_STATES, PostingState
from meshline_dagster.core.pauses import Scope
from meshline_dagster.delivery.deliveries import heed_deliveries
from meshline_dagster.delivery.duplicates import settle_duplicates
from meshline_dagster.delivery.options import DeliveryOptions
from meshline_dagster.delivery.reversing import target_of
from meshline_dagster.governance.decisions import approve
from meshline_dagster.store.approvals import approvals
from meshline_dagster.store.backlogs import release
from meshline_dagster.store.duplicates import reversal_postings
from meshline_dagster.store.engine import Store
from meshline_dagster.store.exceptions import ExceptionItem, exceptions
from meshline_dagster.store.pauses import pause, resume
from meshline_dagster.testing.oracle.records import ErpRecords, Held
from meshline_dagster.testing.oracle.truth import Hold
from meshline_dagster.testing.simulator.desk import Desk
from meshline_dagster.testing.simulator.milestones import Leaders
from meshline_dagster.testing.simulator.ops_store import forge
from meshline_dagster.testing.simulator.schedule import Schedule
from meshline_dagster.testing.simulator.server import Profile, SimulatedErp
from meshline_dagster.testing.simulator.writer import shown

__all__ = ["Operators"]

_WHO = "operator"
_READ_BACK = {DocumentKind.SALES_ORDER, *ACCOUNTING_KINDS}
_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class Operators:
    """What they do at their times, each in a transaction of the store.

    Attributes:
        released: virtual seconds at which a backlog was released; approved: at which reversals were approved.
        forged: entity keys of postings that were changed in the database.
        desk: where what is dead is dealt with by hand.
        leaders: who decide of milestones.
    """

    def __init__(
        self,
        store: Store,
        erp: SimulatedErp,
        schedule: Schedule,
        destination: str,
        *,
        time: Callable[[], float],
        clock: Callable[[], datetime],
        tell: Callable[[str], None],
        later: Callable[..., object],
    ) -> None:
        self._later = later
        self._store, self._schedule, self._destination = store, schedule, destination
        self._time, self._clock, self._tell = time, clock, tell
        self.released: list[float] = []
        self.approved: list[float] = []
        self.forged: set[str] = set()
        rng = random.Random(f"desk/{schedule.profile.value}/{schedule.seed}")  # noqa: S311 - repeatable, not secret
        self.desk = Desk(store, erp, rng=rng, alone=self.forged, time=time, clock=clock, tell=tell)
        keys = {name: entity.entity_key for name, entity in schedule.world.entities.items()}
        self.leaders = Leaders(store, keys, clock=clock, tell=tell)
        self._lags = random.Random(f"lags/{schedule.profile.value}/{schedule.seed}")  # noqa: S311 - as above

    def work(self) -> Iterator[Coroutine[Any, Any, None]]:
        """All that they do, to be run side by side."""
        schedule = self._schedule
        yield from (self._paused(hold) for hold in (*schedule.pauses, *schedule.operations.pauses))
        yield from (self._release_at(at) for at in schedule.operations.released)
        yield from (self.desk.work_at(at) for at in schedule.operations.desk)
        yield from (self.leaders.decide_at(one) for one in schedule.decisions)
        if schedule.operations.reversals.is_set or schedule.profile is Profile.LOOKUP_ONLY:
            yield from (self._approve_at(at) for at in schedule.operations.approved)
        if schedule.forged_at is not None:
            yield self._forge(
                schedule.forged_at, PostingState.UNKNOWN if schedule.forges_sent else PostingState.PLANNED
            )

    def read_back(self, records: ErpRecords, options: DeliveryOptions) -> None:
        """Compare what the ERP holds, as the step after each delivery does."""
        doubled = [
            Doubled(found[0].kind, name, self._key_of(found[0]), tuple(self._shown(held) for held in found))
            for name, found in records.standing().items()
            if len(found) > 1 and found[0].kind in _READ_BACK
        ]
        with self._store.write() as connection:
            settle_duplicates(
                *(connection, doubled),
                options=options,
                reversible=[DocumentKind.SALES_ORDER],
                actor="read-back",
                now=self._clock(),
            )
        if doubled:
            self._tell(f"read back twice: {', '.join(one.external_id for one in doubled)}")

    def read_deliveries(self, records: ErpRecords, options: DeliveryOptions, epoch: datetime) -> None:
        """Read what the ERP says of its orders now, and act on it, at once or later: others may have read something newer meanwhile.

        Args:
            epoch: the instant of virtual second zero on the ERP's own clock.
        """
        if options.billing is None or options.billing.trigger is not InvoiceTrigger.DELIVERY:
            return
        documents = [shown(held, epoch) for held in records.documents if held.kind is DocumentKind.SALES_ORDER]

        def heed() -> None:
            with self._store.write() as connection:
                changed = heed_deliveries(connection, options, documents, now=self._clock())
            if changed:
                self._tell(f"the ERP tells of the deliveries of {', '.join(changed)}")

        lag = self._schedule.read_lag if self._time() < self._schedule.until else 0.0
        if lag:
            self._later(lag * self._lags.random(), heed)
        else:
            heed()

    def _key_of(self, held: Held) -> str:
        order = held.external_id if held.bill is None else held.bill.order
        return self._schedule.world.entities[order].entity_key

    def _shown(self, held: Held) -> Standing:
        stamp = _EPOCH + timedelta(seconds=held.stamp)
        return Standing(held.erp_id, held.erp_id.upper(), held.content.amount, held.content.currency, stamp)

    def left(self) -> tuple[Sequence[ExceptionItem], list[str]]:
        """What is in the queue, and the ERP ids of the documents whose reversal waits or was given up."""
        with self._store.read() as connection:
            queue, found = exceptions(connection), reversal_postings(connection, self._destination)
        return queue, [target_of(row) for row in found if row.state in OPEN_STATES or row.state is PostingState.DEAD]

    def let_everything_go(self) -> None:
        """Approve what would be taken back, release what waits, and deal with what is dead."""
        self.approve()
        self.release()
        if self._schedule.operations.tidies:
            self.desk.work(leaving=False)

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

    async def _forge(self, at: float, state: PostingState) -> None:
        """Somebody with access to the database takes its guard away and raises an amount."""
        await asyncio.sleep(at)
        with self._store.write() as connection:
            entity = forge(connection, state)
        if entity is not None:
            self.forged.add(entity)
            self._tell(f"a posting of {entity} is forged, which is {state.value}")
