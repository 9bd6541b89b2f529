"""Whatever states an order goes through, what is invoiced less what is credited is its last posted state, to the cent."""

from collections import defaultdict
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshline_dagster.core.documents import DocumentKind
from meshline_dagster.core.followups import (
    Amendments,
    BillingPolicy,
    BillingRow,
    FollowUps,
    InvoiceTrigger,
    plan_follow_ups,
)
from meshline_dagster.core.ledger import PostingState
from meshline_dagster.core.money import quantize, to_text

KEY = "crm/opportunity/1"
TODAY = date(2017, 4, 1)
START = datetime(2017, 1, 1, tzinfo=UTC)
POSTED, PLANNED, DEAD, SUPERSEDED = (
    PostingState.POSTED,
    PostingState.PLANNED,
    PostingState.DEAD,
    PostingState.SUPERSEDED,
)
PRICES = ("10", "0.07", "3.333333", "-4", "19.99")
QUANTITIES = ("1", "2", "3", "7", "0.5", "1.25")


def line(sku, quantity, price, *, amount=None, tax="standard", start=None):
    amount = amount if amount is not None else to_text(quantize(Decimal(quantity) * Decimal(price), "EUR"))
    return {
        "line": "?",
        "sku": sku,
        "description": None,
        "quantity": quantity,
        "uom": "unit",
        "unit_price": price,
        "amount": amount,
        "tax_code": tax,
        "start": start,
        "end": None,
    }


def state(lines, *, status="open", customer="MLC-1", currency="EUR", order_date="2017-03-01", po_number=None):
    numbered = [{**one, "line": str(place)} for place, one in enumerate(lines, start=1)]
    return {
        "order_number": "1",
        "customer": customer,
        "customer_name": "Acme",
        "currency": currency,
        "order_date": order_date,
        "po_number": po_number,
        "payment_terms": None,
        "status": status,
        "amount": to_text(sum((Decimal(one["amount"]) for one in lines), Decimal(0))),
        "lines": numbered,
    }


def order_row(number, payload, ledger_state=POSTED):
    kind, name = DocumentKind.SALES_ORDER, "MLO-1"
    return BillingRow(f"event-{number}", kind, name, 1, START + timedelta(days=number), ledger_state, payload)


def as_rows(found, ledger_state):
    return [
        BillingRow(
            new.row.event_id,
            new.row.document_kind,
            new.row.external_id,
            new.revision,
            new.row.event_time,
            ledger_state,
            new.row.payload,
        )
        for new in found.insert
    ]


def follow(rows, policy=None, today=TODAY):
    return plan_follow_ups(KEY, rows, policy or BillingPolicy(), today=today)


def price_of(one):
    return (one["sku"], Decimal(one["unit_price"]), one["tax_code"], one["start"])


def net(rows):
    """Per customer, currency and price: quantity and amount that are invoiced and not credited."""
    sums = defaultdict(lambda: [Decimal(0), Decimal(0)])
    for row in rows:
        if row.document_kind is DocumentKind.SALES_ORDER or row.state is SUPERSEDED:
            continue
        sign = 1 if row.document_kind is DocumentKind.INVOICE else -1
        for one in row.payload["lines"]:
            found = sums[row.payload["customer"], row.payload["currency"], price_of(one)]
            found[0] += sign * Decimal(one["quantity"])
            found[1] += sign * Decimal(one["amount"])
    return {key: tuple(found) for key, found in sums.items() if any(found)}


def meant(payload):
    sums = defaultdict(lambda: [Decimal(0), Decimal(0)])
    for one in payload["lines"] if payload["status"] == "open" else []:
        found = sums[payload["customer"], payload["currency"], price_of(one)]
        found[0] += Decimal(one["quantity"])
        found[1] += Decimal(one["amount"])
    return {key: tuple(found) for key, found in sums.items() if any(found)}


