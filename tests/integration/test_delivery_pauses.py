"""Pauses of a part of the work, at the writer: what is paused is left out, everything else goes on, and a pause counts at once."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from meshline_dagster.core.documents import DocumentKind
from meshline_dagster.core.errors import PausedError
from meshline_dagster.core.pauses import Scope
from meshline_dagster.delivery.engine import deliver
from meshline_dagster.store.pauses import pause, resume
from meshline_dagster.store.tables import attempt
from meshline_dagster.testing.memory_erp import MemoryErp, MemoryWriter
from tests.integration.test_delivery_engine import CUSTOMER, OPTIONS, customer, order, plan_rows, run, states

OTHER = "crm/account/2"
QUICK = replace(OPTIONS, patience=1.0)


def of(row, *, customer_key=CUSTOMER, selling_entity="main"):
    """An outbox row as the warehouse publishes it."""
    if row.document_kind is DocumentKind.CUSTOMER:
        code = row.external_id if customer_key == CUSTOMER else "other"
        event = row.event_id if customer_key == CUSTOMER else "d" * 64
        payload = {**row.payload, "code": code}
        return replace(
            row,
            entity_key=customer_key,
            customer_key=customer_key,
            external_id=code,
            event_id=event,
            payload=payload,
        )
    depends = (customer_key,) if row.depends_on else ()
    payload = row.payload if customer_key == CUSTOMER else {**row.payload, "customer": "other"}
    return replace(row, customer_key=customer_key, depends_on=depends, selling_entity=selling_entity, payload=payload)


def stop(ops, scope):
    with ops.write() as connection:
        pause(connection, scope, actor="cli:controller", reason="dispute", now=datetime.now(UTC))


def go(ops, scope):
    with ops.write() as connection:
        assert resume(connection, scope, actor="cli:controller", now=datetime.now(UTC))


def orders_of(erp):
    return sorted(
        document.payload["order_number"] for document in erp.writes if document.kind is DocumentKind.SALES_ORDER
    )


@pytest.mark.parametrize("name", ["2", OTHER])
def test_a_paused_customer_and_its_orders_wait_and_everything_else_is_posted(ops, name):
    rows = [of(customer()), of(customer(), customer_key=OTHER), of(order(1)), of(order(2), customer_key=OTHER)]
    plan_rows(ops, rows)
    stop(ops, Scope(customer=name))
    erp = MemoryErp()
    assert run(ops, MemoryWriter(erp), QUICK).outcomes == {"created": 2}
    assert orders_of(erp) == ["1"]
    go(ops, Scope(customer=name))
    assert run(ops, MemoryWriter(erp), QUICK).outcomes == {"created": 2}
    assert orders_of(erp) == ["1", "2"]


def test_a_cancellation_of_a_paused_customers_order_waits_too(ops):
    erp = MemoryErp()
    plan_rows(ops, [of(customer()), of(order(1))])
    run(ops, MemoryWriter(erp), QUICK)
    gone = replace(of(order(1, version=2, status="cancelled")), depends_on=())
    plan_rows(ops, [of(order(1)), gone])
    stop(ops, Scope(customer="1"))
    assert run(ops, MemoryWriter(erp), QUICK).outcomes == {}
    go(ops, Scope(customer="1"))
    assert run(ops, MemoryWriter(erp), QUICK).outcomes == {"updated": 1}


def test_a_paused_selling_entity_waits_while_others_and_customers_are_posted(ops):
    plan_rows(ops, [of(customer()), of(order(1), selling_entity="de"), of(order(2), selling_entity="us")])
    stop(ops, Scope("memory", selling_entity="de"))
    stop(ops, Scope("elsewhere", selling_entity="us"))
    erp = MemoryErp()
    report = run(ops, MemoryWriter(erp), QUICK)
    assert (report.outcomes, report.waiting) == ({"created": 2}, 0)
    assert orders_of(erp) == ["2"]


def test_a_pause_of_everything_refuses_and_is_told_from_other_gates(ops):
    plan_rows(ops, [of(customer())])
    stop(ops, Scope("memory"))
    with pytest.raises(PausedError, match=r"memory is paused by cli:controller .*dispute"):
        run(ops, MemoryWriter(MemoryErp()))


@pytest.mark.parametrize("scope", [Scope(), Scope(selling_entity="main"), Scope(customer="1")])
def test_a_pause_in_the_middle_of_a_pass_stops_the_next_request_within_a_second(ops, scope):
    plan_rows(ops, [of(customer())] + [of(order(n)) for n in range(40)])
    paused_at = []

    async def paused_at_the_third(document):
        if len(erp.writes) == 3 and not paused_at:
            await asyncio.to_thread(stop, ops, scope)
            paused_at.append(asyncio.get_running_loop().time())

    late = []
    erp = MemoryErp(faults=paused_at_the_third, latency=0.1)

    class Watched(MemoryWriter):
        async def post(self, documents):
            if paused_at and asyncio.get_running_loop().time() > paused_at[0] + 1.0:
                late.extend(documents)
            return await super().post(documents)

    try:
        asyncio.run(deliver(ops, Watched(erp, slots=1), QUICK, actor="run-1"))
    except PausedError:
        assert scope.is_whole
    assert late == []
    assert len(erp.writes) < 20
    counted = states(ops)
    assert counted["posted"] == len(erp.writes)
    assert counted["planned"] + counted.get("retry_due", 0) == 41 - len(erp.writes)
    with ops.read() as connection:
        rows = connection.execute(select(attempt)).all()
    taken_back = [row for row in rows if row.outcome == "not_sent"]
    assert taken_back or scope.is_whole  # a pause of everything is met by the intent already
    assert len(rows) - len(taken_back) == len(erp.writes)
    go(ops, scope)
    run(ops, MemoryWriter(erp), OPTIONS)
    assert states(ops) == {"posted": 41}
