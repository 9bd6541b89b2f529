"""Orders that are also invoiced and credited, against an ERP in memory whose faults we choose."""

import asyncio
import random
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import select

from meshline_dagster.core.backlog import BacklogLimits
from meshline_dagster.core.documents import Answer, DocumentKind, Outcome
from meshline_dagster.core.errors import GateError, RefusedError
from meshline_dagster.core.followups import Amendments, BillingPolicy, InvoiceTrigger
from meshline_dagster.core.pauses import Scope
from meshline_dagster.core.reversals import ReversalLimits
from meshline_dagster.delivery.by_hand import close
from meshline_dagster.delivery.engine import deliver
from meshline_dagster.delivery.session import utc_now
from meshline_dagster.orchestration.drain_sensor import why_drain
from meshline_dagster.store.backlogs import release
from meshline_dagster.store.billing import billing_rows
from meshline_dagster.store.exceptions import exceptions
from meshline_dagster.store.pauses import pause
from meshline_dagster.store.tables import posting
from meshline_dagster.testing.memory_erp import Fault, MemoryErp, MemoryWriter
from tests.integration.test_delivery_engine import OPTIONS, customer, order, plan_rows, shortly, states

BILLED = replace(OPTIONS, billing=BillingPolicy())
REBILLED = replace(OPTIONS, billing=BillingPolicy(amendments=Amendments.CREDIT_AND_REBILL))
INVOICE, CREDIT_NOTE = DocumentKind.INVOICE, DocumentKind.CREDIT_NOTE


def run(store, writer, options=BILLED, actor="run-1", clock=utc_now, *, jitter=random.random):
    return asyncio.run(deliver(store, writer, options, actor=actor, clock=clock, jitter=jitter))


def post(store, erp, rows, options=BILLED, **more):
    plan_rows(store, [customer(), *rows], options)
    return run(store, MemoryWriter(erp, settle_after=0.4), options, **more)


def billed(erp):
    """Order number -> what the ERP itself has invoiced less what it has credited, counting duplicates."""
    sums = defaultdict(Decimal)
    for write in erp.writes:
        if write.kind in {INVOICE, CREDIT_NOTE}:
            sign = 1 if write.kind is INVOICE else -1
            sums[write.payload["order_number"]] += sign * Decimal(write.payload["amount"])
    return dict(sums)


def kinds(erp):
    return [write.kind.value for write in erp.writes]


def test_a_posted_order_is_invoiced_in_the_same_delivery_and_a_second_one_bills_nothing(ops):
    erp = MemoryErp()
    report = post(ops, erp, [order(1), order(2, amount="7.50")])
    assert report.outcomes == {"created": 5}
    assert billed(erp) == {"1": Decimal(10), "2": Decimal("7.50")}
    assert post(ops, erp, [order(1), order(2, amount="7.50")], actor="run-2").outcomes == {}
    [invoice] = [write for write in erp.writes if write.kind is INVOICE and write.payload["order_number"] == "1"]
    assert invoice.payload["order"] == order(1).external_id
    assert invoice.payload["invoice_date"] == datetime.now(UTC).date().isoformat()


def test_orders_only_is_the_default(ops):
    erp = MemoryErp()
    assert post(ops, erp, [order(1)], OPTIONS).outcomes == {"created": 2}
    assert billed(erp) == {}


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (BILLED, ["sales_order", "invoice", "sales_order", "credit_note", "invoice"]),
        (REBILLED, ["sales_order", "invoice", "sales_order", "credit_note", "invoice"]),
    ],
    ids=["amend_in_place", "credit_and_rebill"],
)
def test_an_amendment_credits_the_invoice_before_the_order_is_invoiced_anew(ops, options, wanted):
    erp = MemoryErp()
    post(ops, erp, [order(1)], options)
    post(ops, erp, [order(1), order(1, version=2, amount="25")], options)
    assert kinds(erp) == ["customer", *wanted]
    assert billed(erp) == {"1": Decimal(25)}


def test_states_planned_at_once_are_posted_and_billed_one_after_the_other(ops):
    erp = MemoryErp()
    post(ops, erp, [order(1), order(1, version=2, amount="25"), order(1, version=3, status="cancelled")])
    assert billed(erp) == {"1": Decimal(0)}
    assert kinds(erp)[1:] == [
        *("sales_order", "invoice", "sales_order", "credit_note", "invoice", "sales_order", "credit_note"),
    ]


