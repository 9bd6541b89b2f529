"""Whatever the terms and amounts: periods have no gaps, add up to the cent, and what is invoiced less credited is what is due by then."""

from collections import defaultdict
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import duckdb
import jinja2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshline_dagster.core.documents import DocumentKind
from meshline_dagster.core.followups import Amendments, BillingPolicy, InvoiceTrigger
from meshline_dagster.core.identity import canonical_json
from meshline_dagster.core.invoice_schedule import BilledIn, BillingEvery, BillingSchedule, due_by
from meshline_dagster.core.money import exponent, quantize, to_text
from meshline_dagster.warehouse.dbt import project_dir
from tests.properties.test_follow_ups import CANCELLED, POSTED, as_rows, follow, kinds_of, line, net, order_row, state

FOREVER = date(2200, 1, 1)
MONTHLY = BillingSchedule(BillingEvery.MONTH, BilledIn.ADVANCE)
SCHEDULES = [BillingSchedule(every, billed_in) for every in BillingEvery for billed_in in BilledIn]
untimed = settings(deadline=None)


def termed(first, last, quantity="1", price="100", *, sku="A", amount=None, currency="EUR"):
    amount = amount or to_text(quantize(Decimal(quantity) * Decimal(price), currency))
    return {**line(sku, quantity, price, amount=amount, start=str(first)), "end": str(last)}


def days_of(due):
    return [(one["start"], one["end"]) for one in due.lines]


def amounts_of(due):
    return [one["amount"] for one in due.lines]


def due_of(*lines, schedule=MONTHLY, today=FOREVER, **header):
    return due_by(state(lines, **header), schedule, today)


def test_periods_are_counted_from_the_first_day_so_that_month_ends_do_not_drift():
    found = due_of(termed("2017-01-31", "2017-05-30"))
    assert days_of(found) == [
        ("2017-01-31", "2017-02-27"),
        ("2017-02-28", "2017-03-30"),
        ("2017-03-31", "2017-04-29"),
        ("2017-04-30", "2017-05-30"),
    ]
    assert amounts_of(found) == ["25"] * 4


def test_a_last_period_that_is_cut_weighs_its_days():
    found = due_of(termed("2017-01-01", "2017-02-14", price="90"))
    assert days_of(found) == [("2017-01-01", "2017-01-31"), ("2017-02-01", "2017-02-14")]
    assert amounts_of(found) == ["60", "30"]


def test_what_does_not_divide_is_rounded_once_and_the_quantity_stays_whole():
    found = due_of(termed("2017-01-01", "2017-03-31", "3", "33.333333", amount="100"))
    assert amounts_of(found) == ["33.33", "33.34", "33.33"]
    assert {one["quantity"] for one in found.lines} == {"3"}
    assert [one["unit_price"] for one in found.lines] == ["11.11", "11.113", "11.11"]


@pytest.mark.parametrize(
    ("schedule", "days"),
    [
        (MONTHLY, ["2017-01-15", "2017-02-15", "2017-03-15"]),
        (replace(MONTHLY, billed_in=BilledIn.ARREARS), ["2017-02-15", "2017-03-15", "2017-04-01"]),
        (replace(MONTHLY, every=BillingEvery.QUARTER), ["2017-01-15"]),
        (BillingSchedule(BillingEvery.YEAR, BilledIn.ARREARS), ["2017-04-01"]),
    ],
    ids=str,
)
def test_a_period_is_due_on_its_first_day_or_on_the_day_after_its_last(schedule, days):
    payload, today, found = state([termed("2017-01-15", "2017-03-31")]), date(2016, 12, 1), []
    while (today := due_by(payload, schedule, today).next_on) is not None:
        found.append(str(today))
    assert found == days


@pytest.mark.parametrize(
    "term", [(None, None), ("2017-01-01", None), (None, "2017-12-31"), ("2017-02-01", "2017-01-31")]
)
def test_a_line_without_a_term_is_whole_and_due_on_the_day_of_the_order(term):
    one = {**line("A", "2", "10"), "start": term[0], "end": term[1]}
    before, after = (due_of(one, today=date(2017, 3, 1) - timedelta(days=back)) for back in (1, 0))
    assert (before.lines, before.next_on) == ((), date(2017, 3, 1))
    assert [each["amount"] for each in after.lines] == ["20"]
    assert days_of(after) == [term]
    assert len(due_of(one, today=date(2000, 1, 1), order_date=None).lines) == 1


def test_a_term_without_end_in_the_calendar_ends_with_it():
    found = due_of(termed("2017-01-01", "9999-12-31"), today=date(2017, 2, 1))
    assert (len(found.lines), found.next_on) == (2, date(2017, 3, 1))


