"""Groups written by a process of its own: the same guarantees, in both databases, and no process left behind."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from meshline_dagster.core.documents import DocumentKind
from meshline_dagster.core.errors import GateError, LeaseLostError, MeshlineError, PlanChangedError
from meshline_dagster.core.followups import BillingPolicy
from meshline_dagster.core.identity import external_id
from meshline_dagster.core.ledger import PostingState
from meshline_dagster.core.pauses import Scope
from meshline_dagster.core.postings import OutboxRow
from meshline_dagster.delivery import engine
from meshline_dagster.delivery.billing import Billing
from meshline_dagster.delivery.committer import GroupCommitter
from meshline_dagster.delivery.gates import IntentGate, plan_number
from meshline_dagster.delivery.ledger_group import Work
from meshline_dagster.delivery.ledger_process import LedgerProcess
from meshline_dagster.delivery.options import DeliveryOptions, Mode
from meshline_dagster.delivery.outage import Signal
from meshline_dagster.delivery.plan import plan
from meshline_dagster.store import audit, leases
from meshline_dagster.store.ledger_writes import Attempt, AttemptEnd, Change
from meshline_dagster.store.pauses import pause
from meshline_dagster.store.postings import due_postings, postings_of
from meshline_dagster.store.tables import attempt, posting
from meshline_dagster.testing.memory_erp import MemoryErp, MemoryWriter

CUSTOMER = "crm/account/1"
START = datetime(2017, 4, 1, tzinfo=UTC)
OPTIONS = DeliveryOptions(destination="memory", company="1", mode=Mode.LIVE, sandbox=True, shards=1)
SENDING, POSTED = PostingState.SENDING, PostingState.POSTED


def now():
    return datetime.now(UTC)


def order(number):
    key = f"crm/opportunity/{number}"
    return OutboxRow(
        event_id=f"{number:064d}",
        entity_key=key,
        document_kind=DocumentKind.SALES_ORDER,
        external_id=external_id("sales_order", key),
        event_time=START,
        operation="create",
        depends_on=(),
        amount=Decimal("10.25"),
        currency="USD",
        document_date=date(2017, 4, 1),
        payload={
            "order_number": str(number),
            "customer": external_id("customer", CUSTOMER),
            "currency": "USD",
            "status": "open",
            "amount": "10.25",
            "lines": [],
        },
    )


def erp_with_customer(ops):
    """An ERP in memory that has the orders' customer, by a delivery of its own."""
    code = external_id("customer", CUSTOMER)
    row = replace(
        order(0),
        event_id="c" * 64,
        entity_key=CUSTOMER,
        document_kind=DocumentKind.CUSTOMER,
        external_id=code,
        amount=Decimal(0),
        payload={"code": code, "name": "Acme", "country": None, "currency": "USD"},
    )
    erp = MemoryErp()
    plan(ops, [row], touched=[], options=OPTIONS, build_id=None, actor="t", now=now())
    assert asyncio.run(engine.deliver(ops, MemoryWriter(erp), OPTIONS, actor="t")).outcomes == {"created": 1}
    return erp


@pytest.fixture
def planned(ops):
    """Three open postings, the lease on their shard and the gate of their plan."""
    plan(ops, [order(n) for n in range(3)], touched=[], options=OPTIONS, build_id=None, actor="t", now=now())
    with ops.write() as connection:
        lease = leases.acquire(connection, "deliver:memory:0", "t", now=now(), ttl=timedelta(seconds=60))
        rows = postings_of(connection, due_postings(connection, "memory", [0], now=now(), limit=9))
        gate = IntentGate(OPTIONS, plan_number(connection, OPTIONS))
    return rows, lease, gate


def intent(row, gate=None, request="r-1"):
    at = now()
    change = Change(row.id, row.key, row.shard, row.state, SENDING, 1, attempts=1, sent_at=at)
    return Work([change], [Attempt(row.id, request, "post", row.fingerprint, 1, at)], gate=gate)


def outcome(row):
    change = Change(row.id, row.key, row.shard, SENDING, POSTED, 1, erp_id="E1", outcome="created", message="ü")
    return Work([change], closed=[AttemptEnd(row.id, "r-1", now(), "created", '{"status":201}')])


def committing(ops, held, tell=None):
    return GroupCommitter(ops, held=lambda: held, tell=tell, actor="t", clock=now)


def hired(ops, work, held, tell=None):
    """Run ``work(committer, process)`` with a process that is ready; returns its result and the process's id."""

    async def inside():
        async with committing(ops, held, tell) as committer:
            committer.hire()
            process = await committer._hired
            return await work(committer, process), process._process.pid

    return asyncio.run(inside())


