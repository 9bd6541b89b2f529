"""What is invoiced and credited when an order's state was settled by hand, or waits for somebody."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import select

from meshline_dagster.core.documents import DocumentKind
from meshline_dagster.core.errors import RefusedError
from meshline_dagster.core.followups import BillingPolicy, InvoiceTrigger
from meshline_dagster.delivery.by_hand import close, retry
from meshline_dagster.orchestration.drain_sensor import why_drain
from meshline_dagster.store.exceptions import Finding, exceptions, raise_exceptions, resolve
from meshline_dagster.store.held_orders import keep_held
from meshline_dagster.store.tables import posting
from meshline_dagster.testing.memory_erp import Fault, MemoryErp, MemoryWriter
from tests.integration.test_delivery_billing import BILLED, CREDIT_NOTE, REBILLED, RefusingErp, billed, kinds, post, run
from tests.integration.test_delivery_engine import OPTIONS, order, states


def starting(row, day):
    """The same order, whose line starts on this day."""
    line = {**row.payload["lines"][0], "start": day.isoformat()}
    return replace(row, payload={**row.payload, "lines": [line]})


def dead_keys(store):
    with store.read() as connection:
        return list(connection.execute(select(posting.c.key).where(posting.c.state == "dead")).scalars())


def settle_by_hand(store, **how):
    told = {"actor": "ops", "reason": "dealt with", "now": datetime.now(UTC)}
    with store.write() as connection:
        for key in dead_keys(store):
            close(connection, key, **{"erp_id": None, **how}, **told)


def busy_second_state(document):
    return Fault.BUSY if document.event_id.endswith("2") and document.kind is DocumentKind.SALES_ORDER else None


BY_START = replace(OPTIONS, billing=BillingPolicy(trigger=InvoiceTrigger.START), max_attempts=1)
IN_TEN_DAYS = timedelta(days=10)


def cancelled_in_vain(store, erp):
    """An order that starts in ten days, with a cancellation that died of a busy ERP."""
    now = datetime.now(UTC)
    first = starting(order(1), now.date() + IN_TEN_DAYS)
    gone = replace(starting(order(1, version=2, status="cancelled"), now.date() + IN_TEN_DAYS), operation="cancel")
    post(store, erp, [first], BY_START)
    erp.faults = busy_second_state
    post(store, erp, [first, gone], BY_START)
    erp.faults = lambda _: None
    return lambda: now + IN_TEN_DAYS


def test_an_order_whose_cancellation_somebody_made_by_hand_is_never_invoiced(ops):
    erp = MemoryErp()
    clock = cancelled_in_vain(ops, erp)
    settle_by_hand(ops)
    run(ops, MemoryWriter(erp), BY_START, clock=clock)
    assert billed(erp) == {}


def test_a_cancellation_that_is_closed_as_not_made_leaves_the_order_to_be_invoiced(ops):
    erp = MemoryErp()
    clock = cancelled_in_vain(ops, erp)
    settle_by_hand(ops, absent=True)
    run(ops, MemoryWriter(erp), BY_START, clock=clock)
    assert billed(erp) == {"1": Decimal(10)}


def test_what_was_invoiced_is_credited_when_somebody_has_cancelled_the_order_by_hand(ops):
    options, erp = replace(BILLED, max_attempts=1), MemoryErp()
    post(ops, erp, [order(1)], options)
    erp.faults = busy_second_state
    post(ops, erp, [order(1), replace(order(1, version=2, status="cancelled"), operation="cancel")], options)
    erp.faults = lambda _: None
    assert billed(erp) == {"1": Decimal(10)}
    settle_by_hand(ops)
    run(ops, MemoryWriter(erp), options)
    assert billed(erp) == {"1": Decimal(0)}
    assert run(ops, MemoryWriter(erp), options).outcomes == {}


def test_nothing_is_invoiced_on_its_day_while_a_newer_state_of_the_order_is_dead(ops):
    erp = MemoryErp()
    clock = cancelled_in_vain(ops, erp)
    assert run(ops, MemoryWriter(erp), BY_START, clock=clock).outcomes == {}
    assert states(ops) == {"posted": 2, "dead": 1}
    with ops.write() as connection:
        retry(connection, *dead_keys(ops), actor="ops", reason="it is well again", now=datetime.now(UTC))
    run(ops, MemoryWriter(erp), BY_START, clock=lambda: clock() + timedelta(minutes=1))
    assert billed(erp) == {}
    assert states(ops) == {"posted": 3}


def test_nothing_is_invoiced_while_rules_have_the_newest_state_in_review(ops):
    """It is asked for again every day, so that it goes out when somebody has decided."""
    now = datetime.now(UTC)
    erp, first = MemoryErp(), starting(order(1), now.date() + IN_TEN_DAYS)
    post(ops, erp, [first], BY_START)
    review = Finding(
        *("review", "disposition", "product_unmapped", "a product", "of the second state", "map it"),
        entity_key=first.entity_key,
    )
    with ops.write() as connection:
        raise_exceptions(connection, [review], now=now)
    run(ops, MemoryWriter(erp), BY_START, clock=lambda: now + IN_TEN_DAYS)
    assert billed(erp) == {}
    with ops.write() as connection:
        resolve(connection, ["review"], resolution="mapped", now=now)
    assert run(ops, MemoryWriter(erp), BY_START, clock=lambda: now + IN_TEN_DAYS).outcomes == {}
    run(ops, MemoryWriter(erp), BY_START, clock=lambda: now + IN_TEN_DAYS + timedelta(days=1))
    assert billed(erp) == {"1": Decimal(10)}


def test_nothing_is_invoiced_while_rules_hold_the_newest_state(ops):
    """Nobody is asked about it: it waits for something that arrives by itself, and may be the order's cancellation."""
    now = datetime.now(UTC)
    erp, rows = MemoryErp(), [starting(order(number), now.date() + IN_TEN_DAYS) for number in (1, 2)]
    post(ops, erp, rows, BY_START)
    with ops.write() as connection:
        keep_held(connection, [rows[0].entity_key, "crm/order/another"])
    run(ops, MemoryWriter(erp), BY_START, clock=lambda: now + IN_TEN_DAYS)
    assert billed(erp) == {"2": Decimal(10)}
    with ops.write() as connection:
        keep_held(connection, ["crm/order/another"])
    run(ops, MemoryWriter(erp), BY_START, clock=lambda: now + IN_TEN_DAYS + timedelta(days=1))
    assert billed(erp) == {"1": Decimal(10), "2": Decimal(10)}


