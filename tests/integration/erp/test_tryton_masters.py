"""Items and addresses on a real Tryton: made once with what Tryton wants of them, and named by the orders that follow."""

import asyncio
import dataclasses
from decimal import Decimal

import pytest

from meshline_dagster.core.documents import DocumentKind, Outcome
from meshline_dagster.erp.tryton_items import NewItems
from meshline_dagster.testing.erp_control import find_one, post_one, run, settle
from meshline_dagster.testing.erp_documents import Sample
from tests.integration.erp.tryton_writers import writer_on

pytest_plugins = ["tests.integration.erp.tryton_fixtures"]
pytestmark = [pytest.mark.tryton, pytest.mark.slow]

LINES = [("GTX Basic", "2", "550")]
ADDRESS, ITEM = DocumentKind.ADDRESS, DocumentKind.ITEM
CREATED, EXISTS, REJECTED = Outcome.CREATED, Outcome.EXISTS, Outcome.REJECTED


def told(document, **changes):
    return dataclasses.replace(document, payload={**document.payload, **changes})


def item_of(**changes):
    return told(Sample("USD").item(), **changes)


def test_a_new_item_has_what_its_category_says_and_its_price_in_the_companys_currency(writer, sql):
    item, foreign = item_of(), item_of(currency="EUR")
    answers = run(writer, lambda opened: opened.post([item, foreign]))
    assert [answer.outcome for answer in answers] == [CREATED, CREATED]
    query = """
        select t.name, t.type, t.salable, u.symbol, c.name, l.list_price
        from product_product p join product_template t on t.id = p.template join product_uom u on u.id = t.sale_uom
        join product_category c on c.id = t.account_category left join product_list_price l on l.template = t.id
        where p.code = :sku
    """
    made = ("Probe 字", "goods", True, "u", "Goods")
    assert sql(query, sku=item.external_id) == [(*made, Decimal("9.50"))]
    assert [tuple(row)[:5] for row in sql(query, sku=foreign.external_id)] == [made]
    assert [row.list_price for row in sql(query, sku=foreign.external_id)] == [None]


def test_one_item_that_tryton_cannot_make_leaves_the_others_of_its_batch_alone(writer):
    items = [item_of(), item_of(uom="fathom"), item_of(list_price="much"), item_of()]
    answers = run(writer, lambda opened: opened.post(items))
    assert [answer.outcome for answer in answers] == [CREATED, REJECTED, REJECTED, CREATED]
    assert [answer.field for answer in answers] == [None, "uom", "payload", None]


def test_a_batch_of_items_whose_answer_is_lost_is_there_once_each(writer, proxy):
    items = [item_of() for _ in range(3)]

    async def work(opened):
        proxy.lose_next("model.product.template.create")
        lost = await opened.post(items)
        found = await opened.find(ITEM, [item.external_id for item in items])
        return lost, found, await opened.post([*items, item_of()])

    lost, found, again = run(writer, work)
    assert {answer.outcome for answer in lost} == {Outcome.UNKNOWN}
    assert [len(found[item.external_id]) for item in items] == [1, 1, 1]
    assert [answer.outcome for answer in again] == [EXISTS, EXISTS, EXISTS, CREATED]
    assert [answer.erp_id for answer in again[:3]] == [found[item.external_id][0].erp_id for item in items]


@pytest.mark.parametrize("change", ["salable = false", "active = false"])
def test_a_code_that_is_taken_by_a_product_which_is_not_sold_is_for_a_person(writer, sql, change):
    item = item_of()

    async def work(opened):
        await settle(opened, item)
        sql(f"update product_template set {change} where code = :sku", sku=item.external_id)
        sql("update product_product set active = (select active from product_template t where t.id = template)")
        return await post_one(opened, item)

    answer = run(writer, work)
    assert (answer.outcome, answer.field) == (REJECTED, "sku")
    assert sql("select count(*) from product_template where code = :sku", sku=item.external_id) == [(1,)]


def test_new_items_are_what_the_destination_says(company, sql):
    services, nowhere = NewItems("Goods", "service"), NewItems("Nowhere")
    item, lost = item_of(), item_of()
    made = run(writer_on(company, new_items=services), lambda opened: post_one(opened, item))
    refused = run(writer_on(company, new_items=nowhere), lambda opened: post_one(opened, lost))
    assert made.outcome is CREATED
    assert sql("select type from product_template where code = :sku", sku=item.external_id) == [("service",)]
    assert (refused.outcome, refused.field) == (REJECTED, "item_category")


