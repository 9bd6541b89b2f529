"""Orders that are invoiced by milestones which people plan and record as reached, against an ERP in memory."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from meshline_dagster.core.documents import DocumentKind
from meshline_dagster.core.errors import RefusedError
from meshline_dagster.core.followups import BillingPolicy, InvoiceTrigger
from meshline_dagster.core.invoice_milestones import Milestone
from meshline_dagster.delivery.by_hand import close
from meshline_dagster.orchestration.drain_sensor import why_drain
from meshline_dagster.store import audit
from meshline_dagster.store.billing import put_off
from meshline_dagster.store.exceptions import exceptions
from meshline_dagster.store.ledger_reports import waiting_visibly
from meshline_dagster.store.milestones import (
    Author,
    active_milestones,
    drop_milestone,
    milestones_of,
    orders_named,
    plan_milestone,
    reach_milestone,
)
from meshline_dagster.store.tables import billing_due, posting
from meshline_dagster.testing.memory_erp import Fault, MemoryErp, MemoryWriter
from tests.integration.test_delivery_billing import billed, post, run
from tests.integration.test_delivery_engine import OPTIONS, order
from tests.properties.test_follow_ups import POSTED, as_rows, kinds_of, line, order_row, state
from tests.properties.test_invoice_milestones import follow

BY_MILESTONES = replace(OPTIONS, billing=BillingPolicy(trigger=InvoiceTrigger.MILESTONE))
KEY = order(1).entity_key
NOW = datetime.now(UTC)
TODAY = NOW.date()
FINANCE = Author("finance", "as signed", NOW)


def percent(name, share):
    return Milestone(name, percent=Decimal(share))


def decide(ops, what, *told):
    with ops.write() as connection:
        return what(connection, KEY, *told, FINANCE)


def codes(ops):
    with ops.read() as connection:
        return [(item.code, item.owner, item.priority) for item in exceptions(connection)]


def explained(ops):
    with ops.read() as connection:
        return waiting_visibly(connection, "memory", [KEY])


def test_an_order_waits_for_its_milestones_and_is_invoiced_as_they_are_reached(ops):
    erp = MemoryErp()
    post(ops, erp, [order(1, amount="100")], BY_MILESTONES)
    assert billed(erp) == {}
    assert codes(ops) == [("milestones_missing", "finance", "P3")]
    decide(ops, plan_milestone, percent("design", "30"))
    run(ops, MemoryWriter(erp), BY_MILESTONES)
    assert codes(ops) == [("milestones_not_whole", "finance", "P3")]
    with ops.read() as connection:
        [item] = exceptions(connection)
    assert "is worth 100 USD; its milestones are 30 %" in item.detail
    assert f"`meshline milestones plan {KEY} --name NAME --percent P`" in item.fix
    decide(ops, plan_milestone, percent("build", "70"))
    decide(ops, reach_milestone, "design", TODAY)
    assert why_drain(ops, BY_MILESTONES, now=NOW) == (True, "orders are to be invoiced from today on")
    run(ops, MemoryWriter(erp), BY_MILESTONES)
    assert (billed(erp), codes(ops)) == ({"1": Decimal(30)}, [])
    decide(ops, reach_milestone, "build", TODAY + timedelta(days=5))
    assert explained(ops) == {KEY}
    run(ops, MemoryWriter(erp), BY_MILESTONES)
    assert explained(ops) == set()
    assert billed(erp) == {"1": Decimal(30)}
    assert why_drain(ops, BY_MILESTONES, now=NOW) == (False, "nothing is due")
    run(ops, MemoryWriter(erp), BY_MILESTONES, clock=lambda: NOW + timedelta(days=5))
    assert billed(erp) == {"1": Decimal(100)}


def test_a_milestone_that_is_dropped_gives_back_what_it_billed_once_the_rest_is_whole(ops):
    erp = MemoryErp()
    post(ops, erp, [order(1, amount="100")], BY_MILESTONES)
    for name, share in (("design", "30"), ("build", "70")):
        decide(ops, plan_milestone, percent(name, share))
    decide(ops, reach_milestone, "design", TODAY)
    run(ops, MemoryWriter(erp), BY_MILESTONES)
    with ops.write() as connection, pytest.raises(RefusedError, match=r"'design' of .* is reached: drop it first"):
        plan_milestone(connection, KEY, percent("design", "20"), FINANCE)
    assert decide(ops, drop_milestone, "design") is True
    assert decide(ops, drop_milestone, "design") is False
    run(ops, MemoryWriter(erp), BY_MILESTONES)
    assert billed(erp) == {"1": Decimal(30)}  # nobody has said what becomes of the 30 %
    decide(ops, plan_milestone, percent("build", "100"))
    run(ops, MemoryWriter(erp), BY_MILESTONES)
    assert (billed(erp), codes(ops)) == ({"1": Decimal(0)}, [])


@pytest.mark.parametrize(
    "wrong",
    [
        Milestone("a"),
        Milestone("a", percent=Decimal(1), amount=Decimal(1)),
        percent("a", "0"),
        percent("a", "-5"),
        percent("a", "0.00001"),
        percent(" ", "5"),
        percent("a", "100.0001"),
        percent("a", "1e30"),
        Milestone("a", amount=Decimal("1e14")),
        Milestone("a", amount=Decimal("9200000000000.0001")),
    ],
    ids=[
        *("neither", "both", "nothing", "less than nothing", "too fine", "no name"),
        *("more than all", "far more than all", "more than an extract holds", "more than the ledger holds"),
    ],
)
def test_what_is_no_milestone_is_refused(ops, wrong):
    with ops.write() as connection, pytest.raises(RefusedError):
        plan_milestone(connection, KEY, wrong, FINANCE)
    with ops.read() as connection:
        assert active_milestones(connection) == []


def test_each_decision_is_in_the_audit_log_and_nothing_is_edited(ops):
    post(ops, MemoryErp(), [order(1, amount="100")], BY_MILESTONES)
    decide(ops, plan_milestone, percent("design", "30"))
    decide(ops, plan_milestone, percent("design", "40"))
    decide(ops, reach_milestone, "design", TODAY)
    with ops.write() as connection, pytest.raises(RefusedError, match="has no milestone 'build'"):
        reach_milestone(connection, KEY, "build", TODAY, FINANCE)
    decide(ops, drop_milestone, "design")
    with ops.read() as connection:
        rows = connection.exec_driver_sql(
            "SELECT action FROM audit_entry WHERE action LIKE 'milestone.%%' ORDER BY seq"
            if connection.dialect.name == "postgresql"
            else "SELECT action FROM audit_entry WHERE action LIKE 'milestone.%' ORDER BY seq"
        )
        assert [row[0].removeprefix("milestone.") for row in rows] == [
            *("planned", "revoked", "planned", "revoked", "reached", "revoked"),
        ]
        assert [row[0] for row in connection.exec_driver_sql("SELECT percent FROM milestone ORDER BY seq")] == [
            *("30", "40", "40"),
        ]


def test_an_order_is_found_by_the_names_that_people_know(ops):
    erp = MemoryErp()
    post(ops, erp, [order(1), order(11)], BY_MILESTONES)
    with ops.read() as connection:
        for name in (KEY, order(1).external_id, KEY.rpartition("/")[2]):
            assert orders_named(connection, name) == [KEY]
        assert orders_named(connection, "no such order") == []


def test_two_decisions_at_once_leave_a_milestone_in_force_once(ops):
    post(ops, MemoryErp(), [order(1, amount="100")], BY_MILESTONES)
    decide(ops, plan_milestone, percent("design", "50"))
    with ThreadPoolExecutor(1) as pool:
        with ops.write() as connection:
            reach_milestone(connection, KEY, "design", TODAY, FINANCE)
            other = pool.submit(decide, ops, reach_milestone, "design", TODAY)
            time.sleep(0.5)  # the other one has begun
            assert not other.done()
        other.result()
    with ops.read() as connection:
        assert [(one.name, one.reached_on) for one in active_milestones(connection)] == [("design", TODAY)]


def test_the_store_keeps_a_milestone_from_being_in_force_twice(ops):
    decide(ops, plan_milestone, percent("design", "50"))
    again = (
        "INSERT INTO milestone (seq, entity_key, name, percent, actor, reason, created_at, revoked_seq) "
        "SELECT {}, entity_key, name, percent, actor, reason, created_at, {} FROM milestone WHERE seq = 1"
    )
    with ops.write() as connection:
        connection.exec_driver_sql(again.format(7, 8))
    with pytest.raises(IntegrityError), ops.write() as connection:
        connection.exec_driver_sql(again.format(9, "NULL"))


def billable(ops):
    """The order's milestones, in the order in which they are billed."""
    with ops.read() as connection:
        return milestones_of(connection, [KEY], datetime.date)[KEY]


