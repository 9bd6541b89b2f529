"""Two documents under one external id: one exception, a reversal that waits for finance, and one document in the end."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import select

from meshline_dagster.core.documents import REVERSE, DocumentKind
from meshline_dagster.core.duplicates import Doubled, Standing, reversal_key
from meshline_dagster.core.errors import PermanentError
from meshline_dagster.core.followups import BillingPolicy
from meshline_dagster.core.identity import external_id
from meshline_dagster.core.pauses import Scope
from meshline_dagster.delivery.by_hand import retry
from meshline_dagster.delivery.duplicates import settle_duplicates
from meshline_dagster.delivery.options import Mode
from meshline_dagster.governance.decisions import approve, named, reject
from meshline_dagster.governance.trace import trace
from meshline_dagster.landing.zone import LandingZone
from meshline_dagster.orchestration.drain_sensor import why_drain
from meshline_dagster.store import audit
from meshline_dagster.store.approvals import approvals
from meshline_dagster.store.exceptions import exceptions
from meshline_dagster.store.ledger_reports import ledger_summary, orders_posted
from meshline_dagster.store.pauses import resume
from meshline_dagster.store.reversals import held_by_erp
from meshline_dagster.store.tables import posting
from meshline_dagster.testing.memory_erp import Fault, MemoryErp, MemoryWriter
from tests.integration.test_delivery_engine import OPTIONS, customer, order, pause_now, plan_rows, run

QUICK = replace(OPTIONS, patience=0.0)
PATIENT = replace(OPTIONS, patience=5.0)
ORDER = DocumentKind.SALES_ORDER


@pytest.fixture
def erp():
    return MemoryErp(unique=False)


def doubled(erp, kind=ORDER):
    """What a read-back shows."""
    live = {}
    for one in erp.documents.get(kind, []):
        if one.status != "cancelled":
            live.setdefault(one.external_id, []).append(one)
    entities = {external_id("sales_order", order(number).entity_key): order(number).entity_key for number in range(5)}
    return [
        Doubled(
            kind,
            name,
            entities.get(name if kind is ORDER else found[0].order),
            tuple(Standing(one.erp_id, one.number, one.amount, one.currency, one.stamp) for one in found),
        )
        for name, found in live.items()
        if len(found) > 1
    ]


def read_back(ops, erp, *, reversible=(ORDER,), options=QUICK, kind=ORDER):
    with ops.write() as connection:
        settle_duplicates(
            *(connection, doubled(erp, kind)),
            options=options,
            reversible=reversible,
            actor="run-9",
            now=datetime.now(UTC),
        )


def enter_twice(erp, number, *, times=1):
    """Somebody enters an order of ours once more, or the ERP acts after its time: another document with the same external id."""
    first = erp.of(ORDER, order(number).external_id)[0]
    for place in range(times):
        another = replace(first, erp_id=f"again-{number}-{place}", number=f"AGAIN-{place}", stamp=datetime.now(UTC))
        erp.documents[ORDER].insert(0, another)


def posted_twice(ops, erp, number=1, **how):
    plan_rows(ops, [customer(), order(number)])
    run(ops, MemoryWriter(erp), QUICK)
    enter_twice(erp, number, **how)


def waiting(ops):
    with ops.read() as connection:
        return [one for one in approvals(connection) if one.decision is None]


def decide(ops, how=approve, actor="cli:ben"):
    with ops.write() as connection:
        for one in approvals(connection):
            how(connection, named(connection, one.digest), actor=actor, reason="looked", now=datetime.now(UTC))


def queue(ops):
    with ops.read() as connection:
        return [(item.code, item.origin) for item in exceptions(connection)]


def item(ops):
    with ops.read() as connection:
        [found] = [one for one in exceptions(connection) if one.code == "duplicate"]
    return found


def reversals(ops):
    with ops.read() as connection:
        rows = connection.execute(
            select(posting.c.state, posting.c.cause, posting.c.revision)
            .where(posting.c.operation == REVERSE)
            .order_by(posting.c.id)
        ).all()
    return [tuple(row) for row in rows]


def statuses(erp, number=1):
    return {one.erp_id: one.status for one in erp.of(ORDER, order(number).external_id)}


def test_a_second_document_is_one_exception_and_a_reversal_that_waits_for_finance(ops, erp):
    posted_twice(ops, erp)
    read_back(ops, erp)
    found, [asked] = item(ops), waiting(ops)
    assert (found.priority, found.owner, found.entity_key) == ("P1", "finance", order(1).entity_key)
    assert (found.amount, found.currency) == (Decimal(10), "USD")
    assert found.detail == "kept: SALES_ORDER-2 (id sales_order-2), 10 USD\ntoo many: AGAIN-0 (id again-1-0), 10 USD"
    assert f"`meshline approvals approve {asked.digest[:16]} --reason ...`" in found.fix
    assert "cancel what is too many (id again-1-0) in memory" in found.fix
    assert (asked.kind, asked.role, asked.requested_by) == ("reversals", "finance", "run-9")
    assert reversals(ops) == [("planned", "duplicate", 1)]
    report = run(ops, MemoryWriter(erp), QUICK)
    assert (report.outcomes, report.unapproved) == ({}, 1)
    assert set(statuses(erp).values()) == {"open"}
    read_back(ops, erp)
    assert (reversals(ops), len(waiting(ops)), queue(ops)) == (
        [("planned", "duplicate", 1)],
        1,
        [("duplicate", "read_back")],
    )


def test_approved_it_cancels_exactly_that_document_and_the_exception_resolves_itself(ops, erp):
    posted_twice(ops, erp, times=2)
    read_back(ops, erp)
    assert len(waiting(ops)) == 2
    with pytest.raises(PermanentError, match="the approver is not the author"):
        decide(ops, actor="run-9")
    assert why_drain(ops, QUICK, now=datetime.now(UTC))[0] is False
    decide(ops)
    assert why_drain(ops, QUICK, now=datetime.now(UTC))[0] is True
    report = run(ops, MemoryWriter(erp), QUICK)
    assert report.outcomes == {"updated": 2}
    assert statuses(erp) == {"sales_order-2": "open", "again-1-0": "cancelled", "again-1-1": "cancelled"}
    read_back(ops, erp)
    assert queue(ops) == []
    assert [state for state, *_ in reversals(ops)] == ["posted", "posted"]
    with ops.read() as connection:
        assert audit.first_broken(connection) is None
        summary = {(row["document_kind"], row["state"]): row["count"] for row in ledger_summary(connection)}
        assert summary == {("customer", "posted"): 1, ("sales_order", "posted"): 1, ("reversal", "posted"): 2}
        assert orders_posted(connection, "memory") == held_by_erp(connection, "memory").count == 1


def test_the_order_waits_for_its_reversal_and_then_amends_the_document_that_is_kept(ops, erp):
    posted_twice(ops, erp)
    read_back(ops, erp)
    plan_rows(ops, [customer(), order(1), order(1, version=2, amount="12"), order(2)])
    assert run(ops, MemoryWriter(erp), QUICK).outcomes == {"created": 1}  # the other order goes on
    assert why_drain(ops, QUICK, now=datetime.now(UTC))[0] is False
    decide(ops)
    assert run(ops, MemoryWriter(erp), PATIENT).outcomes == {"updated": 2}
    amounts = {one.erp_id: (one.status, one.amount) for one in erp.of(ORDER, order(1).external_id)}
    assert amounts == {"sales_order-2": ("open", Decimal(12)), "again-1-0": ("cancelled", Decimal(10))}


def test_a_reversal_is_no_state_of_an_order_and_is_not_invoiced(ops, erp):
    options = replace(PATIENT, billing=BillingPolicy())
    dated = order(1)
    dated = replace(dated, payload={**dated.payload, "order_date": "2017-04-01"})
    plan_rows(ops, [customer(), dated], options)
    run(ops, MemoryWriter(erp), options)
    enter_twice(erp, 1)
    read_back(ops, erp, options=options)
    decide(ops)
    assert run(ops, MemoryWriter(erp), options).outcomes == {"updated": 1}
    assert len(erp.documents[DocumentKind.INVOICE]) == 1
    assert queue(ops) == [("duplicate", "read_back")]


def test_cancelled_by_hand_it_resolves_itself_and_the_reversal_is_closed(ops, erp):
    posted_twice(ops, erp)
    read_back(ops, erp)
    cancel_by_hand(erp, "again-1-0")
    read_back(ops, erp)
    assert (queue(ops), waiting(ops)) == ([], [])
    assert reversals(ops) == [("superseded", "duplicate_resolved", 1)]
    assert run(ops, MemoryWriter(erp), QUICK).outcomes == {}


def cancel_by_hand(erp, erp_id, status="cancelled"):
    place = next(place for place, one in enumerate(erp.documents[ORDER]) if one.erp_id == erp_id)
    erp.documents[ORDER][place] = replace(erp.documents[ORDER][place], status=status)


def test_the_last_document_is_never_cancelled_though_its_reversal_is_approved(ops, erp):
    posted_twice(ops, erp)
    read_back(ops, erp)
    cancel_by_hand(erp, "sales_order-2")
    decide(ops)
    assert run(ops, MemoryWriter(erp), QUICK).outcomes == {"needless": 1}
    assert statuses(erp) == {"sales_order-2": "cancelled", "again-1-0": "open"}
    read_back(ops, erp)
    assert (queue(ops), reversals(ops)) == ([], [("superseded", "duplicate_resolved", 1)])
    cancel_by_hand(erp, "sales_order-2", "open")
    read_back(ops, erp)
    assert reversals(ops)[1:] == [("planned", "duplicate", 2)]
    assert len(waiting(ops)) == 1


def test_what_was_approved_is_asked_for_again_when_the_document_has_changed_since(ops, erp):
    posted_twice(ops, erp)
    read_back(ops, erp)
    decide(ops)
    place = next(place for place, one in enumerate(erp.documents[ORDER]) if one.erp_id == "again-1-0")
    changed = replace(erp.documents[ORDER][place], amount=Decimal(99), stamp=datetime.now(UTC) + timedelta(seconds=1))
    erp.documents[ORDER][place] = changed
    assert run(ops, MemoryWriter(erp), QUICK).outcomes == {"needless": 1}
    read_back(ops, erp)
    assert reversals(ops) == [("superseded", "documents_changed", 1), ("planned", "duplicate", 1)]
    assert "99 USD" in item(ops).detail
    decide(ops)
    assert run(ops, MemoryWriter(erp), QUICK).outcomes == {"updated": 1}


def test_what_finance_refuses_is_not_asked_for_again_and_the_order_goes_on(ops, erp):
    posted_twice(ops, erp)
    read_back(ops, erp)
    decide(ops, reject)
    read_back(ops, erp)
    assert reversals(ops) == [("superseded", "approval_rejected", 1)]
    assert (waiting(ops), queue(ops)) == ([], [("duplicate", "read_back")])
    assert item(ops).fix.startswith("Finance has refused the reversal. By hand: cancel")
    plan_rows(ops, [customer(), order(1), order(1, version=2, amount="12")])
    assert run(ops, MemoryWriter(erp), QUICK).outcomes == {"updated": 1}


@pytest.mark.parametrize("fault", [Fault.LOST_ANSWER, Fault.LOST_REQUEST, Fault.LATE_COMMIT])
def test_a_reversal_without_an_answer_is_settled_by_the_document_with_that_id(ops, erp, fault):
    posted_twice(ops, erp)
    read_back(ops, erp)
    decide(ops)
    left = [fault]
    erp.faults = lambda document: left.pop() if left and document.operation == REVERSE else None
    report = run(ops, MemoryWriter(erp), PATIENT)
    assert report.outcomes["unknown"] >= 1
    assert statuses(erp) == {"sales_order-2": "open", "again-1-0": "cancelled"}
    assert reversals(ops)[0][0] == "posted"
    assert sum(one.operation == REVERSE for one in erp.writes) == 1


def test_what_died_because_there_were_two_is_looked_up_again_when_one_is_left(ops, erp):
    posted_twice(ops, erp)
    erp.faults = lambda document: Fault.LOST_ANSWER if document.operation == "amend" else None
    plan_rows(ops, [customer(), order(1), order(1, version=2, amount="12")])
    run(ops, MemoryWriter(erp), PATIENT)
    assert queue(ops) == [("duplicate_in_erp", "delivery")]
    read_back(ops, erp)
    decide(ops)
    run(ops, MemoryWriter(erp), QUICK)
    read_back(ops, erp)
    assert queue(ops) == [("duplicate_in_erp", "delivery")]
    erp.faults = lambda _: None
    run(ops, MemoryWriter(erp), PATIENT)
    assert queue(ops) == []
    amounts = {one.erp_id: (one.status, one.amount) for one in erp.of(ORDER, order(1).external_id)}
    assert amounts == {"sales_order-2": ("open", Decimal(12)), "again-1-0": ("cancelled", Decimal(12))}


def test_a_refused_reversal_says_so_and_is_over_when_it_was_done_by_hand(ops, erp):
    posted_twice(ops, erp)
    read_back(ops, erp)
    decide(ops)
    writer = MemoryWriter(erp)
    writer._capabilities = replace(writer.capabilities, operations=writer.capabilities.operations - {(ORDER, REVERSE)})
    assert run(ops, writer, QUICK).outcomes == {"rejected": 1}
    read_back(ops, erp)
    assert sorted(queue(ops)) == [("duplicate", "read_back"), ("rejected", "delivery")]
    assert "The ERP refused the reversal of again-1-0: memory does not declare" in item(ops).fix
    cancel_by_hand(erp, "again-1-0")
    read_back(ops, erp)
    assert (queue(ops), reversals(ops)) == ([], [("superseded", "duplicate_resolved", 1)])


def test_a_dead_reversal_may_be_tried_again(ops, erp):
    posted_twice(ops, erp)
    read_back(ops, erp)
    decide(ops)
    erp.faults = lambda _: Fault.BUSY
    run(ops, MemoryWriter(erp), replace(QUICK, max_attempts=1))
    read_back(ops, erp)
    assert "`meshline postings retry" in item(ops).fix
    erp.faults = lambda _: None
    with ops.write() as connection:
        [key] = connection.execute(select(posting.c.key).where(posting.c.state == "dead")).scalars()
        retry(connection, key, actor="cli:ben", reason="up again", now=datetime.now(UTC))
    run(ops, MemoryWriter(erp), PATIENT)
    assert statuses(erp)["again-1-0"] == "cancelled"
    read_back(ops, erp)
    assert queue(ops) == []


def test_where_nothing_is_sent_or_the_erp_cannot_reverse_a_person_does_it_by_hand(ops, erp):
    posted_twice(ops, erp)
    read_back(ops, erp, reversible=())
    assert item(ops).fix.startswith("By hand: cancel what is too many (id again-1-0) in memory")
    read_back(ops, erp, options=replace(QUICK, mode=Mode.SHADOW))
    assert (reversals(ops), waiting(ops)) == ([], [])
    erp.documents[ORDER] = [replace(one, external_id="MLO-unknown") for one in erp.documents[ORDER]]
    read_back(ops, erp)  # nobody ever asked the ERP for this one: it is not ours to reverse
    assert (reversals(ops), item(ops).entity_key) == ([], None)


def test_of_an_invoice_the_exception_says_what_to_do_in_the_books(ops, erp):
    plan_rows(ops, [customer(), order(1)])
    run(ops, MemoryWriter(erp), QUICK)
    [made] = erp.of(ORDER, order(1).external_id)
    invoice = replace(made, kind=DocumentKind.INVOICE, external_id="MLI-1", order=made.external_id)
    erp.documents[DocumentKind.INVOICE] = [replace(invoice, erp_id=one, number=one) for one in ("i2", "i1")]
    read_back(ops, erp, kind=DocumentKind.INVOICE)
    assert reversals(ops) == []
    assert item(ops).title == "memory holds 2 invoices under MLI-1"
    assert "take back what is too many (id i2) as your books demand it, by a credit note" in item(ops).fix


def test_a_pause_of_its_customer_holds_a_reversal_too(ops, erp):
    rows = [replace(row, customer_key="crm/account/1", selling_entity="main") for row in (customer(), order(1))]
    plan_rows(ops, rows)
    run(ops, MemoryWriter(erp), QUICK)
    enter_twice(erp, 1)
    read_back(ops, erp)
    decide(ops)
    pause_now(ops, Scope("memory", None, "crm/account/1"))
    assert run(ops, MemoryWriter(erp), QUICK).outcomes == {}
    with ops.write() as connection:
        resume(connection, Scope("memory", None, "crm/account/1"), actor="cli:ben", now=datetime.now(UTC))
    assert run(ops, MemoryWriter(erp), QUICK).outcomes == {"updated": 1}


def test_the_trace_of_an_order_shows_its_reversal(ops, erp, tmp_path):
    posted_twice(ops, erp)
    read_back(ops, erp)
    found = trace(ops, LandingZone(str(tmp_path), ops), tmp_path, order(1).entity_key)
    assert reversal_key(order(1).entity_key, "again-1-0") in found.entities
    assert [row["operation"] for row in found.postings] == ["create", "reverse"]
    assert [row["trace_key"] for row in found.exceptions] == [f"duplicate:memory:sales_order:{order(1).external_id}"]


def test_a_document_reversed_and_opened_again_is_reversed_again_and_a_stale_look_plans_nothing(ops, erp):
    posted_twice(ops, erp)
    read_back(ops, erp)
    before = list(erp.documents[ORDER])
    decide(ops)
    run(ops, MemoryWriter(erp), QUICK)
    now, erp.documents[ORDER] = erp.documents[ORDER], before
    read_back(ops, erp)  # read before the reversal was made
    assert [state for state, *_ in reversals(ops)] == ["posted"]
    erp.documents[ORDER] = now
    read_back(ops, erp)
    cancel_by_hand(erp, "again-1-0", "open")
    read_back(ops, erp)
    assert [state for state, *_ in reversals(ops)] == ["posted", "planned"]
