"""What the Tryton writer does with batches, half-done sales, amendments and lost answers, on a real Tryton."""

import asyncio
import dataclasses
from datetime import date
from decimal import Decimal

import pytest
from pydantic import SecretStr

from meshline_dagster.core.documents import DocumentKind, Outcome
from meshline_dagster.core.errors import AuthError, ConfigError
from meshline_dagster.core.settle import difference
from meshline_dagster.erp.tryton_rpc import TrytonSession
from meshline_dagster.testing.erp_control import find_one, post_one, run, settle
from meshline_dagster.testing.erp_documents import Sample
from tests.integration.erp.tryton_writers import writer_on

pytest_plugins = ["tests.integration.erp.tryton_fixtures"]
pytestmark = [pytest.mark.tryton, pytest.mark.slow]

ORDER = DocumentKind.SALES_ORDER
BOOKED = date(2017, 4, 3)  # the samples' day: Tryton posts no invoice of a day before that of the last one
LINES = [("GTX Basic", "2", "550"), ("MG Special", "10", "55")]


def invoiced(sql, order):
    """The untaxed amounts of the order's invoices, also of drafts."""
    rows = sql(
        """
        select i.id, sum(round(il.quantity::numeric * il.unit_price, 2))
        from sale_sale s
        join sale_line l on l.sale = s.id
        join account_invoice_line il on il.origin = 'sale.line,' || l.id
        join account_invoice i on i.id = il.invoice
        where s.external_id = :id
        group by i.id
        """,
        id=order.external_id,
    )
    return [amount for _, amount in rows]


def test_one_bad_row_in_a_batch_of_twenty_is_refused_in_trytons_words_and_the_others_stand(writer, sample, sql):
    orders = [sample.order(number, LINES) for number in range(20)]
    orders[13] = sample.order(13, [("GTX Basic", "1.5", "550")])  # units are whole in this Tryton

    async def work(opened):
        await settle(opened, sample.customer())
        return await opened.post(orders), await opened.find(ORDER, [order.external_id for order in orders])

    answers, found = run(writer, work)
    assert [answer.outcome for answer in answers].count(Outcome.CREATED) == 19
    assert answers[13].outcome is Outcome.REJECTED
    assert "Quantity" in answers[13].message
    assert set(found) == {order.external_id for order in orders} - {orders[13].external_id}
    assert all(difference(ORDER, orders[0].payload, one) is None for [one] in found.values())
    assert sql("select count(*) from sale_sale where external_id = :id", id=orders[13].external_id) == [(0,)]


def test_what_is_refused_after_its_creation_is_taken_back(writer, sample, sql):
    orders = [sample.order(number, LINES) for number in range(4)]
    stranger = Sample("USD")
    homeless = stranger.order(9, LINES)

    async def work(opened):
        await settle(opened, sample.customer(), stranger.customer())
        sql(
            "delete from party_address a using party_party p where a.party = p.id and p.code = :code",
            code=stranger.customer().external_id,
        )
        return await opened.post([*orders, homeless])

    answers = run(writer, work)
    assert [answer.outcome for answer in answers] == [Outcome.CREATED] * 4 + [Outcome.REJECTED]
    assert "address" in answers[4].message
    assert sql("select count(*) from sale_sale where external_id = :id", id=homeless.external_id) == [(0,)]


def test_a_taken_external_id_is_said_to_exist_and_with_other_content_to_differ(writer, sample):
    order, other = sample.order(1, LINES), sample.order(1, LINES[:1])
    elsewhere = dataclasses.replace(other, event_id="f" * 64)

    async def work(opened):
        made = await settle(opened, sample.customer(), order)
        return made[1], await post_one(opened, order), await post_one(opened, elsewhere)

    made, again, different = run(writer, work)
    assert (again.outcome, again.erp_id) == (Outcome.EXISTS, made.erp_id)
    assert (different.outcome, different.field, different.erp_id) == (Outcome.EXISTS_DIFFERENT, "amount", made.erp_id)


def test_a_race_for_one_external_id_makes_one_sale(company, sample, sql):
    order = sample.order(1, LINES)

    async def work(opened):
        await settle(opened, sample.customer())
        rivals = [writer_on(company) for _ in range(4)]
        for rival in rivals:
            await rival.open()
        answers = await asyncio.gather(*(post_one(rival, order) for rival in rivals))
        for rival in rivals:
            await rival.aclose()
        return answers, await find_one(opened, order)

    answers, [found] = run(writer_on(company), work)
    assert [answer.outcome for answer in answers].count(Outcome.CREATED) == 1
    assert {answer.outcome for answer in answers} <= {Outcome.CREATED, Outcome.EXISTS, Outcome.UNKNOWN}
    assert difference(ORDER, order.payload, found) is None
    assert invoiced(sql, order) == [Decimal(1650)]