def is_gone(pid, seconds=15.0):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


def states(ops):
    with ops.read() as connection:
        assert audit.first_broken(connection) is None
        return connection.execute(select(posting.c.state).order_by(posting.c.event_time, posting.c.id)).scalars().all()


def test_what_the_process_writes_is_what_the_delivery_would_have_written(ops, planned):
    rows, lease, gate = planned

    async def work(committer, _):
        await asyncio.gather(*(committer.commit(intent(row, gate)) for row in rows))
        await asyncio.gather(*(committer.commit(outcome(row)) for row in rows))

    _, pid = hired(ops, work, {0: lease})
    assert is_gone(pid)
    assert states(ops) == ["posted"] * 3
    with ops.read() as connection:
        found = connection.execute(select(posting.c.erp_id, posting.c.message, posting.c.attempts)).all()
        assert {tuple(row) for row in found} == {("E1", "ü", 1)}
        ended = connection.execute(select(attempt.c.request_id, attempt.c.outcome, attempt.c.ended_at)).all()
        assert [row[:2] for row in ended] == [("r-1", "created")] * 3
        actions = connection.execute(text("SELECT action, actor FROM audit_entry ORDER BY seq")).all()
        assert [tuple(one) for one in actions[-6:]] == [("posting.sending", "t")] * 3 + [("posting.posted", "t")] * 3


def test_the_process_plans_what_follows_from_an_order_in_the_transaction_of_its_outcome(ops):
    line = {"line": "1", "sku": "A", "quantity": "1", "unit_price": "10.25", "amount": "10.25"}
    row = replace(order(1), payload={**order(1).payload, "lines": [line]})
    plan(ops, [row], touched=[], options=OPTIONS, build_id=None, actor="t", now=now())
    with ops.write() as connection:
        lease = leases.acquire(connection, "deliver:memory:0", "t", now=now(), ttl=timedelta(seconds=60))
        [due] = postings_of(connection, due_postings(connection, "memory", [0], now=now(), limit=9))
    billing = Billing("memory", 1, BillingPolicy()).of([row.entity_key])

    async def work(committer, _):
        await committer.commit(intent(due))
        await committer.commit(outcome(due)._replace(billing=billing))
        await committer.commit(Work(billing=billing))

    hired(ops, work, {0: lease})
    with ops.read() as connection:
        rows = connection.execute(select(posting.c.document_kind, posting.c.state, posting.c.amount)).all()
    assert [tuple(one) for one in rows] == [
        ("sales_order", "posted", Decimal("10.25")),
        ("invoice", "planned", Decimal("10.25")),
    ]


def test_nothing_is_billed_under_a_lease_that_is_lost(ops):
    lost = leases.Lease("deliver:memory:0", "t", 1, now())
    billing = Billing("memory", 1, BillingPolicy()).of([order(1).entity_key])

    async def work(committer, _):
        with pytest.raises(LeaseLostError):
            await committer.commit(Work(billing=billing))

    hired(ops, work, {0: lost})


def test_what_was_learnt_of_the_destination_is_told_here_and_in_the_transaction_of_its_outcome(ops, planned):
    rows, lease, gate = planned
    told, told_then = [], Signal(datetime(2026, 3, 1, tzinfo=UTC), answered=True)

    def tell(connection, signals):
        told.extend(signals)
        assert connection.execute(select(posting.c.state).where(posting.c.id == rows[0].id)).scalar() == "posted"

    async def work(committer, _):
        await committer.commit(intent(rows[0], gate))
        await committer.commit(outcome(rows[0])._replace(signals=[told_then]))

    hired(ops, work, {0: lease}, tell)
    assert told == [told_then]
    assert states(ops) == ["posted", "planned", "planned"]


def test_one_bad_item_spoils_no_other(ops, planned):
    rows, lease, _ = planned

    async def work(committer, _):
        taken = intent(rows[0])._replace(opened=[intent(rows[0]).opened[0]] * 2)  # one request id twice
        works = [taken, intent(rows[1]), intent(rows[2])]
        return await asyncio.gather(*(committer.commit(one) for one in works), return_exceptions=True)

    (bad, *good), _ = hired(ops, work, {0: lease})
    assert isinstance(bad, DBAPIError)
    assert good == [None, None]
    assert states(ops) == ["planned", "sending", "sending"]


