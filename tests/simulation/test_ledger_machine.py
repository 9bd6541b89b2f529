"""The ledger against a simple model: plans, leases, state changes, lost leases and deaths in any order."""

import os
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from meshline_dagster.core.documents import DocumentKind
from meshline_dagster.core.errors import IllegalTransitionError, LeaseLostError
from meshline_dagster.core.ledger import OPEN_STATES, TRANSITIONS, PostingState
from meshline_dagster.core.postings import OutboxRow
from meshline_dagster.delivery.options import DeliveryOptions, Mode
from meshline_dagster.delivery.plan import plan
from meshline_dagster.store import audit, leases
from meshline_dagster.store.ledger_writes import Change, change_states
from meshline_dagster.store.postings import due_postings, postings_of
from meshline_dagster.store.tables import posting
from meshline_dagster.testing.simulator.ops_store import fresh_store

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TTL = timedelta(seconds=30)
OPTIONS = DeliveryOptions("ledger", "1", mode=Mode.LIVE, sandbox=True, shards=1)
ENTITIES = ("order/a", "order/b")
S = PostingState
EXAMPLES = int(os.environ.get("MESHLINE_EXAMPLES", "30"))


def outbox(entity, version):
    return OutboxRow(
        event_id=f"{entity}/{version}",
        entity_key=entity,
        document_kind=DocumentKind.SALES_ORDER,
        external_id=entity,
        event_time=NOW + timedelta(days=version),
        operation="create",
        depends_on=(),
        amount=Decimal(version),
        currency="USD",
        document_date=None,
        payload={"amount": str(version), "status": "open"},
    )


class LedgerMachine(RuleBasedStateMachine):
    """The model: the state of each event, who holds the lease, and what each holder last saw."""

    @initialize()
    def begin(self):
        self.store = fresh_store()
        self.now = NOW
        self.states = {}  # event id -> state
        self.published = {entity: set() for entity in ENTITIES}
        self.holders = {}  # holder -> lease as he believes to have it
        self.owner = None  # who really holds it
        self.seen = {}  # holder -> rows that he has read

    @rule(entity=st.sampled_from(ENTITIES), version=st.integers(1, 4))
    def plan_one_more_state(self, entity, version):
        self.published[entity].add(version)
        rows = [outbox(entity, number) for number in sorted(self.published[entity])]
        plan(self.store, rows, touched=[entity], options=OPTIONS, build_id=None, actor="plan", now=self.now)
        for one in ENTITIES:
            self.follow_the_plan(one, touched=one == entity)

    def follow_the_plan(self, entity, *, touched):
        """Of an entity that was not touched, a plan lets go what is shadowed, and does nothing else."""
        gone = (S.PLANNED, S.SHADOWED, S.RETRY_DUE, S.REJECTED, S.SUPERSEDED)
        reached = [v for v in self.published[entity] if self.states.get(f"{entity}/{v}", S.PLANNED) not in gone]
        for number in sorted(self.published[entity]):
            late = bool(reached) and number < max(reached)
            known = self.states.get(f"{entity}/{number}")
            if known is S.SHADOWED:
                self.states[f"{entity}/{number}"] = S.PLANNED
            elif touched and known is None:
                self.states[f"{entity}/{number}"] = S.SUPERSEDED if late else S.PLANNED
            elif touched and known is S.SUPERSEDED and not late:
                self.states[f"{entity}/{number}"] = S.PLANNED

    @rule(holder=st.sampled_from(("one", "two")))
    def take_the_lease(self, holder):
        with self.store.write() as connection:
            lease = leases.acquire(connection, "shard", holder, now=self.now, ttl=TTL)
        free = self.owner is None or self.holders[self.owner].expires_at <= self.now
        assert (lease is not None) == free
        if lease is not None:
            self.holders[holder], self.owner = lease, holder
            self.seen.pop(holder, None)

    @rule(seconds=st.sampled_from((1, 20, 40)))
    def wait(self, seconds):
        self.now += timedelta(seconds=seconds)

    @rule(holder=st.sampled_from(("one", "two")))
    def read_what_is_due(self, holder):
        with self.store.read() as connection:
            due = due_postings(connection, "ledger", [0], now=self.now + timedelta(days=999), limit=99)
            rows = postings_of(connection, due)
        expected = set()
        for entity in ENTITIES:
            opened = sorted(v for v in self.published[entity] if self.states[f"{entity}/{v}"] in OPEN_STATES)
            dead = any(self.states[f"{entity}/{v}"] is S.DEAD for v in self.published[entity])
            expected |= {f"{entity}/{opened[0]}"} if opened and not dead else set()
        assert {row.event_id for row in rows} == expected
        self.seen[holder] = rows

    @precondition(lambda self: any(self.seen.get(holder) for holder in self.holders))
    @rule(data=st.data(), after=st.sampled_from(list(PostingState)))
    def change_a_state(self, data, after):
        holder = data.draw(st.sampled_from(sorted(one for one in self.holders if self.seen.get(one))))
        row = data.draw(st.sampled_from(self.seen[holder]))
        lease = self.holders[holder]
        legal = after in TRANSITIONS[row.state]
        fresh = self.owner == holder and self.states[row.event_id] is row.state
        try:
            with self.store.write() as connection:
                leases.check(connection, [lease])
                change_states(connection, [Change.of(row, after, lease.token)], actor=holder, now=self.now)
        except (IllegalTransitionError, LeaseLostError):
            assert not (legal and fresh and self._latest(row))
        else:
            assert legal
            assert fresh
            self.states[row.event_id] = after
        self.seen[holder] = []

    @rule(holder=st.sampled_from(("one", "two")))
    def die(self, holder):
        """Its lease runs on; what it has read is gone."""
        self.seen.pop(holder, None)

    @rule(holder=st.sampled_from(("one", "two")))
    def give_the_lease_back(self, holder):
        if holder in self.holders:
            with self.store.write() as connection:
                leases.release(connection, self.holders[holder], now=self.now)
            if self.owner == holder:
                self.owner = None

    def _latest(self, row):
        with self.store.read() as connection:
            (now,) = postings_of(connection, [row.id])
        return now.state is row.state

    @invariant()
    def the_ledger_is_what_the_model_says(self):
        if not hasattr(self, "store"):
            return
        with self.store.read() as connection:
            query = posting.select().order_by(posting.c.revision)
            found = {row.event_id: S(row.state) for row in connection.execute(query)}
            assert audit.first_broken(connection) is None
        assert found == self.states


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(
    max_examples=EXAMPLES, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
pytestmark = pytest.mark.slow
