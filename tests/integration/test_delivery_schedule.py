"""Orders whose lines are billed by the periods of their term, against an ERP in memory, day by day."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from meshline_dagster.core.followups import BillingPolicy, InvoiceTrigger
from meshline_dagster.core.invoice_schedule import BilledIn, BillingEvery, BillingSchedule
from meshline_dagster.orchestration.drain_sensor import why_drain
from meshline_dagster.store.exceptions import exceptions
from meshline_dagster.testing.memory_erp import MemoryErp, MemoryWriter
from tests.integration.test_delivery_billing import INVOICE, billed, post, run
from tests.integration.test_delivery_engine import OPTIONS, order

QUARTERLY = BillingSchedule(BillingEvery.QUARTER, BilledIn.ARREARS)
POLICY = BillingPolicy(trigger=InvoiceTrigger.SCHEDULE, schedule=QUARTERLY)
OPTIONS_BY_PERIODS = replace(OPTIONS, billing=POLICY)


def at(day, hour=12):
    return lambda: datetime(day.year, day.month, day.day, hour, tzinfo=UTC)


def termed(row, first, last, **line):
    lines = [{**row.payload["lines"][0], "start": first.isoformat(), "end": last.isoformat(), **line}]
    return replace(row, payload={**row.payload, "lines": lines})


def invoices(erp):
    return [(one.payload["invoice_date"], one.payload["amount"]) for one in erp.writes if one.kind is INVOICE]


def test_a_period_is_invoiced_by_the_run_of_its_day_and_the_drain_asks_for_that_run(ops):
    erp, options = MemoryErp(), OPTIONS_BY_PERIODS
    row = termed(order(1, amount="100"), date(2027, 1, 1), date(2027, 12, 31))
    post(ops, erp, [row], options, clock=at(date(2026, 12, 20)))
    assert invoices(erp) == []
    for month in (4, 7, 10):
        before, day = date(2027, month, 1) - timedelta(days=1), date(2027, month, 1)
        assert why_drain(ops, options, now=at(before)()) == (False, "nothing is due")
        assert why_drain(ops, options, now=at(day)()) == (True, "orders are to be invoiced from today on")
        run(ops, MemoryWriter(erp), options, clock=at(day))
        assert run(ops, MemoryWriter(erp), options, clock=at(day, 13)).outcomes == {}
    assert invoices(erp) == [("2027-04-01", "25"), ("2027-07-01", "25"), ("2027-10-01", "25")]
    run(ops, MemoryWriter(erp), options, clock=at(date(2028, 1, 1)))
    assert billed(erp) == {"1": Decimal(100)}
    assert why_drain(ops, options, now=at(date(2038, 1, 1))()) == (False, "nothing is due")


def test_a_sync_that_was_away_for_a_year_invoices_each_period_that_has_passed(ops):
    erp = MemoryErp()
    row = termed(order(1, amount="100"), date(2027, 1, 1), date(2027, 12, 31))
    post(ops, erp, [row], OPTIONS_BY_PERIODS, clock=at(date(2026, 12, 20)))
    run(ops, MemoryWriter(erp), OPTIONS_BY_PERIODS, clock=at(date(2027, 11, 5)))
    [invoice] = [one.payload for one in erp.writes if one.kind is INVOICE]
    assert [(line["end"], line["amount"]) for line in invoice["lines"]] == [
        ("2027-03-31", "25"),
        ("2027-06-30", "25"),
        ("2027-09-30", "25"),
    ]


def test_a_period_begins_where_the_books_are_kept(ops):
    options = replace(OPTIONS, billing=replace(POLICY, zone=ZoneInfo("Asia/Tokyo")))
    erp, row = MemoryErp(), termed(order(1, amount="100"), date(2027, 1, 1), date(2027, 12, 31))
    post(ops, erp, [row], options, clock=at(date(2026, 12, 20)))
    assert why_drain(ops, options, now=at(date(2027, 3, 31), 14)()) == (False, "nothing is due")
    run(ops, MemoryWriter(erp), options, clock=at(date(2027, 3, 31), 15))
    assert invoices(erp) == [("2027-04-01", "25")]


def test_a_cancellation_credits_the_periods_that_were_invoiced_and_no_more_are(ops):
    erp, options = MemoryErp(), OPTIONS_BY_PERIODS
    first, gone = order(1, amount="100"), order(1, version=2, amount="100", status="cancelled")
    rows = [termed(first, date(2027, 1, 1), date(2027, 12, 31))]
    post(ops, erp, rows, options, clock=at(date(2026, 12, 20)))
    run(ops, MemoryWriter(erp), options, clock=at(date(2027, 8, 1)))
    assert billed(erp) == {"1": Decimal(50)}
    rows.append(termed(gone, date(2027, 1, 1), date(2027, 12, 31)))
    post(ops, erp, rows, options, clock=at(date(2027, 8, 2)))
    assert billed(erp) == {"1": Decimal(0)}
    run(ops, MemoryWriter(erp), options, clock=at(date(2028, 8, 1)))
    assert billed(erp) == {"1": Decimal(0)}


def test_an_order_that_is_worth_less_than_nothing_so_far_is_for_finance_until_enough_is_due(ops):
    erp, options = MemoryErp(), OPTIONS_BY_PERIODS
    row = termed(order(1, amount="100"), date(2027, 1, 1), date(2027, 12, 31))
    discount = {**row.payload["lines"][0], "line": "2", "sku": "B", "unit_price": "-30", "amount": "-30"}
    lines = [*row.payload["lines"], {**discount, "start": None, "end": None}]
    row = replace(row, payload={**row.payload, "amount": "70", "lines": lines})
    post(ops, erp, [row], options, clock=at(date(2027, 1, 2)))
    with ops.read() as connection:
        assert [(item.code, item.owner) for item in exceptions(connection)] == [("negative_bill", "finance")]
    for month, made in ((4, {}), (7, {"1": Decimal(20)}), (10, {"1": Decimal(45)})):
        run(ops, MemoryWriter(erp), options, clock=at(date(2027, month, 1)))
        assert billed(erp) == made
    with ops.read() as connection:
        assert exceptions(connection) == []