@pytest.mark.parametrize("kind", ["address", "item"])
def test_a_race_for_one_name_makes_one_master(company, sample, kind):
    document = getattr(sample, kind)()

    async def work(opened):
        await settle(opened, sample.customer())
        rivals = [writer_on(company) for _ in range(4)]
        for rival in rivals:
            await rival.open()
        answers = await asyncio.gather(*(post_one(rival, document) for rival in rivals))
        for rival in rivals:
            await rival.aclose()
        return answers, await find_one(opened, document)

    answers, [found] = run(writer_on(company), work)
    assert [answer.outcome for answer in answers].count(CREATED) == 1
    assert {answer.outcome for answer in answers} <= {CREATED, EXISTS, Outcome.UNKNOWN}
    assert {answer.erp_id for answer in answers} <= {found.erp_id, None}


def test_an_address_is_as_the_crm_has_it(writer, sample, sql):
    address = told(sample.address(), name="Acme Depot", country="United States", region="Nowhere", use="ship_to")
    run(writer, lambda opened: settle(opened, sample.customer(), address))
    query = """
        select a.party_name, a.street_unstructured, a.city, a.postal_code, c.code, a.subdivision, a.invoice, a.delivery
        from party_address a left join country_country c on c.id = a.country where a.external_id = :id
    """
    [row] = sql(query, id=address.external_id)
    assert tuple(row[:6]) == ("Acme Depot", "Rådhuspladsen 1\n2. sal", "København", "1550", "US", None)
    assert (bool(row.invoice), row.delivery) == (False, True)


def addresses_of(sql, order):
    query = """
        select i.external_id, s.external_id from sale_sale o
        left join party_address i on i.id = o.invoice_address left join party_address s on s.id = o.shipment_address
        where o.external_id = :id
    """
    [row] = sql(query, id=order.external_id)
    return tuple(row)


def test_orders_and_their_invoices_go_to_the_addresses_that_they_name(company, sample, sql):
    billing = sample.address()  # each is named for what it is not used for
    shipping = told(Sample("USD").address(), use="bill_to")
    shipping.payload["customer"] = sample.customer().external_id
    order = sample.order(1, LINES, bill_to=billing.external_id, ship_to=shipping.external_id)
    invoice = sample.invoice(1, LINES)
    documents = [sample.customer(), billing, shipping, order, invoice]
    run(writer_on(company, invoices=True), lambda opened: settle(opened, *documents))
    assert addresses_of(sql, order) == (billing.external_id, shipping.external_id)
    query = "select a.external_id from account_invoice i join party_address a on a.id = i.invoice_address where i.external_id = :id"
    assert sql(query, id=invoice.external_id) == [(billing.external_id,)]


def test_an_amendment_moves_an_order_in_progress_to_another_address_and_leaves_what_it_does_not_name(
    writer, sample, sql
):
    first, second = (told(one.address(), customer=sample.customer().external_id) for one in (sample, Sample("USD")))
    order = sample.order(1, LINES, bill_to=first.external_id, ship_to=first.external_id)
    moved = sample.order(1, LINES, version=2, bill_to=None, ship_to=second.external_id)
    same = sample.order(1, LINES, version=3)

    async def work(opened):
        await settle(opened, sample.customer(), first, second, order, moved)
        after = addresses_of(sql, order)
        await settle(opened, same)
        return after

    assert run(writer, work) == (first.external_id, second.external_id)
    assert addresses_of(sql, order) == (first.external_id, second.external_id)


@pytest.mark.parametrize("member", ["bill_to", "ship_to"])
def test_an_order_to_an_unknown_address_is_refused_before_a_request(writer, proxy, sample, member):
    order = sample.order(1, LINES, **{member: sample.address().external_id})

    async def work(opened):
        await settle(opened, sample.customer())
        proxy.calls.clear()
        return await post_one(opened, order)

    answer = run(writer, work)
    assert (answer.outcome, answer.field) == (REJECTED, member)
    assert "model.sale.sale.create" not in proxy.calls
