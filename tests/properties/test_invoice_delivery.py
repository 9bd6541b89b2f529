"""Whatever is delivered, comes back or is amended: what is invoiced less credited is what is delivered of the order, to the cent."""

from collections import defaultdict
from datetime import timedelta
from decimal import Decimal

import duckdb
import jinja2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshline_dagster.core.followups import Amendments, BillingPolicy, FollowUps, InvoiceTrigger
from meshline_dagster.core.identity import canonical_json
from meshline_dagster.core.invoice_delivery import delivered_lines, is_told_of
from meshline_dagster.core.money import quantize, to_text
from meshline_dagster.warehouse.dbt import project_dir
from tests.properties.test_follow_ups import (
    POSTED,
    TODAY,
    as_rows,
    line,
    net,
    order_row,
    plan_follow_ups,
    price_of,
    state,
)

untimed = settings(deadline=None)
PRICES = ("10", "0.07", "3.333333", "19.99")
QUANTITIES = ("1", "2", "3", "7", "12", "0.5")


def told(*delivered):
    """The word of a document that has what is delivered, and nothing else."""
    return [
        {"sku": sku, "unit_price": price, "quantity": quantity, "delivered": quantity}
        for sku, price, quantity in delivered
    ]


def due_of(lines, *delivered):
    return [(one["sku"], one["quantity"], one["amount"]) for one in delivered_lines(state(lines), told(*delivered))]


def test_a_line_counts_as_far_as_it_is_delivered_and_never_beyond_its_quantity():
    lines = [line("A", "3", "3.333333", amount="10"), line("B", "2", "5")]
    assert due_of(lines) == []
    assert due_of(lines, ("A", "3.333333", "0"), ("B", "5.00", "1")) == [("B", "1", "5")]
    assert due_of(lines, ("A", "3.333333", "2"), ("B", "5", "9")) == [("A", "2", "6.67"), ("B", "2", "10")]


def test_what_is_delivered_of_a_price_goes_to_its_lines_in_their_order():
    lines = [line("A", "2", "5", tax="reduced"), line("A", "3", "5"), line("A", "1", "7")]
    assert due_of(lines, ("A", "5", "3"), ("A", "5", "1"), ("A", "7", "0")) == [("A", "2", "10"), ("A", "2", "10")]


def test_what_the_erp_tells_nothing_of_counts_once_all_else_is_delivered():
    lines = [line("A", "2", "5"), line("S", "1", "30"), line("D", "1", "-4")]
    assert due_of(lines, ("A", "5", "1")) == [("A", "1", "5")]
    assert due_of(lines, ("A", "5", "2")) == [("A", "2", "10"), ("S", "1", "30"), ("D", "1", "-4")]


def billed_of(*states, delivered):
    """What follows from an order that was invoiced whole in its first state."""
    rows = [order_row(0, state(states[0]))]
    rows += as_rows(plan_follow_ups("k", rows, BillingPolicy(), today=TODAY), POSTED)
    rows += [order_row(number, state(lines)) for number, lines in enumerate(states[1:], start=1)]
    return plan_follow_ups("k", rows, BillingPolicy(trigger=InvoiceTrigger.DELIVERY), today=TODAY, delivered=delivered)


@pytest.mark.parametrize(
    "amended",
    [
        [line("A", "10", "100"), line("B", "5", "100")],
        [line("A", "10", "90")],
        [line("A", "12", "100")],
        [line("B", "1", "100")],
    ],
    ids=["more_goods", "another_price", "more_of_it", "something_else"],
)
def test_an_amendment_waits_until_the_erp_has_told_of_its_lines(amended):
    first = [line("A", "10", "100")]
    found = billed_of(first, amended, delivered=words(first, {"A": "1"}))
    assert found == FollowUps(due_on=TODAY + timedelta(days=1))
    found = billed_of(first, amended, delivered=words(amended, {"A": "0.5", "B": "0"}))
    assert {new.row.document_kind.value for new in found.insert} >= {"credit_note"}


def test_an_amendment_that_leaves_the_lines_alone_waits_for_nothing():
    first = [line("A", "10", "100")]
    found = billed_of(first, first, delivered=words(first, {"A": "0.5"}))
    assert [new.row.amount for new in found.insert] == [Decimal(500)]


def test_what_is_invoiced_already_stands_until_the_erp_tells_of_a_delivery():
    """As after a switch from invoices on the day of the booking."""
    first = [line("A", "10", "100")]
    assert billed_of(first, first, delivered=None) == FollowUps(due_on=TODAY + timedelta(days=1))
    rows = [order_row(0, state(first))]
    policy = BillingPolicy(trigger=InvoiceTrigger.DELIVERY)
    assert plan_follow_ups("k", rows, policy, today=TODAY, delivered=None) == FollowUps()


