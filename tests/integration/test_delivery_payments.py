"""Payments are delivered each for itself: once, never changed, and never in the way of one another's place in time."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from meshline_dagster.core.backlog import BacklogLimits
from meshline_dagster.core.documents import DocumentKind
from meshline_dagster.core.identity import external_id
from meshline_dagster.core.postings import OutboxRow
from meshline_dagster.delivery.options import Mode
from meshline_dagster.store.exceptions import exceptions
from meshline_dagster.testing.memory_erp import Fault, MemoryErp, MemoryWriter
from tests.integration.test_delivery_engine import CUSTOMER, OPTIONS, START, customer, plan_rows, run, states

PAYMENT = DocumentKind.PAYMENT
ONE = "bank/statement/1"
"""Even where several payments were of one entity, none would be late."""


def payment(number, *, amount="10", entity=None, currency="USD", of=None):
    entity = entity or f"bank/payment/{number}"
    event = f"{number:0>64}"
    return OutboxRow(
        event_id=event,
        entity_key=entity,
        document_kind=PAYMENT,
        external_id=external_id("payment", entity, event),
        event_time=START + timedelta(days=number),
        operation="create",
        depends_on=(CUSTOMER,),
        amount=Decimal(amount),
        currency=currency,
        document_date=START.date(),
        customer_key=CUSTOMER,
        payload={
            "customer": external_id("customer", CUSTOMER),
            "currency": currency,
            "amount": amount,
            "status": "open",
            "payment_date": "2017-04-01",
            "reference": str(number),
            "invoice": of,
        },
    )


def amounts(erp):
    return sorted(one.amount for one in erp.documents.get(PAYMENT, []))


def test_payments_wait_for_their_customer_and_each_is_made_once(ops):
    faults = iter([None, Fault.LOST_ANSWER, Fault.LATE_COMMIT])
    erp = MemoryErp(unique=False, faults=lambda _: next(faults, None))
    plan_rows(ops, [payment(1), payment(2, amount="20"), payment(3, amount="30"), customer()])
    run(ops, MemoryWriter(erp))
    assert states(ops) == {"posted": 4}
    assert erp.writes[0].kind is DocumentKind.CUSTOMER
    assert amounts(erp) == [10, 20, 30]


def test_an_earlier_payment_that_comes_late_is_made_too(ops):
    erp = MemoryErp()
    plan_rows(ops, [customer(), payment(5, entity=ONE)])
    run(ops, MemoryWriter(erp))
    plan_rows(ops, [payment(5, entity=ONE), payment(1, amount="20", entity=ONE)])
    run(ops, MemoryWriter(erp), replace(OPTIONS, coalesce=True))
    assert states(ops) == {"posted": 3}
    assert amounts(erp) == [10, 20]


def test_what_was_shadowed_is_released_whatever_its_time(ops):
    erp = MemoryErp()
    plan_rows(ops, [customer(), payment(5, entity=ONE)])
    run(ops, MemoryWriter(erp))
    plan_rows(ops, [payment(5, entity=ONE), payment(1, amount="20", entity=ONE)], replace(OPTIONS, mode=Mode.SHADOW))
    assert plan_rows(ops, []).released == 1
    run(ops, MemoryWriter(erp))
    assert amounts(erp) == [10, 20]


def test_a_posted_payment_that_is_derived_otherwise_goes_to_a_person(ops):
    erp = MemoryErp()
    plan_rows(ops, [customer(), payment(1)])
    run(ops, MemoryWriter(erp))
    made = plan_rows(ops, [payment(1, amount="11")])
    assert (made.planned, made.restatements) == (0, 1)
    run(ops, MemoryWriter(erp))
    assert amounts(erp) == [10]
    with ops.read() as connection:
        assert [one.code for one in exceptions(connection)] == ["restatement_candidate"]


def test_a_refused_payment_is_finances_and_holds_no_other(ops):
    erp = MemoryErp()
    plan_rows(ops, [customer(), payment(1, of="MLI-nobody"), payment(2)])
    run(ops, MemoryWriter(erp))
    assert states(ops) == {"posted": 2, "rejected": 1}
    with ops.read() as connection:
        [found] = exceptions(connection)
    assert (found.code, found.owner, found.amount) == ("rejected", "finance", 10)
    plan_rows(ops, [payment(1), payment(2)])
    run(ops, MemoryWriter(erp))
    assert amounts(erp) == [10, 10]


def test_payments_count_in_a_backlog(ops):
    plan_rows(ops, [customer(), payment(1), payment(2)])
    held = run(ops, MemoryWriter(MemoryErp()), replace(OPTIONS, backlog=BacklogLimits(count=2), patience=0.0))
    assert held.backlog == 3
