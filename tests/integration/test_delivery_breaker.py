"""The circuit breaker at the writer: shared by all runs, one alert for an outage, one probe at a time, recovery by itself."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from meshline_dagster.core.breaker import Breaker, BreakerState, probing
from meshline_dagster.core.documents import DocumentKind
from meshline_dagster.delivery.engine import deliver
from meshline_dagster.store import audit
from meshline_dagster.store.breakers import breaker_of, save_breaker
from meshline_dagster.store.exceptions import exceptions
from meshline_dagster.store.tables import attempt, posting
from meshline_dagster.testing.memory_erp import Fault, MemoryErp, MemoryWriter
from tests.integration.test_delivery_engine import OPTIONS, customer, order, plan_rows, states
from tests.integration.test_delivery_engine import run as run_now

SOON = replace(OPTIONS, patience=0.0, failures=3)


def run(*args, **options):
    """A delivery whose pauses are never so short that it repeats a request by itself at once."""
    return run_now(*args, jitter=lambda: 0.9, **options)


class Clock:
    """Now, and what is added to it."""

    def __init__(self):
        self.ahead = timedelta(0)

    def __call__(self):
        return datetime.now(UTC) + self.ahead

    def pass_by(self, **length):
        self.ahead += timedelta(**length)


def outage(ops):
    with ops.read() as connection:
        return [one for one in exceptions(connection, only_open=False) if one.code == "destination_unavailable"]


def breaker(ops):
    with ops.read() as connection:
        return breaker_of(connection, "memory")


def requests(ops):
    with ops.read() as connection:
        return len(connection.execute(select(attempt.c.id)).all())


def break_it(ops, clock, erp):
    """Three runs of one request each meet nothing."""
    erp.faults = lambda _: Fault.UNREACHABLE
    for number in range(3):
        run(ops, MemoryWriter(erp), SOON, actor=f"fails-{number}", clock=clock)
        clock.pass_by(minutes=1)
    assert breaker(ops).state is BreakerState.OPEN


def test_failures_of_several_runs_add_up_to_one_outage_with_one_exception(ops):
    plan_rows(ops, [customer(), order(1)])
    clock, erp = Clock(), MemoryErp(faults=lambda _: Fault.UNREACHABLE)
    for number in range(2):
        assert not run(ops, MemoryWriter(erp), SOON, actor=f"run-{number}", clock=clock).outage
        assert outage(ops) == []
        clock.pass_by(minutes=1)
    report = run(ops, MemoryWriter(erp), SOON, actor="run-3", clock=clock)
    assert (report.outage, report.waiting) == (True, 1)
    [item] = outage(ops)
    assert (item.priority, item.status, item.detail) == ("P1", "open", "unreachable")


def test_while_it_is_open_no_run_asks_anything_and_the_work_stays_queued(ops):
    plan_rows(ops, [customer(), order(1)])
    clock, erp = Clock(), MemoryErp()
    break_it(ops, clock, erp)
    with ops.write() as connection:
        save_breaker(
            connection, "memory", replace(breaker_of(connection, "memory"), retry_at=clock() + timedelta(hours=1))
        )
    asked, erp.faults = requests(ops), lambda _: None

    class Untouched(MemoryWriter):
        async def open(self):
            raise AssertionError("the destination was asked")

    report = run(ops, Untouched(erp), SOON, clock=clock)
    assert (report.outage, report.waiting, requests(ops)) == (True, 1, asked)
    assert states(ops) == {"planned": 1, "retry_due": 1}


def test_a_probe_that_fails_uses_no_attempt_up_and_raises_no_second_alert(ops):
    plan_rows(ops, [customer(), order(1)])
    clock, erp = Clock(), MemoryErp()
    break_it(ops, clock, erp)
    [first] = outage(ops)
    for number in range(20):
        clock.pass_by(minutes=10)
        before = requests(ops)
        assert run(ops, MemoryWriter(erp), SOON, actor=f"probe-{number}", clock=clock).outage
        assert requests(ops) == before + 1
    assert outage(ops) == [first]
    assert breaker(ops).trips == 21
    with ops.read() as connection:
        assert set(connection.execute(select(posting.c.attempts)).scalars()) == {0, 3}
        assert audit.first_broken(connection) is None


def test_the_first_answer_closes_it_resolves_the_exception_and_the_run_goes_on(ops):
    plan_rows(ops, [customer()] + [order(n) for n in range(5)])
    clock, erp = Clock(), MemoryErp()
    break_it(ops, clock, erp)
    erp.faults = lambda _: None
    clock.pass_by(minutes=10)
    assert run(ops, MemoryWriter(erp), OPTIONS, actor="back", clock=clock).outcomes == {"created": 6}
    [item] = outage(ops)
    assert item.status == "resolved"
    assert item.resolution.startswith("memory answers again after 0:1")
    assert breaker(ops).state is BreakerState.CLOSED
    with ops.read() as connection:
        actions = connection.exec_driver_sql("select action from audit_entry order by seq").scalars().all()
    assert [one for one in actions if one.startswith("breaker")] == ["breaker.open", "breaker.closed"]


def test_of_several_runs_only_one_probes_and_with_one_request(ops):
    plan_rows(ops, [customer(), order(1)])
    clock, erp = Clock(), MemoryErp()
    run(ops, MemoryWriter(erp), OPTIONS, clock=clock)
    plan_rows(ops, [order(n) for n in range(2, 30)])
    break_it(ops, clock, erp)
    clock.pass_by(minutes=10)
    before, erp.latency = requests(ops), 0.05

    async def all_at_once():
        calls = [deliver(ops, MemoryWriter(erp), SOON, actor=f"run-{n}", clock=clock) for n in range(4)]
        return await asyncio.gather(*calls)

    assert all(report.outage for report in asyncio.run(all_at_once()))
    assert requests(ops) == before + 1


def test_a_prober_that_never_came_back_is_replaced(ops):
    plan_rows(ops, [customer()])
    clock, erp = Clock(), MemoryErp()
    break_it(ops, clock, erp)
    erp.faults = lambda _: None
    with ops.write() as connection:
        half = probing(breaker_of(connection, "memory"), "killed", now=clock(), seconds=60)
        save_breaker(connection, "memory", half)
    assert run(ops, MemoryWriter(erp), SOON, actor="other", clock=clock).outage
    clock.pass_by(minutes=2)
    assert run(ops, MemoryWriter(erp), SOON, actor="other", clock=clock).outcomes == {"created": 1}


def test_a_destination_that_comes_back_while_nothing_waits_is_found_to_be_back(ops):
    with ops.write() as connection:
        save_breaker(connection, "memory", Breaker(BreakerState.OPEN, trips=1, retry_at=datetime.now(UTC)))
    assert not run(ops, MemoryWriter(MemoryErp()), SOON).outage
    assert breaker(ops).state is BreakerState.CLOSED


def test_an_outage_that_another_run_finds_stops_this_one_within_a_second(ops):
    plan_rows(ops, [customer()] + [order(n) for n in range(60)])

    def open_it():
        """By a clock that is a minute ahead, so that every answer to come is one to a request from before the outage."""
        now = datetime.now(UTC)
        opened = Breaker(
            BreakerState.OPEN, trips=1, opened_at=now + timedelta(minutes=1), retry_at=now + timedelta(hours=1)
        )
        with ops.write() as connection:
            save_breaker(connection, "memory", opened)

    async def another_finds_it(document):
        if len(erp.writes) == 5:
            await asyncio.to_thread(open_it)

    erp = MemoryErp(faults=another_finds_it, latency=0.05)
    report = run(ops, MemoryWriter(erp, slots=1), OPTIONS)
    assert report.outage
    assert len(erp.writes) < 30
    assert states(ops)["posted"] == len(erp.writes)
    assert breaker(ops).state is BreakerState.OPEN


@pytest.mark.parametrize("fault", [Fault.LOST_REQUEST, Fault.BUSY])
def test_a_burst_of_parallel_failures_is_one_round_and_no_outage(ops, fault):
    seen = set()

    def once(document):
        fresh = document.key not in seen
        seen.add(document.key)
        return fault if fresh and document.kind is DocumentKind.SALES_ORDER else None

    erp = MemoryErp(faults=once, latency=0.05)
    plan_rows(ops, [customer()] + [order(n) for n in range(8)])
    report = run(ops, MemoryWriter(erp, slots=8), OPTIONS)
    assert not report.outage
    assert outage(ops) == []
    assert states(ops) == {"posted": 9}