@pytest.mark.parametrize("call", ["create", "quote", "confirm"])
def test_a_post_that_stops_half_way_is_completed_by_the_next_one(writer, proxy, sample, sql, call):
    order = sample.order(1, LINES)

    async def work(opened):
        await settle(opened, sample.customer())
        proxy.lose_next(f"model.sale.sale.{call}")
        lost = await post_one(opened, order)
        [between] = await find_one(opened, order)
        again = await post_one(opened, order)
        return lost, between, again, await find_one(opened, order)

    lost, between, again, [found] = run(writer, work)
    assert lost.outcome is Outcome.UNKNOWN
    assert between.status == ("open" if call == "confirm" else "partial")
    assert again.outcome is (Outcome.EXISTS if call == "confirm" else Outcome.CREATED)
    assert difference(ORDER, order.payload, found) is None
    assert invoiced(sql, order) == [Decimal(1650)]


def test_a_confirmed_sale_that_was_never_processed_is_partial_until_it_is(writer, company, sample, sql):
    """As after a server that died between the confirmation and the invoice."""
    order = sample.order(1, LINES)

    async def work(opened):
        await settle(opened, sample.customer(), order)
        sql("update sale_sale set state = 'confirmed' where external_id = :id", id=order.external_id)
        [before] = await find_one(opened, order)
        return before, await post_one(opened, order), await find_one(opened, order)

    before, answer, [after] = run(writer, work)
    assert (before.status, answer.outcome, after.status) == ("partial", Outcome.CREATED, "open")
    assert invoiced(sql, order) == [Decimal(1650)]


def test_an_amendment_changes_empties_and_adds_lines_and_the_invoice_follows(writer, sample, sql):
    first = sample.order(1, LINES)
    wanted = [("GTX Basic", "3", "540.5"), ("GTX Pro", "1", "4821"), ("GTX Pro", "2", "4700")]
    second = sample.order(1, wanted, version=2, po_number="PO-77")
    third = sample.order(1, LINES, version=3)

    async def work(opened):
        await settle(opened, sample.customer(), first, second)
        amended, invoices = await find_one(opened, second), invoiced(sql, second)
        await settle(opened, third)
        return amended, invoices, await find_one(opened, third)

    [amended], invoices, [back] = run(writer, work)
    assert difference(ORDER, second.payload, amended) is None
    assert amended.event_id == second.event_id
    assert invoices == [Decimal("15842.50")]
    assert difference(ORDER, third.payload, back) is None
    assert invoiced(sql, third) == [Decimal(1650)]


def test_what_is_invoiced_already_is_corrected_by_documents_of_its_own(writer, company, sample, sql):
    first, second = sample.order(1, LINES), sample.order(1, LINES[:1], version=2)
    admin = TrytonSession(company.base_url, company.database, "admin", company.password, 1)

    async def work(opened):
        await settle(opened, sample.customer(), first)
        admin.connect(max_in_flight=1, request_timeout=60)
        [sale] = await admin.rows("sale.sale", [["external_id", "=", first.external_id]], ["invoices"])
        await admin.ask("account.invoice", "write", sale["invoices"], {"invoice_date": BOOKED})
        await admin.ask("account.invoice", "post", sale["invoices"])
        await settle(opened, second)
        [sale] = await admin.rows("sale.sale", [["external_id", "=", first.external_id]], ["invoices"])
        invoices = await admin.rows("account.invoice", [["id", "in", sale["invoices"]]], ["state", "untaxed_amount"])
        await admin.aclose()
        return await find_one(opened, second), invoices

    [found], invoices = run(writer, work)
    assert difference(ORDER, second.payload, found) is None
    assert sorted((one["state"], one["untaxed_amount"]) for one in invoices) == [
        ("draft", Decimal(-550)),
        ("posted", Decimal(1650)),
    ]