dates = st.dates(date(2015, 1, 1), date(2019, 12, 31))
terms = st.tuples(dates, st.integers(0, 1500)).map(lambda one: (one[0], one[0] + timedelta(days=one[1])))
quantities = st.sampled_from(["1", "2", "3", "7", "12", "0.5", "1.25", "250", "1001", "-4"])
prices = st.decimals("-200", "20000", places=2) | st.decimals("0", "10", places=6)


@st.composite
def term_lines(draw, currency="EUR"):
    quantity, price, (first, last) = draw(quantities), to_text(draw(prices)), draw(terms)
    one = termed(first, last, quantity, price, sku=draw(st.sampled_from("AB")), currency=currency)
    return one if draw(st.integers(0, 5)) else {**one, "end": None}


@untimed
@given(st.sampled_from(SCHEDULES), st.sampled_from(["EUR", "JPY", "KWD"]), st.data())
def test_the_periods_of_a_line_fill_its_term_and_sum_to_its_amount(schedule, currency, data):
    one = data.draw(term_lines(currency))
    found = due_of(one, schedule=schedule, currency=currency)
    assert found.next_on is None
    assert sum(Decimal(each["amount"]) for each in found.lines) == Decimal(one["amount"])
    assert found.lines[0]["start"] == one["start"]
    assert found.lines[-1]["end"] == one["end"]
    for before, after in zip(found.lines, found.lines[1:], strict=False):
        assert date.fromisoformat(after["start"]) == date.fromisoformat(before["end"]) + timedelta(days=1)
    for each in found.lines:
        quantity, amount = Decimal(each["quantity"]), Decimal(each["amount"])
        assert quantity == Decimal(one["quantity"])
        assert amount == quantize(amount, currency)
        assert quantize(quantity * Decimal(each["unit_price"]), currency) == amount
    full = [Decimal(amount) for amount in amounts_of(found)[:-1]]
    assert not full or max(full) - min(full) <= Decimal(1).scaleb(-exponent(currency))


@untimed
@given(st.sampled_from(SCHEDULES), st.lists(term_lines(), max_size=4), dates, st.integers(0, 900))
def test_what_is_due_only_grows_and_next_on_the_day_that_it_names(schedule, lines, today, later):
    payload = state(lines)
    now, then = due_by(payload, schedule, today), due_by(payload, schedule, today + timedelta(days=later))
    left = [canonical_json(one) for one in then.lines]
    for one in now.lines:
        left.remove(canonical_json(one))
    if now.next_on is not None:
        assert now.next_on > today
        assert due_by(payload, schedule, now.next_on - timedelta(days=1)).lines == now.lines
        assert len(due_by(payload, schedule, now.next_on).lines) > len(now.lines)
    elif later:
        assert left == []


def by_periods(schedule=MONTHLY, **more):
    return BillingPolicy(trigger=InvoiceTrigger.SCHEDULE, schedule=schedule, **more)


def due_net(payload, schedule, today):
    """Per customer, currency and price: what is due by a day, as :func:`net` has it."""
    sums = defaultdict(lambda: [Decimal(0), Decimal(0)])
    for one in due_by(payload, schedule, today).lines if payload["status"] == "open" else ():
        price = one["sku"], Decimal(one["unit_price"]), one["tax_code"], one["start"]
        found = sums[payload["customer"], payload["currency"], price]
        found[0] += Decimal(one["quantity"])
        found[1] += Decimal(one["amount"])
    return {key: tuple(found) for key, found in sums.items() if any(found)}


positive = term_lines().filter(lambda one: Decimal(one["amount"]) >= 0)


@st.composite
def steps(draw):
    """Days on which an order is looked at, now and then with a new state of it."""
    payload = state(
        draw(st.lists(positive, min_size=1, max_size=3)),
        status=draw(st.sampled_from(["open"] * 4 + ["cancelled"])),
        customer=draw(st.sampled_from(["MLC-1"] * 4 + ["MLC-2"])),
        po_number=draw(st.sampled_from([None, "PO"])),
    )
    return (draw(st.sampled_from([None, payload])), draw(st.integers(0, 200)))


