"""Invoices and credit notes on a real Tryton: half-done ones, the books' own numbers, and a delivery that bills what it posts."""

import asyncio
import dataclasses
from datetime import date
from decimal import Decimal

import pytest
import sqlalchemy

from meshline_dagster.core.documents import DocumentKind, Outcome
from meshline_dagster.core.followups import BillingPolicy
from meshline_dagster.delivery.engine import deliver
from meshline_dagster.testing.erp_control import find_one, post_one, run, settle
from meshline_dagster.testing.erp_documents import Sample
from meshline_dagster.testing.tryton_proxy import Fault
from tests.integration.erp.tryton_writers import writer_on
from tests.integration.test_delivery_engine import OPTIONS, customer, order, plan_rows

pytest_plugins = ["tests.integration.erp.tryton_fixtures"]
pytestmark = [pytest.mark.tryton, pytest.mark.slow]

LINES = [("GTX Basic", "2", "550"), ("MG Special", "10", "55")]
BILLED = dataclasses.replace(OPTIONS, destination="tryton", billing=BillingPolicy())


@pytest.mark.parametrize(("call", "shown"), [("create", ("partial", "created")), ("post", ("open", "exists"))])
def test_an_invoice_that_stopped_half_way_is_posted_once(invoicing, proxy, sql, call, shown):
    sample = Sample("USD")
    invoice = sample.invoice(1, LINES)

    async def work(opened):
        await settle(opened, sample.customer(), sample.order(1, LINES))
        proxy.lose_next(f"model.account.invoice.{call}")
        lost = await post_one(opened, invoice)
        [half] = await find_one(opened, invoice)
        return lost, half, await post_one(opened, invoice), await find_one(opened, invoice)

    lost, half, second, [found] = run(invoicing, work)
    assert lost.outcome is Outcome.UNKNOWN
    assert (half.status, second.outcome.value) == shown
    assert (found.status, found.amount) == ("open", Decimal(1650))
    rows = sql("select state, number from account_invoice where external_id = :id", id=invoice.external_id)
    assert [row.state for row in rows] == ["posted"]
    assert rows[0].number


def test_tryton_itself_makes_no_invoice_of_a_sale_that_is_invoiced_from_here(invoicing, sql):
    sample = Sample("USD")
    sale, invoice = sample.order(1, LINES), sample.invoice(1, LINES)
    run(invoicing, lambda opened: settle(opened, sample.customer(), sale, invoice))
    [row] = sql(
        "select invoice_method, state, invoice_state from sale_sale where external_id = :id", id=sale.external_id
    )
    assert tuple(row) == ("manual", "processing", "none")  # an origin on the invoice's lines would change the last one
    made = sql(
        "select external_id from account_invoice i join party_party p on p.id = i.party where p.code = :code",
        code=sample.customer().external_id,
    )
    assert [row.external_id for row in made] == [invoice.external_id]


def test_a_refused_invoice_leaves_no_draft_behind(invoicing, sql):
    """A day for which no fiscal year is open: Tryton says so when it is posted."""
    sample = Sample("USD")
    invoice = sample.invoice(1, LINES)
    closed = dataclasses.replace(invoice, payload={**invoice.payload, "invoice_date": "2011-01-01"})

    async def work(opened):
        await settle(opened, sample.customer(), sample.order(1, LINES))
        return await post_one(opened, closed)

    answer = run(invoicing, work)
    assert answer.outcome is Outcome.REJECTED
    assert answer.message
    assert sql("select id from account_invoice where external_id = :id", id=invoice.external_id) == []