def test_no_bill_of_a_later_milestone_credits_anything_of_an_earlier_one(ops):
    days = [NOW + timedelta(days=number) for number in range(4)]
    for name, share in (("a", "33.3333"), ("b", "33.3333"), ("c", "33.3334")):
        decide(ops, plan_milestone, percent(name, share))
    recorded = [
        [("a", days[2], days[0]), ("b", days[0], days[0])],
        [("b", days[0], days[1])],
        [("c", days[0], days[2]), ("b", days[1], days[2])],
        [("a", days[0], days[3]), ("b", days[0], days[3])],
    ]
    seen = []
    for records in recorded:
        for name, on, at in records:
            with ops.write() as connection:
                reach_milestone(connection, KEY, name, on.date(), replace(FINANCE, now=at))
        seen.append(billable(ops))
    assert ["".join(one.name for one in milestones) for milestones in seen] == ["bac", "bac", "bac", "bac"]
    for cents in range(1, 1001):
        rows = [order_row(1, state([line("A", "1", str(Decimal(cents) / 100))]))]
        for now, milestones in zip(days, seen, strict=True):
            found = follow(rows, milestones, today=now.date())
            assert "credit_note" not in kinds_of(found), cents
            rows += as_rows(found, POSTED)
        assert sum(Decimal(row.payload["amount"]) for row in rows[1:]) * 100 == cents