def test_an_amendment_of_another_customer_moves_the_sale(writer, sample):
    other = Sample("USD")
    first = sample.order(1, LINES)
    second = sample.order(1, LINES, version=2, customer=other.customer().external_id, payment_terms="Net 60")

    async def work(opened):
        await settle(opened, sample.customer(), other.customer(), first, second)
        return await find_one(opened, second)

    [found] = run(writer, work)
    assert found.customer == other.customer().external_id
    assert found.event_id == second.event_id


def test_an_amendment_that_stops_half_way_is_made_once(writer, proxy, sample, sql):
    first, second = sample.order(1, LINES), sample.order(1, [*LINES, ("GTK 500", "1", "26768")], version=2)

    async def work(opened):
        await settle(opened, sample.customer(), first)
        proxy.lose_next("model.sale.amendment.create")
        lost = await post_one(opened, second)
        [between] = await find_one(opened, second)
        return lost, between, await post_one(opened, second), await find_one(opened, second)

    lost, between, again, [found] = run(writer, work)
    assert lost.outcome is Outcome.UNKNOWN
    assert difference(ORDER, first.payload, between) is None
    assert again.outcome is Outcome.UPDATED
    assert difference(ORDER, second.payload, found) is None
    assert invoiced(sql, second) == [Decimal(28418)]


def test_a_draft_of_ours_is_replaced_by_an_amendment(writer, company, sample):
    first, second = sample.order(1, LINES), sample.order(1, LINES[1:], version=2)

    async def draft(opened):
        await settle(opened, sample.customer())
        session = TrytonSession(company.base_url, company.database, company.user, company.password, 1)
        session.connect(max_in_flight=1, request_timeout=30)
        code = sample.customer().external_id
        [party] = await session.rows("party.party", [["code", "=", code]], ["addresses"])
        [usd] = await session.rows("currency.currency", [["code", "=", "USD"]], ["code"])
        sale = {"party": party["id"], "currency": usd["id"], "company": 1, "external_id": first.external_id}
        await session.ask("sale.sale", "create", [{**sale, "event_id": first.event_id}])
        await session.aclose()
        return await post_one(opened, second), await find_one(opened, second)

    answer, [found] = run(writer, draft)
    assert answer.outcome is Outcome.UPDATED
    assert difference(ORDER, second.payload, found) is None


def test_a_cancelled_order_leaves_nothing_to_invoice_and_can_be_opened_again(writer, sample, sql):
    first = sample.order(1, LINES)
    cancel = sample.order(1, LINES, version=2, operation="cancel")
    again = sample.order(1, LINES[:1], version=3)

    async def work(opened):
        await settle(opened, sample.customer(), first)
        answer = await post_one(opened, cancel)
        cancelled, left = await find_one(opened, cancel), invoiced(sql, cancel)
        repeated = await post_one(opened, cancel)
        reopened = await post_one(opened, again)
        return answer, cancelled, left, repeated, reopened, await find_one(opened, again)

    answer, [cancelled], left, repeated, reopened, [found] = run(writer, work)
    assert (answer.outcome, repeated.outcome, reopened.outcome) == (Outcome.UPDATED, Outcome.EXISTS, Outcome.UPDATED)
    assert (cancelled.status, cancelled.amount, cancelled.event_id) == ("cancelled", Decimal(0), cancel.event_id)
    assert left == []
    assert difference(ORDER, again.payload, found) is None
    assert invoiced(sql, again) == [Decimal(1100)]


def test_a_half_done_order_is_cancelled_for_good(writer, proxy, sample, sql):
    order, cancel = sample.order(1, LINES), sample.order(1, LINES, version=2, operation="cancel")

    async def work(opened):
        await settle(opened, sample.customer())
        proxy.lose_next("model.sale.sale.quote")
        await post_one(opened, order)
        return await post_one(opened, cancel), await find_one(opened, cancel)

    answer, [found] = run(writer, work)
    assert (answer.outcome, found.status) == (Outcome.UPDATED, "cancelled")
    assert sql("select state from sale_sale where external_id = :id", id=order.external_id) == [("cancelled",)]