@st.composite
def lines_of_an_order(draw):
    """Some lines of few items, so that amendments often hit the same price; amounts off by a cent now and then."""
    found = []
    for _ in range(draw(st.integers(0, 4))):
        quantity, price = draw(st.sampled_from(QUANTITIES)), draw(st.sampled_from(PRICES))
        exact = quantize(Decimal(quantity) * Decimal(price), "EUR")
        off = draw(st.sampled_from([Decimal(0)] * 4 + [Decimal("0.01")]))
        found.append(line(draw(st.sampled_from("AB")), quantity, price, amount=to_text(exact + off)))
    total = sum((Decimal(one["amount"]) for one in found), Decimal(0))
    return found if total >= 0 else [*found, line("A", "1", to_text(-total))]


@st.composite
def states(draw):
    return state(
        draw(lines_of_an_order()),
        status=draw(st.sampled_from(["open", "open", "open", "cancelled"])),
        customer=draw(st.sampled_from(["MLC-1"] * 4 + ["MLC-2"])),
        currency=draw(st.sampled_from(["EUR"] * 5 + ["USD"])),
        po_number=draw(st.sampled_from([None, "PO"])),
    )


POLICIES = [BillingPolicy(amendments=one) for one in Amendments]


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.amendments.value)
@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(states(), st.booleans(), st.booleans()), min_size=1, max_size=7))
def test_invoices_less_credits_are_the_last_posted_state_line_by_line(policy, lived):
    """Any of the states may be left out, as a late or coalesced one; follow-ups are posted before the next state or still planned."""
    rows, last = [], None
    for number, (payload, is_posted, are_done) in enumerate(lived):
        rows.append(order_row(number, payload, POSTED if is_posted else SUPERSEDED))
        last = payload if is_posted else last
        found = follow(rows, policy)
        rows += as_rows(found, POSTED if are_done else PLANNED)
        assert follow(rows, policy).insert == ()
        assert net(rows) == ({} if last is None else meant(last))
        assert all(Decimal(new.row.payload["amount"]) >= 0 for new in found.insert)
        assert all(
            new.row.amount == sum(Decimal(one["amount"]) for one in new.row.payload["lines"]) for new in found.insert
        )
    keys = [(row.event_id, row.revision) for row in rows]
    assert len(keys) == len(set(keys))
    assert_no_invoice_line_is_credited_beyond_itself(rows)


def assert_no_invoice_line_is_credited_beyond_itself(rows):
    invoices = {row.external_id: row.payload for row in rows if row.document_kind is DocumentKind.INVOICE}
    taken = defaultdict(Decimal)
    for row in rows:
        if row.document_kind is DocumentKind.CREDIT_NOTE:
            places = {one["line"]: one for one in invoices[row.payload["invoice"]]["lines"]}
            assert row.payload["currency"] == invoices[row.payload["invoice"]]["currency"]
            for one in row.payload["lines"]:
                against = places[one["invoice_line"]]
                assert price_of(against) == price_of(one)
                taken[row.payload["invoice"], one["invoice_line"]] += Decimal(one["quantity"])
    for (name, place), quantity in taken.items():
        [billed] = [Decimal(one["quantity"]) for one in invoices[name]["lines"] if one["line"] == place]
        assert abs(quantity) <= abs(billed)
        assert quantity * billed >= 0


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.amendments.value)
@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(states(), st.integers(0, 9)), min_size=1, max_size=6))
def test_what_was_refused_and_set_aside_is_planned_anew_under_the_same_name(policy, lived):
    """The first so many follow-ups of a state are posted; an operator has the rest superseded."""
    rows = []
    for number, (payload, done) in enumerate(lived):
        rows.append(order_row(number, payload))
        found = follow(rows, policy)
        again = as_rows(found, POSTED)
        rows += [row if place < done else replace(row, state=SUPERSEDED) for place, row in enumerate(again)]
        second = follow(rows, policy)
        assert net(rows + as_rows(second, POSTED)) == meant(payload)
        names = {row.event_id for row in again[done:]}
        assert all(new.revision == 2 for new in second.insert if new.row.event_id in names)
        rows += as_rows(second, POSTED)
    keys = [(row.event_id, row.revision) for row in rows]
    assert len(keys) == len(set(keys))


def kinds_of(found):
    return [new.row.document_kind.value for new in found.insert]