@pytest.mark.parametrize("unique", [True, False], ids=["unique", "lookup_only"])
@pytest.mark.parametrize("fault", [Fault.LOST_REQUEST, Fault.LOST_ANSWER, Fault.LATE_COMMIT, Fault.BUSY])
def test_every_document_is_made_once_after_a_fault_on_every_first_request(ops, fault, unique):
    seen = set()

    def first_time(document):
        fresh = document.key not in seen
        seen.add(document.key)
        return fault if fresh else None

    erp = MemoryErp(unique=unique, faults=first_time, late=0.2)
    post(ops, erp, [order(n) for n in range(3)], jitter=shortly)
    report = post(ops, erp, [*(order(n) for n in range(3)), order(1, version=2, amount="25")], jitter=shortly)
    assert report.waiting == 0
    assert states(ops) == {"posted": 1 + 3 + 3 + 1 + 2}
    assert billed(erp) == {"0": Decimal(10), "1": Decimal(25), "2": Decimal(10)}


def test_two_runs_at_the_same_time_bill_every_order_once(ops):
    erp = MemoryErp(unique=False, latency=0.005)
    plan_rows(ops, [customer()] + [order(n) for n in range(30)], BILLED)

    async def both():
        return await asyncio.gather(
            deliver(ops, MemoryWriter(erp), BILLED, actor="run-1"),
            deliver(ops, MemoryWriter(erp), BILLED, actor="run-2"),
        )

    asyncio.run(both())
    assert states(ops) == {"posted": 61}
    assert set(billed(erp).values()) == {Decimal(10)}


def test_a_plan_of_the_same_orders_leaves_what_follows_from_them_alone(ops):
    """Invoices are no events of the outbox: a replay must not set them aside as no longer derived."""
    erp = MemoryErp(faults=lambda document: Fault.BUSY if document.kind is INVOICE else None)
    post(ops, erp, [order(1)], replace(BILLED, patience=0.2))
    assert states(ops) == {"posted": 2, "retry_due": 1}
    assert plan_rows(ops, [order(1)], BILLED).superseded == 0
    erp.faults = lambda _: None
    later = datetime.now(UTC) + timedelta(minutes=30)
    run(ops, MemoryWriter(erp), clock=lambda: later)
    assert billed(erp) == {"1": Decimal(10)}


class RefusingErp(MemoryErp):
    """Takes everything but one kind, until that is lifted."""

    refused = None

    def apply(self, document):
        if document.kind is self.refused:
            return Answer(Outcome.REJECTED, message="the period is closed", field="invoice_date")
        return super().apply(document)


def test_a_refused_invoice_holds_its_order_until_it_is_replayed_and_is_then_dated_anew(ops):
    erp = RefusingErp()
    erp.refused = INVOICE
    post(ops, erp, [order(1)])
    with ops.read() as connection:
        [item] = exceptions(connection)
    assert (item.code, item.owner) == ("rejected", "finance")
    assert "the period is closed" in item.detail
    assert "replay" in item.fix
    assert run(ops, MemoryWriter(erp), actor="run-2").outcomes == {}
    erp.refused = None
    assert plan_rows(ops, [order(1)], BILLED).superseded == 0
    later = datetime.now(UTC) + timedelta(days=3)
    run(ops, MemoryWriter(erp), actor="run-3", clock=lambda: later)
    assert billed(erp) == {"1": Decimal(10)}
    assert erp.writes[-1].payload["invoice_date"] == later.date().isoformat()
    with ops.read() as connection:
        assert exceptions(connection) == []
        rows = billing_rows(connection, "memory", [order(1).entity_key])[order(1).entity_key]
    assert [(row.document_kind.value, row.revision, row.state.value) for row in rows] == [
        ("sales_order", 1, "posted"),
        ("invoice", 1, "superseded"),
        ("invoice", 2, "posted"),
    ]


def test_a_refused_credit_note_keeps_the_new_invoice_back(ops):
    erp = RefusingErp()
    post(ops, erp, [order(1)], REBILLED)
    erp.refused = CREDIT_NOTE
    post(ops, erp, [order(1), order(1, version=2, amount="25")], REBILLED)
    erp.refused = None
    assert billed(erp) == {"1": Decimal(10)}
    post(ops, erp, [order(1), order(1, version=2, amount="25")], REBILLED)
    assert kinds(erp)[-2:] == ["credit_note", "invoice"]
    assert billed(erp) == {"1": Decimal(25)}


def test_an_order_is_invoiced_on_the_day_on_which_it_starts_and_not_before(ops):
    options = replace(OPTIONS, billing=BillingPolicy(trigger=InvoiceTrigger.START))
    start = datetime.now(UTC).date() + timedelta(days=10)
    erp, row = MemoryErp(), order(1)
    line = {**row.payload["lines"][0], "start": start.isoformat()}
    row = replace(row, payload={**row.payload, "lines": [line]})
    post(ops, erp, [row], options)
    post(ops, erp, [row], options, clock=lambda: datetime.now(UTC) + timedelta(days=9))
    assert billed(erp) == {}
    on_the_day = datetime.combine(start, datetime.min.time(), tzinfo=UTC)
    post(ops, erp, [row], options, clock=lambda: on_the_day)
    assert billed(erp) == {"1": Decimal(10)}
    assert date.fromisoformat(erp.writes[-1].payload["invoice_date"]) == start
    assert post(ops, erp, [row], options, clock=lambda: on_the_day).outcomes == {}