@pytest.mark.parametrize("amendments", list(Amendments), ids=str)
@settings(max_examples=100, deadline=None)
@given(st.sampled_from(SCHEDULES), dates, st.lists(steps(), min_size=1, max_size=6))
def test_invoices_less_credits_are_what_is_due_by_then(amendments, schedule, today, lived):
    policy = by_periods(schedule, amendments=amendments, closed_through=date(2016, 6, 30))
    rows, last = [], None
    for number, (payload, days) in enumerate(lived):
        today += timedelta(days=days)
        if payload is not None:
            rows.append(order_row(number, payload))
            last = payload
        found = follow(rows, policy, today)
        rows += as_rows(found, POSTED)
        again = follow(rows, policy, today)
        assert (again.insert, again.due_on) == ((), found.due_on)
        assert net(rows) == ({} if last is None else due_net(last, schedule, today))
        is_open = last is not None and last["status"] == "open"
        assert found.due_on == (due_by(last, schedule, today).next_on if is_open else None)
        assert all(Decimal(new.row.payload["amount"]) >= 0 for new in found.insert)
    names = [(row.event_id, row.revision) for row in rows]
    assert len(names) == len(set(names))


YEAR = termed("2017-01-01", "2017-12-31", price="1200")


def lived_until(today, policy, *states, first=date(2016, 12, 1)):
    """The ledger of an order that was looked at whenever it asked for that; states: ``(day, payload)``."""
    rows, days = [], dict(states)
    wakes = sorted(days)
    while wakes and wakes[0] <= today:
        day = wakes.pop(0)
        if day in days:
            rows.append(order_row((day - first).days, days[day]))
        found = follow(rows, policy, day)
        rows += as_rows(found, POSTED)
        wakes = sorted({one for one in wakes if one in days} | ({found.due_on} if found.due_on else set()))
    return rows


def documents(rows):
    return [
        (row.document_kind.value, row.payload["invoice_date"], row.payload["amount"])
        for row in rows
        if row.document_kind is not DocumentKind.SALES_ORDER
    ]


def test_each_period_is_invoiced_on_its_day_and_with_its_own_dates():
    rows = lived_until(date(2017, 3, 15), by_periods(), (date(2016, 12, 20), state([YEAR])))
    assert documents(rows) == [("invoice", f"2017-0{month}-01", "100") for month in (1, 2, 3)]
    assert [(one["start"], one["end"]) for one in rows[2].payload["lines"]] == [("2017-02-01", "2017-02-28")]


def test_a_passed_term_is_invoiced_at_once_period_by_period():
    rows = lived_until(date(2018, 3, 1), by_periods(), (date(2018, 3, 1), state([YEAR])))
    assert documents(rows) == [("invoice", "2018-03-01", "1200")]
    assert len(rows[1].payload["lines"]) == 12


@pytest.mark.parametrize("amendments", list(Amendments), ids=str)
def test_a_term_that_is_cut_short_credits_the_period_that_was_billed_past_it(amendments):
    policy, half = by_periods(amendments=amendments), termed("2017-01-01", "2017-02-28", price="200")
    rows = lived_until(
        date(2018, 1, 1), policy, (date(2016, 12, 20), state([YEAR])), (date(2017, 3, 10), state([half]))
    )
    in_place = [("credit_note", "2017-03-10", "100")]
    anew = [*[("credit_note", "2017-03-10", "100")] * 3, ("invoice", "2017-03-10", "200")]
    invoices = [("invoice", f"2017-0{month}-01", "100") for month in (1, 2, 3)]
    assert documents(rows) == invoices + (in_place if amendments is Amendments.AMEND_IN_PLACE else anew)


def test_the_passing_of_time_is_no_amendment_and_a_line_that_is_added_for_later_neither():
    """With credit_and_rebill only what changes in what is invoiced has it invoiced anew."""
    policy = by_periods(amendments=Amendments.CREDIT_AND_REBILL)
    more = [YEAR, termed("2017-03-01", "2017-12-31", price="50", sku="B")]
    rows = lived_until(date(2017, 3, 31), policy, (date(2016, 12, 20), state([YEAR])), (date(2017, 1, 20), state(more)))
    assert documents(rows) == [
        *[("invoice", f"2017-0{month}-01", "100") for month in (1, 2)],
        ("invoice", "2017-03-01", "105"),
    ]
    changed = order_row(900, state([termed("2017-01-01", "2017-12-31", price="2400"), more[1]]))
    found = follow([*rows, changed], policy, date(2017, 3, 31))
    assert kinds_of(found) == ["credit_note"] * 3 + ["invoice"]
    assert found.insert[-1].row.payload["amount"] == "605"


def test_a_cancellation_credits_all_that_was_invoiced_and_asks_for_no_further_day():
    rows = lived_until(date(2017, 2, 15), by_periods(), (date(2016, 12, 20), state([YEAR])))
    found = follow([*rows, order_row(900, state([YEAR], **CANCELLED))], by_periods(), date(2017, 2, 20))
    assert (kinds_of(found), found.due_on) == (["credit_note"] * 2, None)


