"""What waits behind a dead posting is told; and unsent states of one order may be coalesced, where the policy says so."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from meshline_dagster.core.backlog import BacklogLimits
from meshline_dagster.core.documents import DocumentKind
from meshline_dagster.orchestration.settings import RestDestination, SalesforceSource, SyncSettings
from meshline_dagster.store.exceptions import exceptions
from meshline_dagster.testing.memory_erp import Fault, MemoryErp, MemoryWriter
from tests.integration.test_delivery_engine import CUSTOMER, OPTIONS, customer, order, plan_rows, run, states

COALESCE = replace(OPTIONS, coalesce=True)
ONCE = replace(OPTIONS, patience=0.0, max_attempts=1)


def details(ops):
    with ops.read() as connection:
        return {item.entity_key: item.detail for item in exceptions(connection) if item.origin == "delivery"}


def causes(ops):
    with ops.read() as connection:
        rows = connection.exec_driver_sql("select event_id, state, cause from posting order by event_id").all()
    return [(row.event_id[-1], row.state, row.cause) for row in rows if row.event_id[0] == "0"]


def test_the_exception_of_a_dead_order_says_what_waits_behind_it_and_keeps_up(ops):
    erp = MemoryErp()
    plan_rows(ops, [customer(), order(2)])
    run(ops, MemoryWriter(erp))
    erp.faults = lambda document: Fault.BUSY if document.payload["order_number"] == "1" else None
    first = order(1)
    plan_rows(ops, [first])
    run(ops, MemoryWriter(erp), ONCE)
    key = first.entity_key
    assert details(ops) == {key: "busy"}
    plan_rows(ops, [first, order(1, version=2, amount="25")])
    assert details(ops) == {key: "busy\nBehind it 1 event waits, worth 25 USD."}
    plan_rows(ops, [first, order(1, version=2, amount="25"), order(1, version=3, amount="40")])
    assert details(ops) == {key: "busy\nBehind it 2 events wait, worth 40 USD."}
    plan_rows(ops, [first, order(1, version=3, amount="40")])
    assert details(ops) == {key: "busy\nBehind it 1 event waits, worth 40 USD."}
    run(ops, MemoryWriter(erp), ONCE)
    assert details(ops) == {key: "busy\nBehind it 1 event waits, worth 40 USD."}
    plan_rows(ops, [first])
    assert details(ops) == {key: "busy"}


def test_the_exception_of_a_dead_customer_says_which_orders_wait_for_it(ops):
    erp = MemoryErp(faults=lambda document: Fault.BUSY if document.kind is DocumentKind.CUSTOMER else None)
    other = replace(order(3, amount="7"), depends_on=("crm/account/9",))
    plan_rows(ops, [customer(), order(1), order(1, version=2, amount="30"), order(2), other])
    run(ops, MemoryWriter(erp), ONCE)
    assert details(ops) == {CUSTOMER: "busy\nBehind it 3 events wait, worth 40 USD."}


def test_only_the_newest_unsent_state_is_sent_where_the_policy_says_so(ops):
    rows = [customer(), order(1), order(1, version=2, amount="20"), order(1, version=3, amount="30"), order(2)]
    plan_rows(ops, rows)
    erp = MemoryErp()
    assert run(ops, MemoryWriter(erp), COALESCE).outcomes == {"coalesced": 2, "created": 3}
    assert [
        document.payload.get("amount") for document in erp.writes if document.payload.get("order_number") == "1"
    ] == ["30"]
    assert causes(ops) == [
        ("1", "superseded", "coalesced"),
        ("2", "superseded", "coalesced"),
        ("3", "posted", "derived"),
        ("1", "posted", "derived"),
    ]
    assert plan_rows(ops, rows).planned == 0  # what was left out is not planned again
    assert run(ops, MemoryWriter(erp), COALESCE).outcomes == {}


def test_by_default_every_state_is_sent(ops):
    plan_rows(ops, [customer(), order(1), order(1, version=2, amount="20")])
    assert run(ops, MemoryWriter(MemoryErp())).outcomes == {"created": 2, "updated": 1}
    settings = SyncSettings(sources=(SalesforceSource(),), destination=RestDestination(), origin="2026-01-01")
    assert settings.delivery().coalesce is False
    told = SyncSettings(**{**settings.model_dump(), "policy": {"coalesce": True}})
    assert told.delivery().coalesce is True


def test_a_state_that_may_have_reached_the_erp_is_never_left_out(ops):
    erp = MemoryErp()
    plan_rows(ops, [customer(), order(1)])
    erp.faults = lambda document: Fault.LOST_ANSWER if document.kind is DocumentKind.SALES_ORDER else None
    run(ops, MemoryWriter(erp), replace(OPTIONS, patience=0.0))
    assert states(ops) == {"posted": 1, "unknown": 1}
    erp.faults = lambda _: None
    plan_rows(ops, [order(1), order(1, version=2, amount="20"), order(1, version=3, amount="30")])
    assert run(ops, MemoryWriter(erp), COALESCE).outcomes == {"coalesced": 1, "exists": 1, "updated": 1}
    assert [row[1] for row in causes(ops)] == ["posted", "superseded", "posted"]


def test_an_order_that_was_created_and_cancelled_unsent_is_not_sent_at_all(ops):
    plan_rows(ops, [customer(), order(1), replace(order(1, version=2, status="cancelled"), depends_on=())])
    erp = MemoryErp()
    assert run(ops, MemoryWriter(erp), COALESCE).outcomes == {"coalesced": 1, "created": 1, "nothing_to_cancel": 1}
    assert DocumentKind.SALES_ORDER not in erp.documents


def test_customers_are_never_coalesced_and_nothing_makes_room_for_a_state_that_waits_itself(ops):
    older = replace(customer(), event_id="b" * 64, event_time=customer().event_time - timedelta(days=1))
    plan_rows(ops, [older, customer()])
    assert "coalesced" not in run(ops, MemoryWriter(MemoryErp()), COALESCE).outcomes
    plan_rows(ops, [order(1)])
    erp = MemoryErp(faults=lambda _: Fault.BUSY)
    run(ops, MemoryWriter(erp), replace(COALESCE, patience=0.0))
    from meshline_dagster.store.backlogs import release

    with ops.write() as connection:
        release(connection, "memory", actor="a", reason="r", now=datetime.now(UTC))
    plan_rows(ops, [order(1), order(1, version=2, amount="20"), *(order(n) for n in range(2, 9))])
    held = replace(COALESCE, patience=2.0, backlog=BacklogLimits(count=3))
    erp.faults = lambda _: None
    assert "coalesced" not in run(ops, MemoryWriter(erp), held).outcomes


@pytest.mark.parametrize("coalesce", [False, True])
def test_either_way_the_erp_ends_in_the_newest_state(ops, coalesce):
    erp = MemoryErp()
    options = replace(OPTIONS, coalesce=coalesce)
    rows = [customer()]
    for version in range(1, 6):
        rows.append(order(1, version=version, amount=str(version)))
        plan_rows(ops, rows)
        if version % 2:
            run(ops, MemoryWriter(erp), options)
    [document] = erp.of(DocumentKind.SALES_ORDER, order(1).external_id)
    assert str(document.amount) == "5"
