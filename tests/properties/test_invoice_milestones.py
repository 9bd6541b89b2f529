"""Whatever is reached, replanned or amended: what is invoiced less credited is the share of each line that is reached, to the cent."""

from collections import defaultdict
from datetime import date, timedelta
from decimal import Decimal

import duckdb
import jinja2
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from meshline_dagster.core.followups import Amendments, BillingPolicy, InvoiceTrigger
from meshline_dagster.core.identity import canonical_json
from meshline_dagster.core.invoice_milestones import Milestone, due_milestones, is_whole
from meshline_dagster.core.money import quantize, to_text
from meshline_dagster.warehouse.dbt import project_dir
from tests.properties.test_follow_ups import (
    CANCELLED,
    POSTED,
    TODAY,
    as_rows,
    kinds_of,
    line,
    net,
    order_row,
    plan_follow_ups,
    price_of,
    state,
)

untimed = settings(deadline=None)
POLICY = BillingPolicy(trigger=InvoiceTrigger.MILESTONE)
EARLIER, LATER = TODAY - timedelta(days=9), TODAY + timedelta(days=9)


def percent(name, share, reached_on=None):
    return Milestone(name, percent=Decimal(share), reached_on=reached_on)


def amount(name, worth, reached_on=None):
    return Milestone(name, amount=Decimal(worth), reached_on=reached_on)


def follow(rows, milestones, policy=POLICY, today=TODAY):
    return plan_follow_ups("k", rows, policy, today=today, milestones=milestones)


def amounts(payload, milestones, today=TODAY):
    return [one["amount"] for one in due_milestones(payload, milestones, today).lines]


def test_each_reached_milestone_bills_its_share_of_every_line_rounded_once():
    payload = state([line("A", "3", "33.333333", amount="100"), line("B", "1", "0.05")])
    third = [percent(name, "33.3333", EARLIER) for name in "ab"] + [percent("c", "33.3334", EARLIER)]
    assert amounts(payload, third) == ["33.33", "0.02", "33.34", "0.01", "33.33", "0.02"]
    assert [one["quantity"] for one in due_milestones(payload, third, TODAY).lines] == ["3", "1"] * 3


def test_a_milestone_may_be_an_amount_and_is_due_on_the_day_on_which_it_is_reached():
    payload = state([line("A", "1", "80"), line("B", "2", "10")])
    planned = [amount("design", "25", EARLIER), percent("build", "50", LATER), amount("test", "25")]
    due = due_milestones(payload, planned, TODAY)
    assert ([one["amount"] for one in due.lines], due.next_on) == (["20", "5"], LATER)
    assert amounts(payload, planned, LATER) == ["20", "5", "40", "10"]
    assert due_milestones(payload, planned, LATER).next_on is None


def test_one_milestone_of_all_bills_the_lines_as_they_stand():
    payload = state([line("A", "3", "3.333333", amount="10")])
    assert list(due_milestones(payload, [percent("all", "100", EARLIER)], TODAY).lines) == payload["lines"]


@pytest.mark.parametrize(
    "planned",
    [
        [],
        [percent("a", "60", EARLIER)],
        [percent("a", "60", EARLIER), percent("b", "50")],
        [percent("a", "50", EARLIER), amount("b", "49.99")],
    ],
    ids=["none", "too little", "too much", "a cent too little"],
)
def test_nothing_is_billed_by_milestones_that_are_not_the_whole_order(planned):
    found = follow([order_row(1, state([line("A", "1", "100")]))], planned)
    assert (found.insert, found.due_on, found.incomplete) == ((), None, True)


def test_an_order_that_grows_waits_for_its_milestones_of_amounts_and_keeps_what_is_billed():
    whole = [amount("a", "40", EARLIER), amount("b", "60")]
    rows = [order_row(1, state([line("A", "1", "100")]))]
    rows += as_rows(follow(rows, whole), POSTED)
    rows.append(order_row(2, state([line("A", "1", "120")])))
    assert (follow(rows, whole).insert, follow(rows, whole).incomplete) == ((), True)
    found = follow(rows, [*whole, amount("c", "20")])
    assert (kinds_of(found), found.incomplete) == ([], False)