def test_the_first_posted_state_is_invoiced_with_its_lines_and_the_day():
    rows = [order_row(1, state([line("A", "2", "10"), line("B", "1", "0.07")]))]
    [new] = follow(rows).insert
    payload = new.row.payload
    assert (new.state, new.revision, new.row.operation) == (PLANNED, 1, "create")
    assert new.row.external_id.startswith("MLI-")
    assert (payload["amount"], payload["invoice_date"], payload["order"]) == ("20.07", "2017-04-01", "MLO-1")
    assert payload["order_event_id"] == "event-1"
    assert [one["line"] for one in payload["lines"]] == ["1", "2"]
    assert new.row.event_time == rows[0].event_time


def test_nothing_follows_from_a_state_that_is_not_posted():
    assert follow([order_row(1, state([line("A", "2", "10")]), PLANNED)]).insert == ()


def invoiced(payload, policy=None):
    rows = [order_row(1, payload)]
    return rows + as_rows(follow(rows, policy), POSTED)


def test_less_of_an_item_is_credited_against_its_invoice_line():
    rows = invoiced(state([line("B", "1", "5"), line("A", "10", "10")]))
    [new] = follow([*rows, order_row(2, state([line("B", "1", "5"), line("A", "7", "10")]))]).insert
    [credit] = new.row.payload["lines"]
    assert new.row.external_id.startswith("MLN-")
    assert new.row.payload["invoice"] == rows[1].external_id
    assert (credit["invoice_line"], credit["quantity"], credit["amount"]) == ("2", "3", "30")


def test_more_of_an_item_is_invoiced_as_the_difference():
    rows = invoiced(state([line("A", "10", "10")]))
    [new] = follow([*rows, order_row(2, state([line("A", "12", "10")]))]).insert
    assert [(one["quantity"], one["amount"]) for one in new.row.payload["lines"]] == [("2", "20")]


def test_a_surplus_is_taken_from_the_invoice_that_came_last():
    rows = invoiced(state([line("A", "10", "10")]))
    rows += [order_row(2, state([line("A", "12", "10")]))]
    rows += as_rows(follow(rows), POSTED)
    first, second = (row.external_id for row in rows if row.document_kind is DocumentKind.INVOICE)
    found = follow([*rows, order_row(3, state([line("A", "9", "10")]))])
    assert [(new.row.payload["invoice"], new.row.payload["amount"]) for new in found.insert] == [
        (first, "10"),
        (second, "20"),
    ]


def test_a_credit_and_rebill_policy_credits_the_whole_invoice_and_then_invoices_the_whole_order():
    policy = BillingPolicy(amendments=Amendments.CREDIT_AND_REBILL)
    rows = invoiced(state([line("A", "10", "10")]), policy)
    found = follow([*rows, order_row(2, state([line("A", "7", "10")]))], policy)
    assert kinds_of(found) == ["credit_note", "invoice"]
    assert [new.row.payload["amount"] for new in found.insert] == ["100", "70"]


def test_a_new_purchase_order_number_is_no_reason_to_credit_except_where_all_is_rebilled():
    lines, policy = [line("A", "10", "10")], BillingPolicy(amendments=Amendments.CREDIT_AND_REBILL)
    changed = order_row(2, state(lines, po_number="PO-7"))
    assert kinds_of(follow([*invoiced(state(lines)), changed])) == []
    assert kinds_of(follow([*invoiced(state(lines), policy), changed], policy)) == ["credit_note", "invoice"]


def test_another_customer_gets_an_invoice_and_the_first_one_its_money_back():
    lines = [line("A", "10", "10")]
    found = follow([*invoiced(state(lines)), order_row(2, state(lines, customer="MLC-2"))])
    assert [(new.row.document_kind.value, new.row.payload["customer"]) for new in found.insert] == [
        ("credit_note", "MLC-1"),
        ("invoice", "MLC-2"),
    ]


def test_a_cancellation_credits_what_is_invoiced_and_invoices_nothing():
    lines = [line("A", "10", "10")]
    found = follow([*invoiced(state(lines)), order_row(2, state(lines, status="cancelled"))])
    assert kinds_of(found) == ["credit_note"]
    assert found.insert[0].row.amount == Decimal(100)
    assert kinds_of(follow([order_row(1, state(lines, status="cancelled"))])) == []


