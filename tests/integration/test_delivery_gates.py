"""What keeps a delivery from sending anything: verdicts, pauses, the cut-over date, the pinned company."""

import asyncio
from datetime import UTC, datetime

import pytest

from meshline_dagster.core.documents import DocumentKind
from meshline_dagster.core.errors import GateError
from meshline_dagster.core.pauses import Scope
from meshline_dagster.delivery.options import DeliveryOptions, Mode
from meshline_dagster.store.pauses import pause
from meshline_dagster.store.verdicts import record_verdict
from meshline_dagster.testing.memory_erp import MemoryErp, MemoryWriter
from tests.integration.test_delivery_engine import START, customer, order, pause_now, plan_rows, run


def test_the_writer_refuses_while_a_verdict_stands_failed_and_says_which(ops):
    with ops.write() as connection:
        record_verdict(
            connection,
            "outbox",
            "unique_ids",
            passed=False,
            detail="3 ids twice",
            build_id=None,
            now=datetime.now(UTC),
        )
    with pytest.raises(GateError, match="outbox / unique_ids: 3 ids twice"):
        run(ops, MemoryWriter(MemoryErp()))


def test_a_paused_destination_is_refused_and_the_refusal_names_who_paused_it(ops):
    plan_rows(ops, [customer(), order(1)])
    with ops.write() as connection:
        pause(connection, Scope("memory"), actor="cli:controller", reason="month end", now=START)
    erp = MemoryErp()
    with pytest.raises(GateError, match=r"paused by cli:controller .*month end"):
        run(ops, MemoryWriter(erp))
    assert erp.writes == []


def test_a_pause_in_the_middle_of_a_delivery_stops_it_before_the_next_pass(ops):
    plan_rows(ops, [customer(), order(1)])

    async def paused_while_the_customer_is_posted(document):
        await asyncio.to_thread(pause_now, ops, Scope())

    erp = MemoryErp(faults=paused_while_the_customer_is_posted)
    with pytest.raises(GateError, match="paused"):
        run(ops, MemoryWriter(erp))
    assert [document.kind for document in erp.writes] == [DocumentKind.CUSTOMER]


def test_live_outside_a_sandbox_needs_a_cutover_date(ops):
    options = DeliveryOptions(destination="memory", company="1", mode=Mode.LIVE)
    with pytest.raises(GateError, match="effective_from"):
        run(ops, MemoryWriter(MemoryErp()), options)


def test_another_company_than_the_pinned_one_is_refused(ops):
    options = DeliveryOptions(destination="memory", company="2", mode=Mode.LIVE, sandbox=True)
    with pytest.raises(GateError, match="pinned to '2'"):
        run(ops, MemoryWriter(MemoryErp()), options)


def test_a_pause_in_the_middle_of_a_pass_lets_no_further_request_out(ops):
    plan_rows(ops, [customer()] + [order(n) for n in range(30)])

    async def paused_at_the_third(document):
        if len(erp.writes) == 3:
            await asyncio.to_thread(pause_now, ops, Scope("memory"))

    erp = MemoryErp(faults=paused_at_the_third, latency=0.02)
    with pytest.raises(GateError, match="paused"):
        run(ops, MemoryWriter(erp, slots=1))
    assert len(erp.writes) < 8