def test_a_batch_may_create_amend_and_cancel_at_once(writer, sample):
    first, second, third = (sample.order(number, LINES) for number in range(3))
    batch = [
        sample.order(0, LINES[:1], version=2),
        sample.order(1, LINES, version=2, operation="cancel"),
        sample.order(5, LINES),
        sample.order(6, LINES, version=2),
    ]

    async def work(opened):
        await settle(opened, sample.customer(), first, second, third)
        return await opened.post(batch)

    outcomes = [answer.outcome for answer in run(writer, work)]
    assert outcomes == [Outcome.UPDATED, Outcome.UPDATED, Outcome.CREATED, Outcome.REJECTED]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"payment_terms": "whenever"}, "payment_terms"),
        ({"currency": "XTS"}, "currency"),
        ({"amount": "1"}, "amount"),
        ({"order_date": "some day"}, "payload"),
    ],
)
def test_what_tryton_does_not_know_is_refused_before_a_request(writer, proxy, sample, changes, field):
    order = sample.order(1, LINES, **changes)

    async def work(opened):
        await settle(opened, sample.customer())
        proxy.calls.clear()
        return await post_one(opened, order)

    answer = run(writer, work)
    assert (answer.outcome, answer.field) == (Outcome.REJECTED, field)
    assert "model.sale.sale.create" not in proxy.calls


def test_a_price_that_does_not_come_out_is_derived_from_the_amount(writer, sample):
    order = sample.order(1, [("MG Special", "3", "33.33")], amount="100")
    order.payload["lines"][0]["amount"] = "100"

    async def work(opened):
        await settle(opened, sample.customer(), order)
        return await find_one(opened, order)

    [found] = run(writer, work)
    assert (found.amount, found.lines[0].unit_price) == (Decimal(100), Decimal("33.333333"))


def test_what_operators_keep_is_asked_once_and_again_where_a_name_was_not_there(writer, proxy, sample, ask):
    terms = f"Net {sample.customer().external_id}"
    orders = [sample.order(number, LINES[:1]) for number in (1, 2)]
    late = sample.order(3, LINES[:1], payment_terms=terms)
    kept = [f"model.{name}.search_read" for name in ("account.tax", "account.invoice.payment_term", "product.uom")]

    async def work(opened):
        await settle(opened, sample.customer(), *orders)
        once = [proxy.calls.count(call) for call in kept]
        refused = await post_one(opened, late)
        added = {"name": terms, "lines": [["create", [{"type": "remainder"}]]]}
        await asyncio.to_thread(ask, "account.invoice.payment_term", "create", [added])
        return once, refused, await post_one(opened, late)

    once, refused, taken = run(writer, work)
    assert once == [1, 1, 1]
    assert (refused.outcome, refused.field) == (Outcome.REJECTED, "payment_terms")
    assert taken.outcome is Outcome.CREATED


def test_an_ended_session_is_renewed(writer, sample, sql):
    async def work(opened):
        await settle(opened, sample.customer())
        sql("delete from ir_session")
        return await post_one(opened, sample.order(1, LINES))

    assert run(writer, work).outcome is Outcome.CREATED


def test_customers_come_in_batches_and_once(writer, company, sql):
    samples = [Sample("USD") for _ in range(5)]
    customers = [one.customer(f"Customer {place}") for place, one in enumerate(samples)]
    customers[0].payload["country"] = "United States"

    async def work(opened):
        await settle(opened, customers[2])
        return await opened.post(customers), await opened.post(customers[:2])

    answers, again = run(writer, work)
    created, exists = Outcome.CREATED, Outcome.EXISTS
    assert [answer.outcome for answer in answers] == [created, created, exists, created, created]
    assert [answer.outcome for answer in again] == [exists] * 2
    query = """
        select c.code from party_party p join party_address a on a.party = p.id join country_country c on c.id = a.country
        where p.code = :code
    """
    assert sql(query, code=customers[0].external_id) == [("US",)]


def test_sales_that_are_not_ours_are_read_back_without_an_external_id(writer, company, sample, sql):
    order = sample.order(1, LINES)

    async def work(opened):
        await settle(opened, sample.customer(), order)
        sql("update sale_sale set external_id = null, event_id = null where external_id = :id", id=order.external_id)
        return [one async for page in opened.read(ORDER, None) for one in page]

    foreign = [one for one in run(writer, work) if one.customer == sample.customer().external_id]
    assert [(one.external_id, one.event_id, one.amount) for one in foreign] == [("", None, Decimal(1650))]


def test_opening_says_what_is_wrong(company):
    with pytest.raises(AuthError) as raised:
        run(writer_on(dataclasses.replace(company, password=SecretStr("guess"))), lambda opened: opened.company())
    assert "guess" not in str(raised.value)
    with pytest.raises(ConfigError, match="companies"):
        run(writer_on(company, number="7"), lambda opened: opened.company())
    with pytest.raises(ConfigError, match="number"):
        writer_on(company, number="Acme")