def test_nothing_is_billed_by_content_that_somebody_changed_in_the_ledger(ops, without_guards):
    options = replace(OPTIONS, billing=BillingPolicy(trigger=InvoiceTrigger.START))
    now = datetime.now(UTC)
    rows = []
    for number in (1, 2):
        line = {**order(number).payload["lines"][0], "start": (now.date() + timedelta(days=10)).isoformat()}
        rows.append(replace(order(number), payload={**order(number).payload, "lines": [line]}))
    erp = MemoryErp()
    post(ops, erp, rows, options)
    about = (posting.c.entity_key == rows[0].entity_key) & (posting.c.document_kind == "sales_order")
    with ops.write() as connection:
        without_guards(connection, "posting")
        payload = connection.execute(select(posting.c.payload).where(about)).scalar_one()
        forged = payload.replace('"amount":"', '"amount":"9')
        connection.execute(posting.update().where(about).values(payload=forged))
    run(ops, MemoryWriter(erp), options, clock=lambda: now + timedelta(days=10))
    assert billed(erp) == {"2": Decimal(10)}
    with ops.read() as connection:
        [item] = exceptions(connection)
    assert (item.code, item.priority, item.entity_key) == ("fingerprint_conflict", "P1", rows[0].entity_key)
    assert run(ops, MemoryWriter(erp), options, clock=lambda: now + timedelta(days=10)).outcomes == {}
    with ops.write() as connection:
        connection.execute(posting.update().where(about).values(payload=payload))
    run(ops, MemoryWriter(erp), options, clock=lambda: now + timedelta(days=11))
    assert billed(erp) == {"1": Decimal(10), "2": Decimal(10)}
    with ops.read() as connection:
        assert exceptions(connection) == []


def test_the_drain_wants_a_run_on_the_day_on_which_an_order_is_to_be_invoiced(ops):
    options = replace(OPTIONS, billing=BillingPolicy(trigger=InvoiceTrigger.START))
    now, row = datetime.now(UTC), order(1)
    line = {**row.payload["lines"][0], "start": (now.date() + timedelta(days=10)).isoformat()}
    row = replace(row, payload={**row.payload, "lines": [line]})
    erp = MemoryErp()
    post(ops, erp, [row], options)
    assert why_drain(ops, options, now=now + timedelta(days=9)) == (False, "nothing is due")
    on_the_day = now + timedelta(days=10)
    assert why_drain(ops, options, now=on_the_day) == (True, "orders are to be invoiced from today on")
    run(ops, MemoryWriter(erp), options, clock=lambda: on_the_day)
    assert why_drain(ops, options, now=on_the_day) == (False, "nothing is due")


def test_an_invoice_closed_by_hand_must_be_named_and_is_then_never_made_again(ops):
    """That the ERP holds the order says nothing of its invoice."""
    options = replace(BILLED, max_attempts=1)
    erp = MemoryErp(faults=lambda document: Fault.BUSY if document.kind is INVOICE else None)
    post(ops, erp, [order(1)], options)
    erp.faults = lambda _: None
    told = {"actor": "ops", "reason": "made by hand", "now": datetime.now(UTC)}
    with ops.write() as connection:
        [dead] = connection.execute(select(posting.c.key).where(posting.c.state == "dead")).scalars()
        with pytest.raises(RefusedError, match="--erp-id"):
            close(connection, dead, erp_id=None, **told)
        close(connection, dead, erp_id="INV-7", **told)
    post(ops, erp, [order(1), order(1, version=2, amount="25")], options)
    assert billed(erp) == {}  # it is to be credited first, and has no external id of ours there: a person is asked
    with ops.read() as connection:
        assert [item.title.split()[0] for item in exceptions(connection)] == ["credit_note"]


def test_the_blast_radius_counts_what_orders_are_worth_and_not_their_last_invoice(ops):
    options, erp = replace(BILLED, reversals=ReversalLimits(count=2)), MemoryErp()

    def larger(number):
        line = order(number).payload["lines"][0]
        lines = [line, {**line, "line": "2", "sku": "B", "unit_price": "5", "amount": "5"}]
        row = order(number, version=2, amount="15")
        return replace(row, payload={**row.payload, "lines": lines})

    rows = [*(order(n) for n in range(3)), *(larger(n) for n in range(3))]
    post(ops, erp, rows, options)
    assert set(billed(erp).values()) == {Decimal(15)}
    post(
        ops,
        erp,
        [*rows, *(replace(order(n, version=3, status="cancelled"), operation="cancel") for n in range(3))],
        options,
    )
    with ops.read() as connection:
        [item] = [one for one in exceptions(connection) if one.code == "too_many_reversals"]
    assert item.amount == Decimal(45)
    assert set(billed(erp).values()) == {Decimal(15)}


