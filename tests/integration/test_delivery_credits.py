"""Credit notes count among what one run may take back of what the ERP holds."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from meshline_dagster.core.documents import DocumentKind
from meshline_dagster.core.followups import BillingPolicy, InvoiceTrigger
from meshline_dagster.core.reversals import Held, ReversalLimits
from meshline_dagster.governance.decisions import approve, reject
from meshline_dagster.store.approvals import approvals, waiting
from meshline_dagster.store.exceptions import exceptions
from meshline_dagster.store.milestones import Author, drop_milestone, plan_milestone, reach_milestone
from meshline_dagster.store.reversals import invoiced_by_erp
from meshline_dagster.testing.memory_erp import MemoryErp, MemoryWriter
from tests.integration.test_delivery_billing import BILLED, REBILLED, billed, kinds, post, run
from tests.integration.test_delivery_deliveries import AS_DELIVERED, heed
from tests.integration.test_delivery_engine import order
from tests.integration.test_delivery_milestones import BY_MILESTONES, percent

FEW = ReversalLimits(count=2)


def amended(count):
    return [order(number, version=2, amount="7") for number in range(count)]


def cancelled(count):
    return [replace(order(n, version=2, status="cancelled"), operation="cancel") for n in range(count)]


def invoiced(store, erp, options, count=3):
    rows = [order(number) for number in range(count)]
    post(store, erp, rows, options)
    return rows


def decide(store, how):
    with store.write() as connection:
        [asked] = approvals(connection)
        found = waiting(connection, asked)
        how(connection, asked, actor="cli:ben", reason="looked", now=datetime.now(UTC))
    return [row.document_kind.value for row in found]


def too_many(store):
    with store.read() as connection:
        return [one for one in exceptions(connection) if one.code == "too_many_reversals"]


@pytest.mark.parametrize("policy", [BILLED, REBILLED], ids=["amend_in_place", "credit_and_rebill"])
def test_more_credit_notes_than_one_run_may_make_wait_with_what_follows_until_somebody_approves(ops, policy):
    options, erp = replace(policy, reversals=FEW), MemoryErp()
    rows = invoiced(ops, erp, options)
    post(ops, erp, [*rows, *amended(3)], options)
    assert set(billed(erp).values()) == {Decimal(10)}
    [item] = too_many(ops)
    assert (item.priority, item.amount, item.currency) == ("P1", Decimal(30), "USD")
    assert "3 reversals, 2 are allowed" in item.detail
    assert run(ops, MemoryWriter(erp), options).outcomes == {}
    assert sorted(decide(ops, approve)) == ["credit_note"] * 3 + ["invoice"] * 3
    run(ops, MemoryWriter(erp), options)
    assert set(billed(erp).values()) == {Decimal(7)}
    assert too_many(ops) == []


def test_what_one_run_may_credit_needs_no_approval(ops):
    options, erp = replace(BILLED, reversals=FEW), MemoryErp()
    rows = invoiced(ops, erp, options)
    post(ops, erp, [*rows, *amended(2)], options)
    assert billed(erp) == {"0": Decimal(7), "1": Decimal(7), "2": Decimal(10)}


def test_credit_notes_that_are_refused_take_the_new_invoices_with_them(ops):
    options, erp = replace(BILLED, reversals=FEW), MemoryErp()
    rows = invoiced(ops, erp, options)
    post(ops, erp, [*rows, *amended(3)], options)
    decide(ops, reject)
    assert run(ops, MemoryWriter(erp), options).outcomes == {}
    assert set(billed(erp).values()) == {Decimal(10)}


def test_the_credit_note_of_a_cancellation_is_counted_with_it_and_not_once_more(ops):
    options, erp = replace(BILLED, reversals=FEW), MemoryErp()
    rows = invoiced(ops, erp, options)
    post(ops, erp, [*rows, *cancelled(2)], options)
    assert billed(erp) == {"0": Decimal(0), "1": Decimal(0), "2": Decimal(10)}
    assert too_many(ops) == []


def test_a_first_load_credits_what_it_has_invoiced_itself(ops):
    options, erp = replace(BILLED, reversals=FEW), MemoryErp()
    post(ops, erp, [*(order(number) for number in range(3)), *amended(3)], options)
    assert set(billed(erp).values()) == {Decimal(7)}
    assert kinds(erp).count("credit_note") == 3


def test_the_share_of_credit_notes_is_that_of_what_is_invoiced_however_many_orders_are_open(ops):
    """Ten of ten invoices are all of them, though forty more orders are open that are not invoiced yet."""
    starts = datetime.now(UTC).date() + timedelta(days=10)
    by_start = replace(BILLED, billing=BillingPolicy(trigger=InvoiceTrigger.START))
    options, erp = replace(by_start, reversals=ReversalLimits(share=Decimal("0.2"))), MemoryErp()
    waiting = []
    for number in range(10, 50):
        row = order(number)
        line = {**row.payload["lines"][0], "start": starts.isoformat()}
        waiting.append(replace(row, payload={**row.payload, "lines": [line]}))
    rows = invoiced(ops, erp, options, count=10)
    post(ops, erp, [*rows, *waiting], options)
    post(ops, erp, [*rows, *waiting, *amended(10)], options)
    [item] = too_many(ops)
    assert "10 credit notes of 10 invoiced documents, 20.0% are allowed" in item.detail
    assert set(billed(erp).values()) == {Decimal(10)}


def test_what_is_invoiced_is_what_was_not_credited(ops):
    options, erp = REBILLED, MemoryErp()
    rows = invoiced(ops, erp, options)
    changed = [*amended(1), replace(order(1, version=2, status="cancelled"), operation="cancel")]
    post(ops, erp, [*rows, *changed], options)
    with ops.read() as connection:
        assert invoiced_by_erp(connection, "memory") == Held(2, {"USD": Decimal(17)})


def told(store, erp, options, count, quantity):
    """The ERP says of each order that so much of it is delivered, and a delivery runs."""
    for number in range(count):
        row = order(number)
        erp.deliver(row.external_id, row.payload["lines"][0]["sku"], Decimal(quantity))
    heed(store, options, erp.documents[DocumentKind.SALES_ORDER], now=datetime.now(UTC))
    run(store, MemoryWriter(erp), options)


def test_credit_notes_of_deliveries_that_came_back_count_too(ops):
    """As when an ERP forgets what it has delivered."""
    options, erp = replace(AS_DELIVERED, reversals=FEW), MemoryErp()
    post(ops, erp, [order(number) for number in range(3)], options)
    told(ops, erp, options, 3, 1)
    assert set(billed(erp).values()) == {Decimal(10)}
    told(ops, erp, options, 2, 0)
    assert sorted(billed(erp).values()) == [Decimal(0), Decimal(0), Decimal(10)]
    told(ops, erp, options, 2, 1)
    told(ops, erp, options, 3, 0)
    assert set(billed(erp).values()) == {Decimal(10)}
    assert "3 reversals, 2 are allowed" in too_many(ops)[0].detail
    assert decide(ops, approve) == ["credit_note"] * 3
    run(ops, MemoryWriter(erp), options)
    assert set(billed(erp).values()) == {Decimal(0)}


def test_credit_notes_of_milestones_that_are_dropped_count_too(ops):
    options, erp = replace(BY_MILESTONES, reversals=FEW), MemoryErp()
    rows = [order(number) for number in range(3)]
    post(ops, erp, rows, options)

    def decided(*steps):
        with ops.write() as connection:
            for row in rows:
                for what, *how in steps:
                    what(connection, row.entity_key, *how, Author("finance", "as signed", datetime.now(UTC)))
        run(ops, MemoryWriter(erp), options)

    decided((plan_milestone, percent("all", "100")), (reach_milestone, "all", datetime.now(UTC).date()))
    assert set(billed(erp).values()) == {Decimal(10)}
    decided((drop_milestone, "all"), (plan_milestone, percent("later", "100")))
    assert set(billed(erp).values()) == {Decimal(10)}
    assert "3 reversals, 2 are allowed" in too_many(ops)[0].detail