def test_nothing_is_written_under_a_lost_lease(ops, planned):
    rows, lease, _ = planned
    with ops.write() as connection:
        assert leases.acquire(connection, lease.name, "other", now=now() + timedelta(hours=1), ttl=timedelta(hours=1))

    async def work(committer, _):
        with pytest.raises(LeaseLostError):
            await committer.commit(intent(rows[0]))

    hired(ops, work, {0: lease})
    assert states(ops) == ["planned"] * 3


@pytest.mark.parametrize(("close", "error"), [("pause", GateError), ("plan", PlanChangedError)])
def test_no_intent_is_written_once_its_gate_has_closed(ops, planned, close, error):
    rows, lease, gate = planned
    if close == "pause":
        with ops.write() as connection:
            pause(connection, Scope("memory"), actor="t", reason="", now=now())
    else:
        plan(ops, [order(9)], touched=[], options=OPTIONS, build_id=None, actor="t", now=now())

    async def work(committer, _):
        with pytest.raises(error):
            await committer.commit(intent(rows[0], gate))

    hired(ops, work, {0: lease})
    assert "sending" not in states(ops)


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_a_process_that_dies_is_said_and_nothing_hangs(ops, planned):
    rows, lease, _ = planned

    async def work(committer, process):
        process._process.send_signal(signal.SIGKILL)
        with pytest.raises(MeshlineError, match="process that writes the ledger has ended"):
            await committer.commit(intent(rows[0]))

    hired(ops, work, {0: lease})
    assert states(ops) == ["planned"] * 3


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_a_process_that_cannot_start_is_said(ops, planned, monkeypatch):
    rows, lease, _ = planned
    monkeypatch.setattr(type(ops), "reopener", lambda _: _no_store)

    async def work():
        async with committing(ops, {0: lease}) as committer:
            committer.hire()
            await asyncio.wait([committer._hired])
            with pytest.raises(MeshlineError, match="process that writes the ledger has ended"):
                await committer.commit(intent(rows[0]))

    asyncio.run(work())


_no_store = time.sleep
"""Called without an argument it raises, as a store does that cannot be opened."""


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_a_delivery_that_ends_while_the_process_starts_leaves_none_behind(ops, monkeypatch):
    started, has_started = [], asyncio.Event()
    spawn = asyncio.create_subprocess_exec

    async def watched(*arguments, **options):
        started.append(await spawn(*arguments, **options))
        has_started.set()
        return started[-1]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", watched)

    async def work():
        async with committing(ops, {}) as committer:
            committer.hire()
            await has_started.wait()

    asyncio.run(work())
    assert is_gone(started[0].pid)


_PARENT = """
import asyncio, sys
from meshline_dagster.delivery.ledger_process import LedgerProcess
from meshline_dagster.store.engine import open_store

async def main():
    process = await LedgerProcess.start(open_store(sys.argv[1]), "t")
    print(process._process.pid, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_the_process_ends_when_its_parent_is_killed(store_url):
    parent = subprocess.Popen([sys.executable, "-c", _PARENT, store_url], stdout=subprocess.PIPE)
    child = int(parent.stdout.readline())
    assert not is_gone(child, seconds=0.1)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert is_gone(child)


def test_a_delivery_writes_a_large_pass_through_the_process(ops, monkeypatch):
    erp = erp_with_customer(ops)
    commit, write, written = GroupCommitter.commit, LedgerProcess.write, []

    async def once_ready(self, work):
        await asyncio.wait([self._hired])
        await commit(self, work)

    async def counted(self, works, *under):
        written.extend(works)
        return await write(self, works, *under)

    monkeypatch.setattr(GroupCommitter, "commit", once_ready)
    monkeypatch.setattr(LedgerProcess, "write", counted)
    monkeypatch.setattr(engine, "_WORTH_A_PROCESS", 50)
    plan(ops, [order(n) for n in range(50)], touched=[], options=OPTIONS, build_id=None, actor="t", now=now())
    report = asyncio.run(engine.deliver(ops, MemoryWriter(erp), OPTIONS, actor="t"))
    assert report.outcomes == {"created": 50}
    assert len(written) == 100
    assert states(ops) == ["posted"] * 51


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_a_small_pass_starts_no_process(ops, monkeypatch):
    erp = erp_with_customer(ops)
    monkeypatch.setattr(GroupCommitter, "hire", lambda _: pytest.fail("a process for three postings"))
    plan(ops, [order(n) for n in range(3)], touched=[], options=OPTIONS, build_id=None, actor="t", now=now())
    report = asyncio.run(engine.deliver(ops, MemoryWriter(erp), OPTIONS, actor="t"))
    assert report.outcomes == {"created": 3}
