"""Orders that are invoiced as the ERP says that they are delivered, against an ERP in memory that is read back."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from meshline_dagster.core.cursors import Window
from meshline_dagster.core.documents import DocumentKind, ErpDocument, ErpLine
from meshline_dagster.core.errors import GateError
from meshline_dagster.core.followups import Amendments, BillingPolicy, InvoiceTrigger
from meshline_dagster.delivery.deliveries import heed_deliveries
from meshline_dagster.delivery.readback import ErpFeed
from meshline_dagster.orchestration.drain_sensor import why_drain
from meshline_dagster.store.billing import put_off
from meshline_dagster.store.deliveries import deliveries_of
from meshline_dagster.store.ledger_reports import waiting_visibly
from meshline_dagster.testing.memory_erp import MemoryErp, MemoryWriter
from tests.integration.test_delivery_billing import CREDIT_NOTE, INVOICE, billed, kinds, post, run
from tests.integration.test_delivery_engine import OPTIONS, customer, order, plan_rows

AS_DELIVERED = replace(OPTIONS, billing=BillingPolicy(trigger=InvoiceTrigger.DELIVERY))
NAME = order(1).external_id
KEY = order(1).entity_key


def of(row, *lines):
    """The order with other lines: ``(sku, quantity, unit price)``."""
    made = [
        {
            **row.payload["lines"][0],
            "line": str(place),
            "sku": sku,
            "quantity": quantity,
            "unit_price": price,
            "amount": str(Decimal(quantity) * Decimal(price)),
        }
        for place, (sku, quantity, price) in enumerate(lines, start=1)
    ]
    amount = str(sum(Decimal(line["amount"]) for line in made))
    return replace(row, amount=Decimal(amount), payload={**row.payload, "amount": amount, "lines": made})


def heed(ops, options, page, now):
    with ops.write() as connection:
        return heed_deliveries(connection, options, page, now=now)


def read_back(ops, erp, options=AS_DELIVERED, since=None):
    """As the read-back asset does; tells of which orders something new was told."""
    now, told = datetime.now(UTC), []
    feed = ErpFeed(
        MemoryWriter(erp),
        DocumentKind.SALES_ORDER,
        lambda page: told.extend(heed(ops, options, page, now=now)),
    )
    for _ in feed.read(Window(since or now - timedelta(days=1), now + timedelta(days=1))):
        pass
    return told


def delivered(ops, erp, sku, quantity, options=AS_DELIVERED):
    """The ERP delivers, is read back, and a delivery runs."""
    erp.deliver(NAME, sku, Decimal(quantity))
    told = read_back(ops, erp, options)
    run(ops, MemoryWriter(erp), options)
    return told


def test_an_order_is_invoiced_as_far_as_it_is_delivered_and_credited_what_comes_back(ops):
    erp = MemoryErp()
    row = of(order(1), ("A", "10", "3"), ("B", "2", "7.5"))
    post(ops, erp, [row], AS_DELIVERED)
    assert read_back(ops, erp) == []
    assert billed(erp) == {}
    for sku, quantity, worth in (("A", 4, 12), ("A", 10, 30), ("B", 1, "37.5"), ("A", 7, "28.5"), ("B", 2, 36)):
        assert delivered(ops, erp, sku, quantity) == [KEY]
        assert billed(erp) == {"1": Decimal(worth)}
    made = [one.payload["lines"] for one in erp.writes if one.kind in {INVOICE, CREDIT_NOTE}]
    assert [[(line["sku"], line["quantity"]) for line in lines] for lines in made] == [
        [("A", "4")],
        [("A", "6")],
        [("B", "1")],
        [("A", "3")],
        [("B", "1")],
    ]
    assert read_back(ops, erp) == []
    assert run(ops, MemoryWriter(erp), AS_DELIVERED).outcomes == {}


def test_a_delivery_that_was_read_back_asks_for_a_run_and_explains_the_order_until_then(ops):
    erp, now = MemoryErp(), datetime.now(UTC)
    post(ops, erp, [order(1)], AS_DELIVERED)
    assert why_drain(ops, AS_DELIVERED, now=now) == (False, "nothing is due")
    erp.deliver(NAME, order(1).payload["lines"][0]["sku"], Decimal(1))
    read_back(ops, erp)
    assert why_drain(ops, AS_DELIVERED, now=now) == (True, "orders are to be invoiced from today on")
    with ops.read() as connection:
        assert waiting_visibly(connection, "memory", [KEY]) == {KEY}
    run(ops, MemoryWriter(erp), AS_DELIVERED)
    with ops.read() as connection:
        assert waiting_visibly(connection, "memory", [KEY]) == set()
    assert billed(erp) == {"1": Decimal(10)}


def test_what_the_erp_told_is_kept_and_an_older_word_never_overrules_it(ops):
    erp = MemoryErp()
    post(ops, erp, [of(order(1), ("A", "10", "3"))], AS_DELIVERED)
    erp.deliver(NAME, "A", Decimal(4))
    [old] = erp.of(DocumentKind.SALES_ORDER, NAME)
    erp.deliver(NAME, "A", Decimal(6))
    read_back(ops, erp)
    assert heed(ops, AS_DELIVERED, [old], now=datetime.now(UTC)) == []
    with ops.read() as connection:
        told = deliveries_of(connection, "memory", [KEY])
    assert told == {KEY: [{"sku": "A", "unit_price": "3", "quantity": "10", "delivered": "6"}]}
    stranger = replace(old, external_id="MLO-nobodys", stamp=datetime.now(UTC))
    assert heed(ops, AS_DELIVERED, [stranger], now=datetime.now(UTC)) == []
    assert heed(ops, OPTIONS, [replace(old, stamp=datetime.now(UTC))], now=datetime.now(UTC)) == []


def test_a_second_document_in_the_erp_never_overrules_the_word_of_the_order_that_was_posted(ops):
    erp = MemoryErp()
    post(ops, erp, [of(order(1), ("A", "10", "3"))], AS_DELIVERED)
    delivered(ops, erp, "A", 4)
    [ours] = erp.of(DocumentKind.SALES_ORDER, NAME)
    lines = tuple(replace(line, delivered=Decimal(0)) for line in ours.lines)
    second = replace(ours, erp_id="second", lines=lines, stamp=datetime.now(UTC))
    for page in ([second], [ours, second]):
        assert heed(ops, AS_DELIVERED, page, now=datetime.now(UTC)) == []
    run(ops, MemoryWriter(erp), AS_DELIVERED)
    assert billed(erp) == {"1": Decimal(12)}


def test_where_the_ledger_knows_no_document_and_there_are_two_neither_is_believed(ops):
    rows = [customer(), of(order(1), ("A", "10", "3"))]
    plan_rows(ops, rows, AS_DELIVERED)
    line = ErpLine("A", Decimal(10), Decimal(3), Decimal(30), delivered=Decimal(4))
    one = ErpDocument(DocumentKind.SALES_ORDER, "1", NAME, "1", "open", datetime.now(UTC), lines=(line,))
    assert heed(ops, AS_DELIVERED, [one, replace(one, erp_id="2")], now=datetime.now(UTC)) == []
    assert heed(ops, AS_DELIVERED, [one], now=datetime.now(UTC)) == [KEY]


@pytest.mark.parametrize("amendments", list(Amendments), ids=str)
def test_an_amendment_is_billed_as_far_as_it_is_delivered(ops, amendments):
    options = replace(OPTIONS, billing=replace(AS_DELIVERED.billing, amendments=amendments))
    erp, rows = MemoryErp(), [of(order(1), ("A", "10", "3"))]
    post(ops, erp, rows, options)
    delivered(ops, erp, "A", 4, options)
    delivered(ops, erp, "A", 6, options)
    assert kinds(erp).count("credit_note") == 0  # that more is delivered is no amendment
    for version, quantity, worth in ((2, "12", 18), (3, "5", 15)):
        before = billed(erp)
        rows.append(of(order(1, version=version), ("A", quantity, "3")))
        post(ops, erp, rows, options)
        assert billed(erp) == before  # until the ERP has told of these lines
        assert read_back(ops, erp, options) == [KEY]
        run(ops, MemoryWriter(erp), options)
        assert billed(erp) == {"1": Decimal(worth)}
    rows.append(of(order(1, version=4, status="cancelled"), ("A", "5", "3")))
    post(ops, erp, rows, options)
    assert billed(erp) == {"1": Decimal(0)}


def test_goods_that_an_amendment_adds_are_invoiced_once_they_are_delivered(ops):
    erp, rows = MemoryErp(), [of(order(1), ("A", "10", "100"))]
    post(ops, erp, rows, AS_DELIVERED)
    delivered(ops, erp, "A", 10)
    rows.append(of(order(1, version=2), ("A", "10", "100"), ("B", "5", "100")))
    post(ops, erp, rows, AS_DELIVERED)
    assert billed(erp) == {"1": Decimal(1000)}
    assert read_back(ops, erp) == [KEY]
    run(ops, MemoryWriter(erp), AS_DELIVERED)
    assert delivered(ops, erp, "B", 2) == [KEY]
    assert billed(erp) == {"1": Decimal(1200)}
    assert kinds(erp).count("credit_note") == 0


def test_an_order_that_waits_for_a_word_is_explained_until_the_next_day(ops):
    erp, rows, day = MemoryErp(), [of(order(1), ("A", "10", "3"))], timedelta(days=1)
    post(ops, erp, rows, AS_DELIVERED)
    delivered(ops, erp, "A", 4)
    rows.append(of(order(1, version=2), ("A", "12", "3")))
    post(ops, erp, rows, AS_DELIVERED)
    for days, explained in ((1, {KEY}), (2, set())):
        with ops.write() as connection:
            put_off(connection, "memory", [KEY], [(KEY, 0, (datetime.now(UTC) + days * day).date())])
        with ops.read() as connection:
            assert waiting_visibly(connection, "memory", [KEY]) == explained


def test_a_discount_is_invoiced_with_the_last_of_what_is_delivered(ops):
    """The ERP in memory tells of every line once it tells of one: here of all but the discount."""
    erp = MemoryErp()
    post(ops, erp, [of(order(1), ("A", "10", "3"), ("D", "1", "-5"))], AS_DELIVERED)
    for quantity, worth in ((4, 12), (10, 25)):
        erp.deliver(NAME, "A", Decimal(quantity))
        [shown] = erp.of(DocumentKind.SALES_ORDER, NAME)
        lines = tuple(replace(line, delivered=None) if line.sku == "D" else line for line in shown.lines)
        heed(ops, AS_DELIVERED, [replace(shown, lines=lines)], now=datetime.now(UTC))
        run(ops, MemoryWriter(erp), AS_DELIVERED)
        assert billed(erp) == {"1": Decimal(worth)}


def test_a_writer_that_tells_nothing_of_deliveries_is_refused_before_anything_is_sent(ops):
    erp = MemoryErp()
    writer = MemoryWriter(erp)
    writer._capabilities = replace(writer.capabilities, tells_deliveries=False)
    plan_rows(ops, [customer(), order(1)], AS_DELIVERED)
    with pytest.raises(GateError, match=r"memory does not tell what is delivered, .* use booking, start or schedule"):
        run(ops, writer, AS_DELIVERED)
    assert erp.writes == []