def test_a_period_of_closed_books_gets_the_first_open_day():
    policy = by_periods(closed_through=date(2017, 2, 10))
    rows = lived_until(date(2017, 2, 28), policy, (date(2016, 12, 20), state([YEAR])))
    assert [row.payload["original_date"] for row in rows[1:]] == ["2017-01-01", "2017-02-01"]
    assert {row.payload["invoice_date"] for row in rows[1:]} == {"2017-02-11"}


def test_an_order_that_was_booked_before_the_first_day_is_invoiced_elsewhere_period_by_period():
    policy = by_periods(since=date(2017, 1, 1))
    found = follow([order_row(1, state([YEAR], order_date="2016-12-20"))], policy, date(2017, 2, 1))
    assert (found.insert, found.due_on) == ((), None)


def test_an_order_that_was_invoiced_whole_follows_the_periods_whatever_the_first_day_says():
    rows = [order_row(1, state([YEAR], order_date="2016-12-20"))]
    rows += as_rows(follow(rows, BillingPolicy(), date(2016, 12, 20)), POSTED)
    found = follow(rows, by_periods(since=date(2017, 1, 1)), date(2017, 2, 1))
    billed = [Decimal(new.row.payload["amount"]) for new in found.insert]
    assert kinds_of(found) == ["credit_note", "invoice"]
    assert (1200 - billed[0] + billed[1], found.due_on) == (200, date(2017, 3, 1))


def test_a_discount_that_is_more_than_what_is_due_so_far_is_for_people_until_enough_is_due():
    """A discount without a term is due with the order, before what it is a discount on."""
    payload = state([termed("2017-03-01", "2018-02-28", price="1200"), line("D", "1", "-250")])
    found = follow([order_row(1, payload)], by_periods(), date(2017, 3, 1))
    assert (found.insert, found.negative, found.due_on) == ((), True, date(2017, 4, 1))
    found = follow([order_row(1, payload)], by_periods(), date(2017, 5, 1))
    assert (kinds_of(found), found.insert[0].row.payload["amount"]) == (["invoice"], "50")


@pytest.fixture(scope="module")
def in_sql():
    """What the model of the marts says of one order: ``(due amount, due before, next day)``."""
    folder = project_dir()
    macros = (folder / "macros" / "money.sql").read_text()
    model = (folder / "models" / "intermediate" / "erp" / "int_billing_schedule.sql").read_text()
    names = {"config": lambda **_: "", "source": lambda *_: "billing_terms", "ref": lambda name: name}
    sql = jinja2.Environment(autoescape=False).from_string(macros + model).render(**names)
    connection = duckdb.connect()
    connection.execute("CREATE TABLE billing_terms (today DATE, months INTEGER, in_arrears BOOLEAN)")
    connection.execute(
        "CREATE TABLE outbox (event_id VARCHAR, document_kind VARCHAR, document_date DATE, currency VARCHAR, payload VARCHAR)"
    )

    def _asked(payload, schedule, today):
        connection.execute("DELETE FROM billing_terms; DELETE FROM outbox")
        terms = [today, schedule.every.months, schedule.billed_in is BilledIn.ARREARS]
        connection.execute("INSERT INTO billing_terms VALUES (?, ?, ?)", terms)
        row = ["e1", "sales_order", payload["order_date"], payload["currency"], canonical_json(payload).decode()]
        connection.execute("INSERT INTO outbox VALUES (?, ?, ?, ?, ?)", row)
        names = "due_amount, due_before_amount, next_due_on"
        return connection.execute(f"SELECT {names} FROM ({sql.strip().rstrip(';')})").fetchall()

    return _asked


headers = st.fixed_dictionaries(
    {"currency": st.sampled_from(["EUR", "JPY", "KWD"]), "order_date": st.sampled_from([None, "2017-03-01"])}
)


@untimed
@given(st.sampled_from(SCHEDULES), headers, dates, st.data())
def test_the_marts_say_the_same_of_what_is_due(in_sql, schedule, header, today, data):
    lines = data.draw(st.lists(term_lines(header["currency"]), min_size=1, max_size=3))
    payload = state(lines, **header)
    now, before = (due_by(payload, schedule, today - timedelta(days=back)) for back in (0, 1))
    [(due, due_before, next_on)] = in_sql(payload, schedule, today)
    assert due == sum(Decimal(one["amount"]) for one in now.lines)
    assert due_before == sum(Decimal(one["amount"]) for one in before.lines)
    assert next_on == now.next_on