@st.composite
def orders(draw):
    """Each item at one price, so that what is told of it is told of one line."""
    skus = draw(st.lists(st.sampled_from("ABC"), min_size=1, unique=True))
    return [line(sku, draw(st.sampled_from(QUANTITIES)), draw(st.sampled_from(PRICES))) for sku in skus]


@st.composite
def steps(draw):
    """Now and then another state of the order, or another word of the ERP's: shares of what is ordered of each item."""
    lines = draw(st.none() | orders())
    shares = draw(st.dictionaries(st.sampled_from("ABC"), st.sampled_from(["0", "0.25", "0.5", "1", "2"])))
    return lines, draw(st.sampled_from(["open", "open", "open", "cancelled"])), shares


def word(one, share):
    """Of one line: it tells nothing of it without a share."""
    delivered = None if share is None else to_text(Decimal(one["quantity"]) * Decimal(share))
    return {"sku": one["sku"], "unit_price": one["unit_price"], "quantity": one["quantity"], "delivered": delivered}


def words(lines, shares):
    return [word(one, shares.get(one["sku"])) for one in lines]


@pytest.mark.parametrize("amendments", list(Amendments), ids=str)
@settings(max_examples=150, deadline=None)
@given(orders(), st.lists(steps(), min_size=1, max_size=6))
def test_invoices_less_credits_are_what_is_delivered(amendments, first, lived):
    policy = BillingPolicy(amendments, InvoiceTrigger.DELIVERY)
    lines, status = first, "open"
    rows = [order_row(0, state(first))]
    for number, (amended, turned, shares) in enumerate(lived, start=1):
        if amended is not None:
            before = words(lines, shares)
            lines, status = amended, turned
            rows.append(order_row(number, state(lines, status=status)))
            if status == "open" and not is_told_of(state(lines), before):
                found = plan_follow_ups("k", rows, policy, today=TODAY, delivered=before)
                assert (found.insert, found.due_on) == ((), TODAY + timedelta(days=1))
        delivered = words(lines, shares)
        rows += as_rows(plan_follow_ups("k", rows, policy, today=TODAY, delivered=delivered), POSTED)
        assert plan_follow_ups("k", rows, policy, today=TODAY, delivered=delivered).insert == ()
        meant = defaultdict(lambda: [Decimal(0), Decimal(0)])
        for one in delivered_lines(state(lines), delivered) if status == "open" else ():
            meant["MLC-1", "EUR", price_of(one)][0] += Decimal(one["quantity"])
            meant["MLC-1", "EUR", price_of(one)][1] += Decimal(one["amount"])
        assert net(rows) == {key: tuple(found) for key, found in meant.items() if any(found)}


@pytest.fixture(scope="module")
def in_sql():
    """What the model of the marts says of an order as the ERP shows it: the due amount."""
    folder = project_dir()
    macros = (folder / "macros" / "money.sql").read_text()
    model = (folder / "models" / "intermediate" / "erp" / "int_billing_deliveries.sql").read_text()
    names = {"config": lambda **_: "", "source": lambda *_: "billing_terms", "ref": lambda name: name}
    sql = jinja2.Environment(autoescape=False).from_string(macros + model).render(**names)
    connection = duckdb.connect()
    connection.execute("CREATE TABLE billing_terms AS SELECT 'delivery' AS invoice_trigger")
    connection.execute("CREATE TABLE int_erp_orders (external_id VARCHAR, currency VARCHAR, lines VARCHAR)")

    def _asked(lines, currency):
        connection.execute("DELETE FROM int_erp_orders")
        connection.execute("INSERT INTO int_erp_orders VALUES ('o', ?, ?)", [currency, canonical_json(lines).decode()])
        return connection.execute(f"SELECT due_amount FROM ({sql})").fetchall()

    return _asked


@untimed
@given(orders(), st.dictionaries(st.sampled_from("ABC"), st.sampled_from(["0", "0.25", "0.5", "1", "2"])))
def test_the_marts_say_the_same_of_what_is_delivered(in_sql, lines, shares):
    for currency in ("EUR", "JPY"):
        rounded = [{**one, "amount": to_text(quantize(Decimal(one["amount"]), currency))} for one in lines]
        payload, delivered = state(rounded, currency=currency), words(rounded, shares)
        by_sku = {one["sku"]: one["delivered"] for one in delivered}
        shown = [{**one, "delivered": by_sku.get(one["sku"])} for one in rounded]
        [(due,)] = in_sql(shown, currency)
        assert due == sum(Decimal(one["amount"]) for one in delivered_lines(payload, delivered))
