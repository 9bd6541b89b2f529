"""What is invoiced and credited of an order that is worth nothing, or less."""

from dataclasses import replace

import pytest

from meshline_dagster.core.followups import (
    FollowUps,
)
from tests.properties.test_follow_ups import (
    POLICIES,
    POSTED,
    as_rows,
    follow,
    invoiced,
    kinds_of,
    line,
    meant,
    net,
    order_row,
    state,
)

LESS_THAN_NOTHING = [line("A", "1", "10"), line("D", "1", "-14")]


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.amendments.value)
def test_an_order_that_is_worth_less_than_nothing_is_for_people_until_a_state_of_it_is_worth_something(policy):
    """An invoice with a negative total is a credit note that nobody has asked for."""
    found = follow([order_row(1, state(LESS_THAN_NOTHING))], policy)
    assert (found.insert, found.negative, found.due_on) == ((), True, None)
    rows = invoiced(state([line("A", "1", "10")]), policy)
    for number in (2, 3, 4):
        rows.append(order_row(number, state([*LESS_THAN_NOTHING, line("B", str(number), "0.5")])))
        found = follow(rows, policy)
        assert (found.insert, found.negative) == ((), True)
    rows.append(order_row(5, state([line("A", "1", "12")])))
    found = follow(rows, policy)
    assert (kinds_of(found), found.negative) == (["credit_note", "invoice"], False)
    assert net(rows + as_rows(found, POSTED)) == meant(rows[-1].payload)


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.amendments.value)
def test_an_order_with_a_negative_total_can_be_cancelled(policy):
    rows = invoiced(state([line("A", "1", "10")]), policy)
    rows += [order_row(2, state(LESS_THAN_NOTHING)), order_row(3, state(LESS_THAN_NOTHING, status="cancelled"))]
    found = follow(rows, policy)
    assert (kinds_of(found), found.negative) == (["credit_note"], False)


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.amendments.value)
def test_a_negative_invoice_that_stands_is_neither_made_again_nor_credited_by_itself(policy):
    """As earlier versions made them: right as it stands, and for people as soon as something about it changes."""
    [invoice] = as_rows(follow([order_row(1, state([line("A", "1", "10"), line("D", "1", "-4")]))], policy), POSTED)
    stands = replace(invoice, payload={**invoice.payload, "amount": "-4", "lines": state(LESS_THAN_NOTHING)["lines"]})
    rows = [order_row(1, state(LESS_THAN_NOTHING)), stands, order_row(2, state(LESS_THAN_NOTHING))]
    assert follow(rows, policy) == FollowUps()
    for number in (3, 4):
        rows.append(order_row(number, state([line("A", "1", str(number))])))
        found = follow(rows, policy)
        assert (found.insert, found.negative) == ((), True)


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.amendments.value)
@pytest.mark.parametrize("lines", [[line("A", "1", "0")], [line("A", "1", "4"), line("D", "1", "-4")]])
def test_an_order_that_is_worth_nothing_is_invoiced_once_for_nothing(policy, lines):
    rows = [order_row(1, state(lines))]
    found = follow(rows, policy)
    assert [new.row.payload["amount"] for new in found.insert] == ["0"]
    rows += as_rows(found, POSTED)
    assert follow(rows, policy) == FollowUps()
    assert follow([*rows, order_row(2, state(lines))], policy) == FollowUps()