def test_an_invoice_that_is_closed_as_not_made_is_planned_anew_at_once(ops):
    """Not only with the order's next state: it may have none."""
    options = replace(BILLED, max_attempts=1)
    erp = MemoryErp(faults=lambda document: Fault.BUSY if document.kind is DocumentKind.INVOICE else None)
    post(ops, erp, [order(1), order(2)], options)
    erp.faults = lambda _: None
    settle_by_hand(ops, absent=True)
    assert why_drain(ops, options, now=datetime.now(UTC)) == (True, "orders are to be invoiced from today on")
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    run(ops, MemoryWriter(erp), options, clock=lambda: tomorrow)
    assert billed(erp) == {"1": Decimal(10), "2": Decimal(10)}
    assert {write.payload["invoice_date"] for write in erp.writes if write.kind is DocumentKind.INVOICE} == {
        tomorrow.date().isoformat()
    }
    assert run(ops, MemoryWriter(erp), options, clock=lambda: tomorrow).outcomes == {}


@pytest.mark.parametrize("refused", [None, CREDIT_NOTE], ids=["busy", "refused"])
def test_a_new_invoice_never_goes_out_without_the_credit_note_before_it(ops, refused):
    """That the ERP holds no credit note is no reason to invoice twice: it waits until there is one, ours or somebody else's."""
    options, erp = replace(REBILLED, max_attempts=1), RefusingErp()
    rows = [order(1), order(1, version=2, amount="25")]
    post(ops, erp, rows[:1], options)
    erp.refused = refused
    erp.faults = lambda document: Fault.BUSY if document.kind is CREDIT_NOTE and not refused else None
    post(ops, erp, rows, options)
    erp.refused, erp.faults = None, lambda _: None
    with pytest.raises(RefusedError, match="the order would be invoiced once more"):
        settle_by_hand(ops, absent=True)
    assert run(ops, MemoryWriter(erp), options).outcomes == {}
    assert billed(erp) == {"1": Decimal(10)}
    with ops.read() as connection:
        [item] = exceptions(connection)
    assert item.title.startswith("credit_note")
    assert f"`meshline postings close {dead_keys(ops)[0]} --reason TEXT" in item.fix
    settle_by_hand(ops, erp_id="CN-7")
    run(ops, MemoryWriter(erp), options)
    assert kinds(erp)[-1] == "invoice"
