"""The day on which something is invoiced, and its accounting date, are those of the books' time zone."""

from dataclasses import replace
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from meshline_dagster.core.followups import BillingPolicy, InvoiceTrigger
from meshline_dagster.orchestration.drain_sensor import why_drain
from meshline_dagster.testing.memory_erp import MemoryErp, MemoryWriter
from tests.integration.test_delivery_billing import INVOICE, post, run
from tests.integration.test_delivery_closed_states import starting
from tests.integration.test_delivery_engine import OPTIONS, order

START = date(2027, 4, 1)
BEFORE = datetime(2027, 3, 20, tzinfo=UTC)


def billed_in(zone, **more):
    return replace(OPTIONS, billing=BillingPolicy(trigger=InvoiceTrigger.START, zone=ZoneInfo(zone), **more))


def dates(erp):
    return [write.payload["invoice_date"] for write in erp.writes if write.kind is INVOICE]


@pytest.mark.parametrize(
    ("zone", "too_early", "at_last"),
    [
        ("Asia/Tokyo", datetime(2027, 3, 31, 14, 59, tzinfo=UTC), datetime(2027, 3, 31, 15, 0, tzinfo=UTC)),
        ("America/Los_Angeles", datetime(2027, 4, 1, 6, 59, tzinfo=UTC), datetime(2027, 4, 1, 7, 0, tzinfo=UTC)),
    ],
)
def test_an_order_is_invoiced_when_its_day_has_begun_where_the_books_are_kept(ops, zone, too_early, at_last):
    options, erp = billed_in(zone), MemoryErp()
    post(ops, erp, [starting(order(1), START)], options, clock=lambda: BEFORE)
    assert why_drain(ops, options, now=too_early) == (False, "nothing is due")
    run(ops, MemoryWriter(erp), options, clock=lambda: too_early)
    assert dates(erp) == []
    assert why_drain(ops, options, now=at_last) == (True, "orders are to be invoiced from today on")
    run(ops, MemoryWriter(erp), options, clock=lambda: at_last)
    assert dates(erp) == ["2027-04-01"]


@pytest.mark.parametrize(("closed", "dated"), [(None, "2027-04-01"), (date(2027, 4, 1), "2027-04-02")])
def test_a_document_is_dated_by_the_day_of_the_books_and_so_is_a_closed_period(ops, closed, dated):
    options, erp = billed_in("Pacific/Auckland", closed_through=closed), MemoryErp()
    post(ops, erp, [order(1)], options, clock=lambda: datetime(2027, 3, 31, 20, tzinfo=UTC))
    assert dates(erp) == [dated]
    [invoice] = [write for write in erp.writes if write.kind is INVOICE]
    assert invoice.payload["original_date"] == "2027-04-01"