def test_a_discount_that_grows_does_not_become_a_negative_invoice():
    rows = invoiced(state([line("A", "10", "10"), line("D", "1", "-4")]))
    found = follow([*rows, order_row(2, state([line("A", "10", "10"), line("D", "2", "-4")]))])
    assert [(new.row.document_kind.value, new.row.payload["amount"]) for new in found.insert] == [
        ("credit_note", "96"),
        ("invoice", "92"),
    ]


def test_an_order_that_starts_later_is_asked_for_again_on_that_day():
    policy = BillingPolicy(trigger=InvoiceTrigger.START)
    rows = [order_row(1, state([line("A", "1", "10", start="2017-06-01"), line("A", "1", "9", start="2017-05-15")]))]
    waiting = follow(rows, policy)
    assert (waiting.insert, waiting.due_on) == ((), date(2017, 5, 15))
    due = follow(rows, policy, today=date(2017, 5, 15))
    assert (kinds_of(due), due.due_on) == (["invoice"], None)
    assert follow(rows, policy, today=date(2017, 5, 15)).insert[0].row.payload["invoice_date"] == "2017-05-15"


def test_an_order_that_is_booked_ahead_waits_for_its_booking_day():
    rows = [order_row(1, state([line("A", "1", "10")], order_date="2017-04-02"))]
    assert follow(rows).due_on == date(2017, 4, 2)
    assert kinds_of(follow(rows, today=date(2017, 4, 2))) == ["invoice"]


def test_an_order_that_was_invoiced_is_settled_at_once_even_if_it_now_starts_later():
    policy = BillingPolicy(trigger=InvoiceTrigger.START)
    rows = invoiced(state([line("A", "2", "10", start="2017-03-01")]), policy)
    later = order_row(2, state([line("A", "1", "10", start="2017-06-01")]))
    assert kinds_of(follow([*rows, later], policy)) == ["credit_note", "invoice"]


def test_a_difference_that_quantity_times_price_does_not_give_is_billed_anew():
    rows = invoiced(state([line("A", "3", "3.333333", amount="10")]))
    found = follow([*rows, order_row(2, state([line("A", "2", "3.333333", amount="6.66")]))])
    assert [(new.row.document_kind.value, new.row.payload["amount"]) for new in found.insert] == [
        ("credit_note", "10"),
        ("invoice", "6.66"),
    ]


def test_a_second_document_of_one_event_never_takes_the_name_of_one_that_stands():
    rows = invoiced(state([line("A", "10", "10")]))
    rows += as_rows(follow([*rows, order_row(2, state([line("A", "7", "10")]))]), POSTED)
    [again] = follow([*rows, order_row(2, state([line("A", "5", "10")]))]).insert
    assert again.row.payload["amount"] == "20"
    assert again.row.event_id not in {row.event_id for row in rows}
    assert again.revision == 1


def test_an_order_that_was_booked_before_the_first_day_is_invoiced_elsewhere():
    early = state([line("A", "1", "10")], order_date="2017-02-28")
    policy = BillingPolicy(since=date(2017, 3, 1))
    assert follow([order_row(1, early)], policy) == FollowUps()
    assert kinds_of(follow([order_row(1, {**early, "order_date": "2017-03-01"})], policy)) == ["invoice"]


def test_what_we_have_invoiced_is_ours_to_credit_whatever_the_first_day_is_now():
    early = state([line("A", "1", "10")], order_date="2017-02-28")
    cancelled = order_row(2, {**early, "status": "cancelled"})
    assert kinds_of(follow([*invoiced(early), cancelled], BillingPolicy(since=date(2017, 3, 1)))) == ["credit_note"]


@pytest.mark.parametrize(
    ("closed", "dated"),
    [(None, "2017-04-01"), (date(2017, 3, 31), "2017-04-01"), (date(2017, 4, 30), "2017-05-01")],
)
def test_a_document_of_a_closed_period_gets_the_first_open_day_and_keeps_its_own(closed, dated):
    [new] = follow([order_row(1, state([line("A", "1", "10")]))], BillingPolicy(closed_through=closed)).insert
    assert (new.row.payload["invoice_date"], new.row.payload["original_date"]) == (dated, "2017-04-01")
    assert new.row.document_date == date.fromisoformat(dated)


CANCELLED = {"status": "cancelled"}
