"""What an approval is for: a digest over exactly these writes, their money, and the blast radius."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshline_dagster.core.approvals import Total, Write, digest, totals
from meshline_dagster.core.restatements import amendment_id, difference_text, differences
from meshline_dagster.core.reversals import Held, Reversal, ReversalLimits, biggest, excess, needs_held

WRITE = Write("k1", "amend", "f1", "MLO-1", "order/1", Decimal(10), "USD")
OTHER = Write("k2", "create", "f2", "MLO-2", "order/2", Decimal(5), "EUR")
words = st.text(max_size=4)
writes = st.lists(st.builds(Write, words, words, words, words, words, st.just(Decimal(1)), st.just("USD")), max_size=5)


@given(st.data(), writes)
def test_the_order_in_which_writes_are_listed_does_not_matter(data, listed):
    assert digest(data.draw(st.permutations(listed))) == digest(listed)


@given(writes, writes)
def test_other_writes_have_another_digest(one, other):
    def named(listed):
        return sorted((w.key, w.operation, w.fingerprint, w.external_id) for w in listed)

    assert (digest(one) == digest(other)) == (named(one) == named(other))


@pytest.mark.parametrize("field", ["key", "operation", "fingerprint", "external_id"])
def test_each_part_of_a_write_counts(field):
    assert digest([WRITE, OTHER]) != digest([replace(WRITE, **{field: "x"}), OTHER])


def test_money_is_that_of_each_orders_last_state_against_what_stands_in_the_erp():
    later = replace(WRITE, key="k3", amount=Decimal(7))
    gone = Write("k4", "cancel", "f", "MLO-3", "order/3", Decimal(40), "USD")
    customer = Write("k5", "create", "f", "MLC-1", "customer/1", Decimal(0), None)
    standing = {"order/1": (Decimal(12), "USD"), "order/3": (Decimal(40), "USD")}
    assert totals([customer, WRITE, later, OTHER, gone], standing) == {
        "USD": Total(2, Decimal(52), Decimal(7)),
        "EUR": Total(1, Decimal(0), Decimal(5)),
    }


def reversals(count, amount=10, currency="USD"):
    return [Reversal(n, f"order/{n}", Decimal(amount), currency) for n in range(count)]


@pytest.mark.parametrize(
    ("count", "held", "limits", "stopped"),
    [
        (3, Held(0, {}), ReversalLimits(), False),
        (3, Held(0, {}), ReversalLimits(count=3), False),
        (4, Held(0, {}), ReversalLimits(count=3), True),
        (1, Held(0, {}), ReversalLimits(count=0), True),
        (9, Held(9, {"USD": Decimal(90)}), ReversalLimits(share=Decimal("0.05")), False),
        (10, Held(200, {"USD": Decimal(2000)}), ReversalLimits(share=Decimal("0.05")), False),
        (10, Held(199, {"USD": Decimal(2000)}), ReversalLimits(share=Decimal("0.05")), True),
        (10, Held(200, {"USD": Decimal(1999)}), ReversalLimits(share=Decimal("0.05")), True),
        (10, Held(500, {"EUR": Decimal(2000)}), ReversalLimits(share=Decimal("0.05")), True),
    ],
)
def test_reversals_are_stopped_by_number_by_share_and_by_share_of_money(count, held, limits, stopped):
    assert (excess(reversals(count), held, limits) is not None) == stopped


@pytest.mark.parametrize(
    ("invoiced", "stopped"),
    [
        (Held(200, {"USD": Decimal(2000)}), None),
        (Held(199, {"USD": Decimal(2000)}), "10 credit notes of 199 invoiced documents"),
        (Held(200, {"USD": Decimal(1999)}), "100.00 of 1,999.00 invoiced USD"),
    ],
)
def test_credit_notes_are_judged_by_what_is_invoiced_and_cancellations_by_what_is_open(invoiced, stopped):
    limits, open_orders = ReversalLimits(share=Decimal("0.05")), Held(1, {"USD": Decimal(1)})
    notes = [replace(one, is_credit=True) for one in reversals(10)]
    problem = excess([*notes, *reversals(9)], open_orders, limits, invoiced)
    assert problem is None if stopped is None else problem.startswith(stopped)


def test_what_the_erp_holds_is_only_asked_for_where_a_share_counts():
    share = ReversalLimits(share=Decimal("0.05"))
    assert [needs_held(reversals(n), share) for n in (9, 10)] == [False, True]
    assert not needs_held(reversals(10), ReversalLimits(count=3))


def test_the_biggest_reversals_are_named_first():
    found = [*reversals(12), Reversal(20, "order/big", Decimal(99), "USD")]
    assert [one.entity_key for one in biggest(found)][:2] == ["order/big", "order/0"]
    assert len(biggest(found)) == 10


def test_a_difference_names_fields_and_lines_by_their_number():
    line = {"line": "2", "quantity": "1"}
    posted = {"amount": "10", "lines": [{"line": "1", "quantity": "1"}, line]}
    derived = {"amount": "11", "lines": [{**line, "quantity": "3"}], "po_number": None}
    assert differences(posted, derived) == [
        ("amount", "10", "11"),
        ("lines[1]", "line 1, quantity 1", "(absent)"),
        ("lines[2].quantity", "1", "3"),
        ("po_number", "(absent)", "(none)"),
    ]
    assert difference_text(posted, posted) == ""


def test_an_amendments_id_depends_on_what_it_replaces_and_on_its_content():
    assert len({amendment_id("a", "f"), amendment_id("a", "g"), amendment_id("b", "f")}) == 3
