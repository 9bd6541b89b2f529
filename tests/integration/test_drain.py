"""When the drain wants a run of the writer: when something is due that nothing but time held back, and at no other time."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from meshline_dagster.core.breaker import Breaker, BreakerState, probing
from meshline_dagster.core.pauses import Freeze, Scope
from meshline_dagster.delivery.options import Mode
from meshline_dagster.orchestration.drain_sensor import why_drain
from meshline_dagster.orchestration.writer import drain_options
from meshline_dagster.store.breakers import save_breaker
from meshline_dagster.store.pauses import pause, resume
from meshline_dagster.store.verdicts import record_verdict
from meshline_dagster.testing.memory_erp import Fault, MemoryErp, MemoryWriter
from tests.integration.test_delivery_engine import OPTIONS, customer, order, plan_rows, run, states
from tests.integration.test_delivery_pauses import of

ROWS = [of(customer()), of(order(1))]
QUICK = replace(OPTIONS, patience=0.0)


def due(ops, *, after=timedelta(0), options=OPTIONS):
    return why_drain(ops, options, now=datetime.now(UTC) + after)


def test_nothing_is_due_in_an_empty_or_a_settled_ledger(ops):
    assert due(ops) == (False, "nothing is due")
    plan_rows(ops, ROWS)
    assert due(ops) == (True, "postings are due")
    assert due(ops, options=replace(OPTIONS, mode=Mode.SHADOW)) == (False, "the sync is not live")
    run(ops, MemoryWriter(MemoryErp()))
    assert due(ops) == (False, "nothing is due")


@pytest.mark.parametrize("fault", [Fault.BUSY, Fault.LOST_ANSWER])
def test_a_retry_or_an_unknown_outcome_is_due_when_its_time_has_come(ops, fault):
    plan_rows(ops, ROWS)
    run(ops, MemoryWriter(MemoryErp(faults=lambda _: fault)), QUICK)
    assert due(ops, after=timedelta(seconds=-10))[1] == "what is due waits for something else than its time"
    assert due(ops, after=timedelta(minutes=6)) == (True, "postings are due")


def test_what_waits_for_an_operator_asks_for_no_run_until_he_has_decided(ops):
    plan_rows(ops, ROWS)
    run(ops, MemoryWriter(MemoryErp(skus=frozenset())), QUICK)
    plan_rows(ops, [*ROWS, of(order(2))])
    scope = Scope(customer="1")
    with ops.write() as connection:
        pause(connection, scope, actor="a", reason="", now=datetime.now(UTC))
    assert due(ops) == (False, "what is due waits for something else than its time")
    with ops.write() as connection:
        resume(connection, scope, actor="a", now=datetime.now(UTC))
    assert due(ops)[0]
    with ops.write() as connection:
        pause(connection, Scope(), actor="a", reason="", now=datetime.now(UTC))
    assert due(ops)[1].startswith("posting to all is paused by a")


def test_a_freeze_and_a_failed_verdict_ask_for_no_run(ops):
    plan_rows(ops, ROWS)
    now = datetime.now(UTC)
    frozen = replace(OPTIONS, freezes=(Freeze(now - timedelta(hours=1), now + timedelta(hours=1)),))
    assert "the close calendar" in due(ops, options=frozen)[1]
    assert due(ops, options=frozen, after=timedelta(hours=2))[0]
    with ops.write() as connection:
        record_verdict(connection, "outbox", "contract", passed=False, detail="d", build_id=None, now=now)
    assert due(ops)[1].startswith("the writer refuses")


def test_during_an_outage_a_run_is_wanted_when_the_destination_may_be_probed(ops):
    plan_rows(ops, ROWS)
    now = datetime.now(UTC)
    breaker = Breaker(BreakerState.OPEN, trips=1, retry_at=now + timedelta(minutes=1))
    with ops.write() as connection:
        save_breaker(connection, "memory", breaker)
    assert due(ops) == (False, "the destination is given up for now")
    assert due(ops, after=timedelta(minutes=2)) == (True, "the destination may be probed")
    with ops.write() as connection:
        save_breaker(connection, "memory", probing(breaker, "other", now=now, seconds=600))
    assert not due(ops, after=timedelta(minutes=2))[0]


def test_a_drain_takes_a_bounded_batch_and_the_next_one_goes_on(ops):
    plan_rows(ops, [of(customer())] + [of(order(n)) for n in range(9)])
    erp = MemoryErp()
    batch = replace(drain_options(OPTIONS), at_most=4)
    assert run(ops, MemoryWriter(erp), batch).outcomes == {"created": 4}
    assert due(ops) == (True, "postings are due")
    for _ in range(2):
        run(ops, MemoryWriter(erp), batch)
    assert states(ops) == {"posted": 10}