def note(connection):
    audit.append(connection, [audit.Entry("run-1", "posting.planned", "posting:1", {})], at=NOW)


def forget(connection):
    put_off(connection, "memory", [KEY], [])


def wait_until_later(connection):
    put_off(connection, "memory", [], [(KEY, 0, TODAY + timedelta(days=90))])


@pytest.mark.parametrize("is_waiting", [True, False], ids=["that waits", "that nobody waits for"])
@pytest.mark.parametrize(
    ("before", "after"),
    [([forget], [note]), ([note, forget], []), ([note], [forget, note]), ([forget], [wait_until_later])],
    ids=["billed", "recorded", "planned", "put off"],
)
def test_a_decision_and_billing_at_once_both_go_through_and_the_order_is_looked_at_again(
    ops, before, after, is_waiting
):
    post(ops, MemoryErp(), [order(1, amount="100")], BY_MILESTONES)
    with ops.write() as connection:
        put_off(connection, "memory", [KEY], [(KEY, 0, TODAY)] if is_waiting else [])
    with ThreadPoolExecutor(1) as pool:
        with ops.write() as connection:
            for step in before:
                step(connection)
            other = pool.submit(decide, ops, plan_milestone, percent("design", "50"))
            time.sleep(0.3)  # the other one has begun
            for step in after:
                step(connection)
        other.result()
    with ops.read() as connection:
        due = connection.execute(select(billing_due.c.due_on)).scalars().all()
    assert due == [TODAY - timedelta(days=1)]


def test_what_credits_an_invoice_that_the_erp_does_not_hold_is_never_sent(ops):
    once = replace(BY_MILESTONES, max_attempts=1)
    erp = MemoryErp(faults=lambda document: Fault.BUSY if document.kind is DocumentKind.INVOICE else None)
    post(ops, erp, [order(1, amount="100")], once)
    for name, share in (("design", "30"), ("build", "70")):
        decide(ops, plan_milestone, percent(name, share))
    decide(ops, reach_milestone, "design", TODAY)
    run(ops, MemoryWriter(erp), once)
    erp.faults = lambda _: None
    decide(ops, drop_milestone, "design")
    decide(ops, plan_milestone, percent("build", "100"))
    run(ops, MemoryWriter(erp), once)
    query = select(posting.c.document_kind, posting.c.state, posting.c.key).order_by(posting.c.id)
    with ops.write() as connection:
        rows = connection.execute(query).all()
        assert [tuple(row[:2]) for row in rows[-2:]] == [("invoice", "dead"), ("credit_note", "planned")]
        close(connection, rows[-2].key, actor="ops", reason="never made", now=NOW, erp_id=None, absent=True)
    run(ops, MemoryWriter(erp), once)
    with ops.read() as connection:
        assert [row.state for row in connection.execute(query).all()[-2:]] == ["superseded", "superseded"]
    decide(ops, reach_milestone, "build", TODAY)
    run(ops, MemoryWriter(erp), once)
    assert (billed(erp), codes(ops)) == ({"1": Decimal(100)}, [])
