"""What a sync's YAML may say about documents, and that what nobody would read or build is refused when it is loaded."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from pydantic import ValidationError

from meshline_dagster.core.documents import DocumentKind
from meshline_dagster.core.followups import Amendments, BillingPolicy, InvoiceTrigger
from meshline_dagster.core.invoice_schedule import BilledIn, BillingEvery, BillingSchedule
from meshline_dagster.core.partials import PartialPolicy
from meshline_dagster.orchestration.connect import connect_writer
from meshline_dagster.orchestration.settings import SyncSettings
from meshline_dagster.warehouse.records import BillingTerms

INVOICED = {"documents": "order_and_invoice"}


def settings(policy, **destination):
    return SyncSettings.model_validate(
        {
            "origin": "2026-01-01",
            "sources": [{"type": "salesforce"}],
            "destination": {"type": "rest", "sandbox": True, **destination},
            "policy": policy,
        }
    )


def test_orders_only_are_posted_unless_invoices_are_asked_for():
    assert settings({}).delivery().billing is None
    assert settings(INVOICED).delivery().billing == BillingPolicy()


def test_all_that_is_said_reaches_the_delivery():
    told = INVOICED | {
        "amendments": "credit_and_rebill",
        "invoice_trigger": "start",
        "invoices_from": "2026-02-01",
        "books_closed_through": "2026-01-31",
    }
    assert settings(told).delivery().billing == BillingPolicy(
        Amendments.CREDIT_AND_REBILL, InvoiceTrigger.START, since=date(2026, 2, 1), closed_through=date(2026, 1, 31)
    )


def test_each_trigger_reaches_the_delivery_and_one_that_nobody_knows_is_refused():
    for trigger in ("booking", "start", "delivery", "milestone"):
        assert settings(INVOICED | {"invoice_trigger": trigger}).delivery().billing.trigger.value == trigger
    with pytest.raises(ValidationError, match="invoice_trigger"):
        settings(INVOICED | {"invoice_trigger": "whim"})


BY_PERIODS = INVOICED | {"invoice_trigger": "schedule", "billing_every": "half_year", "billed_in": "arrears"}


def test_the_periods_of_a_schedule_reach_the_delivery_and_the_comparison_with_the_erp():
    told = settings(BY_PERIODS)
    schedule = BillingSchedule(BillingEvery.HALF_YEAR, BilledIn.ARREARS)
    assert told.delivery().billing == BillingPolicy(trigger=InvoiceTrigger.SCHEDULE, schedule=schedule)
    terms = told.billing_terms(datetime(2026, 5, 1, tzinfo=UTC))
    assert terms == BillingTerms(date(2026, 5, 1), "schedule", months=6, in_arrears=True)
    assert SyncSettings(**told.model_dump()) == told


@pytest.mark.parametrize("missing", ["billing_every", "billed_in"])
def test_a_schedule_says_how_long_a_period_is_and_when_it_is_invoiced(missing):
    with pytest.raises(ValidationError, match=r"schedule needs billing_every .* and billed_in"):
        settings({name: value for name, value in BY_PERIODS.items() if name != missing})


def test_periods_that_nothing_would_read_are_refused():
    with pytest.raises(ValidationError, match="billed_in: nothing reads this while invoice_trigger is start"):
        settings(INVOICED | {"invoice_trigger": "start", "billed_in": "advance"})
    with pytest.raises(ValidationError, match="billing_every: nothing reads this while documents is order_only"):
        settings({"billing_every": "month"})


def test_what_nothing_would_read_is_refused():
    with pytest.raises(ValidationError, match="amendments: nothing reads this while documents is order_only"):
        settings({"amendments": "credit_and_rebill"})


def test_what_a_redated_document_may_be_worth_reaches_the_delivery_and_needs_documents_to_be_redated():
    told = {**settings(INVOICED).model_dump(), "approvals": {"redated": {"USD": "10000"}}}
    assert SyncSettings(**told).delivery().redated == {"USD": Decimal(10_000)}
    assert settings(INVOICED).delivery().redated == {}
    with pytest.raises(ValidationError, match=r"approvals\.redated: nothing reads this"):
        SyncSettings(**{**settings({}).model_dump(), "approvals": {"redated": {"USD": "1"}}})
    for wrong in ({"usd": "1"}, {"USD": "-1"}):
        with pytest.raises(ValidationError, match=r"approvals\.redated"):
            SyncSettings(**{**told, "approvals": {"redated": wrong}})


def test_settings_that_were_read_can_be_read_again():
    for told in (settings({}), settings(INVOICED | {"amendments": "credit_and_rebill"})):
        assert SyncSettings(**told.model_dump()) == told


def test_outside_a_sandbox_it_must_be_said_from_which_day_orders_are_invoiced_here():
    with pytest.raises(ValidationError, match=r"needs policy\.invoices_from"):
        settings(INVOICED, sandbox=False)
    assert settings(INVOICED | {"invoices_from": "2026-02-01"}, sandbox=False).delivery().billing.since


@pytest.mark.parametrize("documents", ["order_only", "order_and_invoice"])
def test_the_tryton_writer_makes_invoices_where_the_sync_asks_for_them(monkeypatch, documents):
    for name in ("URL", "DATABASE", "USER", "PASSWORD"):
        monkeypatch.setenv(f"MESHLINE_TRYTON_{name}", "http://127.0.0.1:1")
    told = SyncSettings.model_validate(
        {
            "origin": "2026-01-01",
            "sources": [{"type": "salesforce"}],
            "destination": {"type": "tryton", "sandbox": True},
            "policy": {"documents": documents},
        }
    )
    operations = connect_writer(told).capabilities.operations
    assert ((DocumentKind.INVOICE, "create") in operations) is (documents == "order_and_invoice")


@pytest.mark.parametrize("partial", list(PartialPolicy))
def test_what_becomes_of_half_done_documents_reaches_the_delivery(partial):
    assert settings({"partial": partial.value}).delivery().partial is partial
    assert settings({}).delivery().partial is PartialPolicy.COMPLETE


def in_zone(**zone):
    told = settings(INVOICED).model_dump(mode="json") | zone
    return SyncSettings.model_validate(told).delivery().billing


def test_the_time_zone_of_the_books_reaches_the_delivery_and_is_utc_unless_it_is_said():
    late = datetime(2026, 12, 31, 20, tzinfo=UTC)
    assert in_zone().day(late) == date(2026, 12, 31)
    assert in_zone(time_zone="Asia/Tokyo").day(late) == date(2027, 1, 1)


@pytest.mark.parametrize("zone", ["Middle/Earth", "", "../etc/passwd", "Europe"])
def test_a_time_zone_that_nobody_knows_is_refused_when_it_is_loaded(zone):
    with pytest.raises(ValidationError, match=r"time_zone[^$]*is no time zone of the IANA"):
        in_zone(time_zone=zone)
