"""One sale of several under one external id, cancelled on a real Tryton by its id: half-done ones, and what no amendment takes back."""

import dataclasses
from datetime import date

import pytest
import sqlalchemy

from meshline_dagster.core.documents import REVERSE, DocumentKind, Outcome
from meshline_dagster.testing.erp_control import post_one, run, settle
from meshline_dagster.testing.tryton_proxy import Fault

pytest_plugins = ["tests.integration.erp.tryton_fixtures"]
pytestmark = [pytest.mark.tryton, pytest.mark.slow]

ORDER = DocumentKind.SALES_ORDER
BOOKED = date(2017, 4, 3)  # the samples' day: Tryton posts no invoice of a day before that of the last one
LINES = [("GTX Basic", "2", "550"), ("MG Special", "10", "55")]
AMENDMENT = "sale.amendment"


def reversal(order, erp_id):
    payload = {"status": "cancelled"}
    return dataclasses.replace(
        order, key="e" * 64, event_id=order.event_id[::-1], operation=REVERSE, payload=payload, erp_id=erp_id
    )


def ordered(writer, sample, order):
    [_, answer] = run(writer, lambda opened: settle(opened, sample.customer(), order))
    return answer.erp_id


def half_done(writer, proxy, sample, order, call):
    """The id of a sale whose post stopped at ``call``."""
    proxy.plan((f"model.sale.sale.{call}", Fault.RESET))

    async def work(opened):
        await settle(opened, sample.customer())
        answer = await post_one(opened, order)
        [found] = (await opened.find(ORDER, [order.external_id]))[order.external_id]
        return answer, found

    answer, found = run(writer, work)
    assert (answer.outcome, found.status) == (Outcome.UNKNOWN, "partial")
    return found.erp_id


def reverse_and_show(writer, document):
    async def work(opened):
        answer = await post_one(opened, document)
        return answer, (await opened.show(ORDER, [document.erp_id]))[document.erp_id]

    return run(writer, work)


@pytest.mark.parametrize("call", ["quote", "confirm"])
def test_a_half_done_sale_is_cancelled_and_keeps_the_event_that_it_carries(writer, proxy, sample, call):
    order = sample.order(1, LINES)
    erp_id = half_done(writer, proxy, sample, order, call)
    answer, shown = reverse_and_show(writer, reversal(order, erp_id))
    assert answer.outcome is Outcome.UPDATED
    assert (shown.status, shown.raw["state"], shown.event_id) == ("cancelled", "cancelled", order.event_id)


def test_a_confirmed_sale_that_was_never_processed_is_cancelled(writer, sample, tryton, company):
    """As after a server that died between the confirmation and what follows."""
    order = sample.order(1, LINES)
    erp_id = ordered(writer, sample, order)
    engine = sqlalchemy.create_engine(tryton.postgres.url(company.database), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"update sale_sale set state = 'confirmed' where id = {int(erp_id)}")
    engine.dispose()
    answer, shown = reverse_and_show(writer, reversal(order, erp_id))
    assert (answer.outcome, shown.raw["state"]) == (Outcome.UPDATED, "cancelled")


def test_a_sale_in_progress_is_emptied_with_its_drafts(writer, sample, ask):
    order = sample.order(1, LINES)
    erp_id = ordered(writer, sample, order)
    [before] = ask("sale.sale", "read", [int(erp_id)], ["invoices", "shipments"])
    answer, shown = reverse_and_show(writer, reversal(order, erp_id))
    [after] = ask("sale.sale", "read", [int(erp_id)], ["invoices", "shipments"])
    assert before["invoices"]
    assert before["shipments"]
    assert (answer.outcome, shown.status) == (Outcome.UPDATED, "cancelled")
    assert (list(after["invoices"]), list(after["shipments"])) == ([], [])


@pytest.mark.parametrize("call", ["create", "validate_amendment"])
def test_a_reversal_whose_answer_is_lost_takes_effect_once(writer, proxy, sample, ask, call):
    order = sample.order(1, LINES)
    erp_id = ordered(writer, sample, order)
    proxy.lose_next(f"model.{AMENDMENT}.{call}")
    lost, between = reverse_and_show(writer, reversal(order, erp_id))
    again, shown = reverse_and_show(writer, reversal(order, erp_id))
    assert lost.outcome is Outcome.UNKNOWN
    assert between.status == ("open" if call == "create" else "cancelled")
    assert again.outcome is (Outcome.UPDATED if call == "create" else Outcome.EXISTS)
    assert shown.status == "cancelled"
    made = ask(AMENDMENT, "search_read", [["sale", "=", int(erp_id)]], 0, None, None, ["state"])
    assert [one["state"] for one in made] == ["validated"]


def test_an_invoice_in_the_books_is_for_a_person_to_credit(writer, sample, ask):
    order = sample.order(1, LINES)
    erp_id = ordered(writer, sample, order)
    [sale] = ask("sale.sale", "read", [int(erp_id)], ["invoices"])
    ask("account.invoice", "write", sale["invoices"], {"invoice_date": BOOKED})
    ask("account.invoice", "post", sale["invoices"])
    answer, shown = reverse_and_show(writer, reversal(order, erp_id))
    assert (answer.outcome, answer.field, shown.status) == (Outcome.REJECTED, "status", "open")
    assert "is posted" in answer.message
    assert "credit the invoices" in answer.message
    assert ask(AMENDMENT, "search", [["sale", "=", int(erp_id)]], 0, None, None) == []


def test_goods_that_are_being_sent_are_for_a_person_to_take_back(writer, sample, ask):
    order = sample.order(1, LINES)
    erp_id = ordered(writer, sample, order)
    [sale] = ask("sale.sale", "read", [int(erp_id)], ["shipments"])
    ask("stock.shipment.out", "wait", sale["shipments"])
    ask("stock.shipment.out", "assign_force", sale["shipments"])
    answer, shown = reverse_and_show(writer, reversal(order, erp_id))
    assert (answer.outcome, shown.status) == (Outcome.REJECTED, "open")
    assert "is assigned" in answer.message
    assert "take the goods back" in answer.message


def test_one_that_cannot_be_cancelled_leaves_the_others_of_its_batch_alone(writer, sample, ask):
    orders = [sample.order(number, LINES) for number in (1, 2)]
    fresh = sample.order(3, LINES)
    first, second = (ordered(writer, sample, order) for order in orders)
    [sale] = ask("sale.sale", "read", [int(first)], ["shipments"])
    ask("stock.shipment.out", "wait", sale["shipments"])
    ask("stock.shipment.out", "assign_force", sale["shipments"])
    batch = [reversal(orders[0], first), fresh, reversal(orders[1], second), reversal(orders[1], "nobody")]

    answers = run(writer, lambda opened: opened.post(batch))
    outcomes = [answer.outcome for answer in answers]
    assert outcomes == [Outcome.REJECTED, Outcome.CREATED, Outcome.UPDATED, Outcome.REJECTED]
    assert answers[3].field == "erp_id"