def test_a_writer_that_makes_no_invoices_is_refused_before_anything_is_sent(ops):
    erp = MemoryErp()
    writer = MemoryWriter(erp)
    pairs = frozenset(pair for pair in writer.capabilities.operations if pair[0] is not CREDIT_NOTE)
    writer._capabilities = replace(writer.capabilities, operations=pairs)
    plan_rows(ops, [customer(), order(1)], BILLED)
    with pytest.raises(GateError, match="credit_note"):
        run(ops, writer)
    assert erp.writes == []


def test_an_operation_that_the_writer_does_not_declare_is_refused_without_a_request(ops):
    erp = MemoryErp()
    writer = MemoryWriter(erp)
    asked = []
    erp.faults = asked.append
    pairs = frozenset(pair for pair in writer.capabilities.operations if pair[1] != "amend")
    writer._capabilities = replace(writer.capabilities, operations=pairs)
    plan_rows(ops, [customer(), order(1), order(1, version=2, amount="25")], OPTIONS)
    run(ops, writer, OPTIONS)
    assert [document.operation for document in asked] == ["create", "create"]
    with ops.read() as connection:
        [item] = exceptions(connection)
    assert "does not declare that it can amend a sales_order" in item.detail


def test_an_invoice_never_makes_a_waiting_state_of_its_order_needless(ops):
    """A state of the same instant was planned before the invoice: it is sent, not coalesced away."""
    options, erp = replace(BILLED, coalesce=True), MemoryErp()
    second = replace(order(1, version=2, amount="25"), event_time=order(1).event_time)
    plan_rows(ops, [customer(), order(1)], options)

    def plan_second(document):
        if document.kind is DocumentKind.SALES_ORDER and document.event_id == order(1).event_id:
            plan_rows(ops, [order(1), second], options)

    erp.faults = plan_second
    run(ops, MemoryWriter(erp), options)
    assert kinds(erp)[1:3] == ["sales_order", "sales_order"]
    assert billed(erp) == {"1": Decimal(25)}


@pytest.mark.parametrize(("paused", "made"), [("crm/account/1", []), ("crm/account/2", ["invoice"])])
def test_a_pause_of_a_customer_holds_the_invoices_of_its_orders_and_of_no_others(ops, paused, made):
    options, erp = replace(BILLED, patience=0.2), MemoryErp()
    erp.faults = lambda document: Fault.BUSY if document.kind is INVOICE else None
    post(ops, erp, [replace(order(1), customer_key="crm/account/1", selling_entity="main")], options)
    erp.faults = lambda _: None
    with ops.write() as connection:
        pause(connection, Scope(customer=paused), actor="ops", reason="a dispute", now=datetime.now(UTC))
    later = datetime.now(UTC) + timedelta(minutes=30)
    run(ops, MemoryWriter(erp), options, clock=lambda: later)
    assert kinds(erp) == ["customer", "sales_order", *made]


def test_a_backlog_waits_with_its_orders_but_not_with_their_invoices(ops):
    """A release lets orders go; what follows from them was let go with them."""
    options, erp = replace(BILLED, backlog=BacklogLimits(3, {})), MemoryErp()
    plan_rows(ops, [customer(), *(order(n) for n in range(5))], options)
    run(ops, MemoryWriter(erp), options)
    assert erp.writes == []
    with ops.write() as connection:
        release(connection, options.destination, actor="finance", reason="looked at", now=datetime.now(UTC))
    run(ops, MemoryWriter(erp), options)
    assert len(billed(erp)) == 5


def test_an_order_that_is_worth_less_than_nothing_is_for_finance_until_it_is_worth_something(ops):
    erp, rows = MemoryErp(), [order(1), order(1, version=2, amount="-4"), order(1, version=3, amount="-5")]
    post(ops, erp, rows[:1])
    for known in (rows[:2], rows, rows):
        post(ops, erp, known)
        assert billed(erp) == {"1": Decimal(10)}
        with ops.read() as connection:
            [item] = exceptions(connection)
        assert (item.code, item.owner, item.entity_key) == ("negative_bill", "finance", order(1).entity_key)
    assert item.amount == Decimal(-5)
    post(ops, erp, [*rows, order(1, version=4, amount="25")])
    assert billed(erp) == {"1": Decimal(25)}
    with ops.read() as connection:
        assert exceptions(connection) == []