def test_an_order_that_is_worth_nothing_any_more_gets_back_what_was_billed():
    half = [percent("a", "50", EARLIER), percent("b", "50")]
    rows = [order_row(1, state([line("A", "1", "1000")]))]
    rows += as_rows(follow(rows, half), POSTED)
    rows.append(order_row(2, state([line("A", "1", "0")])))
    fixed = [percent("a", "50", EARLIER), amount("b", "500")]
    assert (follow(rows, fixed).insert, follow(rows, fixed).incomplete) == ((), True)
    assert follow(rows, [percent("a", "50", EARLIER)]).incomplete
    for planned in (half, []):
        found = follow(rows, planned)
        assert [new.row.payload["amount"] for new in found.insert if new.row.document_kind == "credit_note"] == ["500"]
        assert (sum(Decimal(new.row.payload["amount"]) for new in found.insert), found.incomplete) == (500, False)
        assert follow([*rows, *as_rows(found, POSTED)], planned).insert == ()


def test_a_free_order_needs_no_milestones():
    found = follow([order_row(1, state([line("A", "1", "0")]))], [])
    assert (found.insert, found.due_on, found.incomplete) == ((), None, False)


def test_a_cancellation_credits_what_was_billed_whatever_is_planned():
    rows = [order_row(1, state([line("A", "1", "100")]))]
    rows += as_rows(follow(rows, [percent("a", "40", EARLIER), percent("b", "60")]), POSTED)
    found = follow([*rows, order_row(2, state([line("A", "1", "100")], **CANCELLED))], [])
    assert (kinds_of(found), found.insert[0].row.payload["amount"]) == (["credit_note"], "40")


def test_that_another_milestone_is_reached_is_no_amendment():
    policy = BillingPolicy(Amendments.CREDIT_AND_REBILL, InvoiceTrigger.MILESTONE)
    rows = [order_row(1, state([line("A", "1", "100")]))]
    rows += as_rows(follow(rows, [percent("a", "40", EARLIER), percent("b", "60")], policy), POSTED)
    found = follow(rows, [percent("a", "40", EARLIER), percent("b", "60", TODAY)], policy)
    assert (kinds_of(found), found.insert[0].row.payload["amount"]) == (["invoice"], "60")


@st.composite
def plans(draw):
    """Milestones that are the whole order: percentages of four decimals, reached, to be reached, or not; some days are still to come."""
    left, found = Decimal(100), []
    for name in "abc"[: draw(st.integers(0, 3))]:
        share = min(left, draw(st.decimals("0.0001", "60", places=4)))
        left -= share
        if share:
            found.append(percent(name, share, draw(st.sampled_from([None, EARLIER, TODAY, LATER]))))
    return [*found, percent("rest", left, draw(st.sampled_from([None, EARLIER])))] if left else found


lines_of_orders = st.lists(
    st.tuples(st.sampled_from("AB"), st.sampled_from(["1", "3", "7", "0.5"]), st.sampled_from(["10", "0.07", "19.99"])),
    min_size=1,
    max_size=3,
).map(lambda drawn: [line(*one) for one in drawn])


@pytest.mark.parametrize("amendments", list(Amendments), ids=str)
@settings(max_examples=120, deadline=None)
@given(lines_of_orders, st.lists(st.tuples(st.none() | lines_of_orders, plans()), min_size=1, max_size=5))
def test_invoices_less_credits_are_what_is_reached(amendments, first, lived):
    policy = BillingPolicy(amendments, InvoiceTrigger.MILESTONE)
    lines, rows = first, [order_row(0, state(first))]
    for number, (amended, planned) in enumerate(lived, start=1):
        if amended is not None:
            lines = amended
            rows.append(order_row(number, state(lines)))
        payload = state(lines)
        found = follow(rows, planned, policy)
        rows += as_rows(found, POSTED)
        assert follow(rows, planned, policy).insert == ()
        assert found.incomplete is (not is_whole(payload, planned))
        if found.incomplete:
            continue
        meant = defaultdict(lambda: [Decimal(0), Decimal(0)])
        for one in due_milestones(payload, planned, TODAY).lines:
            meant["MLC-1", "EUR", price_of(one)][0] += Decimal(one["quantity"])
            meant["MLC-1", "EUR", price_of(one)][1] += Decimal(one["amount"])
        assert net(rows) == {key: tuple(one) for key, one in meant.items() if any(one)}