def test_a_draft_that_a_refused_request_left_is_posted_on_the_day_of_the_next_revision(invoicing, proxy, sql):
    """The request that is to delete it is lost, and its day is closed: nobody may be refused for that day for ever."""
    sample = Sample("USD")
    invoice = sample.invoice(1, LINES)
    closed = dataclasses.replace(invoice, payload={**invoice.payload, "invoice_date": "2011-01-01"})

    async def work(opened):
        await settle(opened, sample.customer(), sample.order(1, LINES))
        proxy.plan(("model.account.invoice.delete", Fault.RESET))
        refused = await post_one(opened, closed)
        [draft] = await find_one(opened, invoice)
        return refused, draft, await post_one(opened, invoice), await find_one(opened, invoice)

    refused, draft, posted, [found] = run(invoicing, work)
    assert (refused.outcome, draft.status) == (Outcome.REJECTED, "partial")
    assert draft.document_date == date(2011, 1, 1)
    assert (posted.outcome, found.status) == (Outcome.CREATED, "open")
    [row] = sql(
        "select state, invoice_date, accounting_date from account_invoice where external_id = :id",
        id=invoice.external_id,
    )
    day = date.fromisoformat(invoice.payload["invoice_date"])
    assert tuple(row) == ("posted", day, day)


def test_batches_of_invoices_at_the_same_time_do_not_refuse_each_other(company):
    """Tryton numbers entries without gaps, and refuses a second posting while one is under way."""
    sample = Sample("USD")
    numbers = range(1, 5)

    async def work(opened):
        await settle(opened, sample.customer(), *(sample.order(number, LINES) for number in numbers))
        posts = [opened.post([sample.invoice(number, LINES)]) for number in numbers]
        return [answer.outcome for answers in await asyncio.gather(*posts) for answer in answers]

    assert run(writer_on(company, invoices=True), work) == [Outcome.CREATED] * len(numbers)


def test_an_invoice_waits_for_somebody_else_who_posts(invoicing, proxy, tryton, company):
    sample, calls = Sample("USD"), []
    engine = sqlalchemy.create_engine(tryton.postgres.url(company.database))
    with engine.connect() as clerk:

        def watch(method):
            calls.append(method)
            if calls.count("model.account.invoice.post") == 2:
                clerk.rollback()

        async def work(opened):
            await settle(opened, sample.customer(), sample.order(1, LINES))
            clerk.execute(sqlalchemy.text("select id from ir_sequence_strict for update"))
            return await post_one(opened, sample.invoice(1, LINES))

        proxy.watch = watch
        answer = run(invoicing, work)
        proxy.watch = lambda method: None
    engine.dispose()
    assert answer.outcome is Outcome.CREATED
    assert calls.count("model.account.invoice.post") == 2


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_what_is_invoiced_less_what_is_credited_is_the_order_as_it_was_posted_last(ops, company, sql):
    def state(version, **changes):
        return order(1, version=version, sku="GTX Basic", **changes)

    def post(*rows):
        plan_rows(ops, [customer(), *rows], BILLED)
        writer = writer_on(company, invoices=True, name="tryton")
        return asyncio.run(deliver(ops, writer, BILLED, actor="run")).outcomes

    def books():
        rows = sql(
            """
            select i.reverses_external_id is not null, i.state, sum(round(l.quantity::numeric * l.unit_price, 2))
            from account_invoice i join account_invoice_line l on l.invoice = i.id
            where i.order_external_id = :id group by i.id order by i.id
            """,
            id=state(1).external_id,
        )
        return [(is_credit, status, amount) for is_credit, status, amount in rows]

    assert post(state(1)) == {"created": 3}
    assert books() == [(False, "posted", Decimal(10))]
    assert post(state(1)) == {}
    cancelled = state(2, status="cancelled")
    assert post(state(1), cancelled) == {"updated": 1, "created": 1}
    assert books() == [(False, "posted", Decimal(10)), (True, "posted", Decimal(-10))]


def test_the_books_kinds_are_found_under_their_own(invoicing):
    sample = Sample("USD")
    invoice = sample.invoice(1, LINES)
    found = run(invoicing, lambda opened: opened.find(DocumentKind.CREDIT_NOTE, [invoice.external_id]))
    assert found == {}
