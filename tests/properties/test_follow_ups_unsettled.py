"""What is billed while something of an order is dead, unsettled, or closed by hand."""

from dataclasses import replace
from datetime import timedelta

import pytest

from meshline_dagster.core.ledger import PostingState
from tests.properties.test_follow_ups import (
    CANCELLED,
    DEAD,
    SUPERSEDED,
    TODAY,
    as_rows,
    follow,
    invoiced,
    kinds_of,
    line,
    order_row,
    state,
)


def test_a_dead_document_counts_as_made_until_somebody_sets_it_aside():
    rows = [order_row(1, state([line("A", "2", "10")]))]
    [first] = as_rows(follow(rows), DEAD)
    assert follow([*rows, first]).insert == ()
    [again] = follow([*rows, replace(first, state=SUPERSEDED)]).insert
    assert (again.row.event_id, again.revision) == (first.event_id, 2)


def test_an_invoice_that_was_made_by_hand_counts_as_made_and_one_that_is_closed_as_absent_does_not():
    rows = [order_row(1, state([line("A", "2", "10")]))]
    [dead] = as_rows(follow(rows), SUPERSEDED)
    assert follow([*rows, replace(dead, cause="closed_in_erp")]).insert == ()
    assert kinds_of(follow([*rows, replace(dead, cause="closed_absent")])) == ["invoice"]


@pytest.mark.parametrize(("cause", "made"), [("closed_in_erp", []), ("closed_absent", ["invoice"])])
def test_a_state_that_is_closed_by_hand_counts_where_the_erp_holds_it(cause, made):
    first = state([line("A", "2", "10")])
    gone = replace(order_row(2, {**first, **CANCELLED}, SUPERSEDED), cause=cause)
    assert kinds_of(follow([order_row(1, first), gone])) == made


@pytest.mark.parametrize("waits", ["dead", "unknown", "rejected", "partial", "sending"])
def test_nothing_is_billed_while_a_newer_state_is_neither_there_nor_given_up(waits):
    first = state([line("A", "2", "10")])
    gone = order_row(2, {**first, **CANCELLED}, PostingState(waits))
    found = follow([order_row(1, first), gone])
    assert (found.insert, found.due_on) == ((), TODAY + timedelta(days=1))
    assert kinds_of(follow([*invoiced(first), order_row(1, first, DEAD), order_row(2, {**first, **CANCELLED})])) == [
        "credit_note"
    ]


@pytest.mark.parametrize("waits", ["planned", "retry_due"])
def test_a_newer_state_that_surely_never_reached_the_erp_is_billed_in_its_turn(waits):
    first = state([line("A", "2", "10")])
    rows = [order_row(1, first), order_row(2, {**first, **CANCELLED}, PostingState(waits))]
    assert kinds_of(follow(rows)) == ["invoice"]