@pytest.fixture(scope="module")
def in_sql():
    """What the model of the marts says of one order: rows of ``(due amount, due before, next day)``."""
    folder = project_dir()
    macros = (folder / "macros" / "money.sql").read_text()
    model = (folder / "models" / "intermediate" / "erp" / "int_billing_milestones.sql").read_text()
    names = {"config": lambda **_: "", "source": lambda *names: names[-1], "ref": lambda name: name}
    sql = jinja2.Environment(autoescape=False).from_string(macros + model).render(**names)
    connection = duckdb.connect()
    connection.execute("CREATE TABLE billing_terms (today DATE, invoice_trigger VARCHAR)")
    connection.execute(
        "CREATE TABLE milestone (entity_key VARCHAR, percent DECIMAL(18,4), amount DECIMAL(18,4), reached_on DATE)"
    )
    columns = "event_id VARCHAR, entity_key VARCHAR, document_kind VARCHAR, amount DECIMAL(38,9), currency VARCHAR"
    connection.execute(f"CREATE TABLE outbox ({columns}, payload VARCHAR)")

    def _asked(payload, planned, today: date):
        connection.execute("DELETE FROM billing_terms; DELETE FROM outbox; DELETE FROM milestone")
        connection.execute("INSERT INTO billing_terms VALUES (?, 'milestone')", [today])
        for one in planned:
            connection.execute("INSERT INTO milestone VALUES ('e', ?, ?, ?)", [one.percent, one.amount, one.reached_on])
        row = [Decimal(payload["amount"]), payload["currency"], canonical_json(payload).decode()]
        connection.execute("INSERT INTO outbox VALUES ('s', 'e', 'sales_order', ?, ?, ?)", row)
        wanted = "due_amount, due_before_amount, next_due_on"
        return connection.execute(f"SELECT {wanted} FROM ({sql})").fetchall()

    return _asked


@untimed
@given(lines_of_orders, plans(), st.sampled_from(["EUR", "JPY"]), st.booleans())
def test_the_marts_say_the_same_of_what_is_reached(in_sql, lines, planned, currency, is_cut):
    rounded = [{**one, "amount": to_text(quantize(Decimal(one["amount"]), currency))} for one in lines]
    planned = planned[1:] if is_cut else planned
    says_the_same(in_sql, state(rounded, currency=currency), planned)


def says_the_same(in_sql, payload, planned):
    found = in_sql(payload, planned, TODAY)
    if not planned or not is_whole(payload, planned):  # without milestones there is no row, and nothing is due
        assert found == []
        return
    now, before = (due_milestones(payload, planned, TODAY - timedelta(days=back)) for back in (0, 1))
    sums = [sum(Decimal(one["amount"]) for one in due.lines) for due in (now, before)]
    assert found == [(*sums, now.next_on)]


@st.composite
def large(draw):
    """An order of up to what the ledger holds, of two lines, and its milestones: a percentage, and the rest in two amounts."""
    hundreds = draw(st.integers(2, 91_999_999_999))
    first = draw(st.decimals("0.0001", 100 * hundreds - 1, places=4))
    order, share = Decimal(100 * hundreds), draw(st.decimals("0.0001", "99.9999", places=4))
    rest = order - hundreds * share
    part = draw(st.decimals("0.0001", max(rest - 1, Decimal("0.0001")), places=4))
    lines = [line("A", "1", "1", amount=to_text(one)) for one in (first, order - first)]
    days = st.sampled_from([None, EARLIER, TODAY, LATER])
    planned = [percent("a", share, draw(days)), amount("b", part, draw(days)), amount("c", rest - part, draw(days))]
    return lines, [one for one in planned if one.percent or one.amount]


@untimed
@given(large(), st.sampled_from(["EUR", "VND", "BHD"]))
@example(
    ([line("A", "1", "1", amount="60000000000")], [percent("a", "33.3333", EARLIER), percent("b", "66.6667")]), "VND"
)
def test_the_marts_say_the_same_of_as_much_money_as_the_ledger_holds(in_sql, drawn, currency):
    lines, planned = drawn
    says_the_same(in_sql, state(lines, currency=currency), planned)


@pytest.mark.parametrize("lines", [[line("A", "1", "0")], [line("A", "1", "9.99"), line("B", "-1", "9.99")]], ids=len)
@pytest.mark.parametrize(
    "rest", [percent("b", "70", TODAY), percent("b", "60", TODAY), amount("b", "7", TODAY)], ids=str
)
def test_the_marts_say_the_same_of_an_order_that_is_worth_nothing(in_sql, lines, rest):
    says_the_same(in_sql, state(lines), [percent("a", "30", EARLIER), rest])
