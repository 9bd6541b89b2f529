"""What a look-up makes of a posting."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from meshline_dagster.core.documents import ACCOUNTING_KINDS, Answer, DocumentKind, ErpDocument, ErpLine, Outcome
from meshline_dagster.core.ledger import PostingState as S
from meshline_dagster.core.partials import PartialPolicy
from meshline_dagster.core.settle import after_answer, after_lookup, difference

SENT = datetime(2017, 4, 1, tzinfo=UTC)
PAYLOAD = {"status": "open", "currency": "USD", "amount": "10", "lines": []}


def look_up(found, seconds, **changes):
    given = {
        "kind": DocumentKind.SALES_ORDER,
        "event_id": "e",
        "payload": PAYLOAD,
        "previous": None,
        "sent_at": SENT,
        "settle_after": timedelta(seconds=5),
        "attempts": 1,
        "max_attempts": 3,
    }
    return after_lookup(found, now=SENT + timedelta(seconds=seconds), **{**given, **changes})


def half_done():
    return ErpDocument(DocumentKind.SALES_ORDER, "7", "MLO-1", "SO7", "partial", SENT, event_id="e")


def test_half_a_document_is_not_completed_while_the_request_that_made_it_may_still_go_on():
    settled = look_up([half_done()], 4)
    assert (settled.state, settled.due_at) == (S.UNKNOWN, SENT + timedelta(seconds=5))


def test_half_a_document_is_completed_once_the_request_that_made_it_is_over():
    assert look_up([half_done()], 5).state is S.PARTIAL


def test_an_absent_document_is_sent_again_only_after_settle_after():
    assert look_up([], 4.9).state is S.UNKNOWN
    assert look_up([], 5).state is S.RETRY_DUE


@pytest.mark.parametrize(
    ("shown", "seconds", "state"),
    [
        ("e0", 4.9, S.UNKNOWN),
        (
            "e0",
            5,
            S.RETRY_DUE,
        ),  # what is not compared (an address, a text) may differ: the event tells that it did nothing
        (None, 4.9, S.UNKNOWN),
        (None, 5, S.POSTED),
        ("e", 1, S.POSTED),
    ],
)
def test_a_state_like_the_one_before_it_is_not_done_while_its_request_may_still_come_over_a_later_state(
    shown, seconds, state
):
    there = replace(half_done(), status="open", event_id=shown, currency="USD", amount=Decimal(10))
    assert look_up([there], seconds, previous=PAYLOAD).state is state


@pytest.mark.parametrize(("begun", "state"), [(True, S.PARTIAL), (False, S.RETRY_DUE)])
def test_half_a_document_that_cannot_be_completed_now_does_not_count_as_never_sent(begun, state):
    now = datetime(2026, 1, 1, tzinfo=UTC)
    answer, kind = Answer(Outcome.RETRY, message="not now"), DocumentKind.SALES_ORDER
    settled = after_answer(answer, kind=kind, attempts=1, max_attempts=8, now=now, jitter=0.5, begun=begun)
    assert (settled.state, settled.outcome) == (state, "retry")
    assert settled.due_at > now
    worn_out = after_answer(answer, kind=kind, attempts=8, max_attempts=8, now=now, jitter=0.5, begun=begun)
    assert worn_out.state is S.DEAD


LINES = [
    {"sku": "A", "quantity": "2", "amount": "6"},
    {"sku": "B", "quantity": "1", "amount": "4"},
]
MEANT = {**PAYLOAD, "lines": LINES}
A, B, C = (ErpLine(sku, Decimal(n), Decimal(1), Decimal(a)) for sku, n, a in (("A", 2, 6), ("B", 1, 4), ("C", 1, 1)))


def half(*lines, **changes):
    return [replace(half_done(), lines=lines, currency="USD", **changes)]


def judged(found, policy=PartialPolicy.COMPLETE, **more):
    return look_up(found, 5, payload=MEANT, partial=policy, **more)


@pytest.mark.parametrize("there", [(), (A,), (A, B)], ids=["header", "one_line", "all_lines"])
def test_a_half_done_order_that_holds_only_what_was_meant_is_completed_unless_a_person_is_to_be_asked(there):
    assert judged(half(*there)).state is S.PARTIAL
    assert judged(half(*there), PartialPolicy.REVERSE).state is S.PARTIAL
    escalated = judged(half(*there), PartialPolicy.ESCALATE)
    assert (escalated.state, escalated.problem) == (S.DEAD, "partial_in_erp")


def test_a_person_is_told_line_by_line_what_is_missing_and_what_was_not_meant():
    settled = judged(half(A, C))
    assert (settled.state, settled.problem) == (S.DEAD, "partial_in_erp")
    assert "missing: 1 B at 4 in all; not meant: 1 C at 1 in all" in settled.message


def test_a_half_done_document_with_another_header_is_nobodys_to_complete():
    settled = judged([replace(half(A)[0], currency="EUR")])
    assert (settled.state, settled.problem) == (S.DEAD, "partial_in_erp")
    assert "header" in settled.message


def test_an_amendment_that_got_stuck_may_show_what_stood_before_but_is_never_reversed():
    before = {**MEANT, "lines": [{"sku": "C", "quantity": "1", "amount": "1"}], "amount": "1"}
    found = half(C, amount=Decimal(1), event_id="e0")
    assert judged(found, previous=before).state is S.PARTIAL
    assert judged(found, PartialPolicy.REVERSE, previous=before).problem == "partial_in_erp"


def test_what_belongs_in_the_books_is_never_reversed_and_completed_only_by_the_same_invoice():
    note = half(A, order="MLO-1", reverses="MLI-1")
    payload = {"order": "MLO-1", "invoice": "MLI-1"}
    kind = DocumentKind.CREDIT_NOTE
    assert look_up(note, 5, kind=kind, payload={**MEANT, **payload}).state is S.PARTIAL
    assert look_up(note, 5, kind=kind, payload={**MEANT, **payload, "invoice": "MLI-2"}).state is S.DEAD
    reverse = PartialPolicy.REVERSE
    assert look_up(note, 5, kind=kind, payload={**MEANT, **payload}, partial=reverse).state is S.DEAD


def test_half_a_document_is_not_completed_for_ever():
    assert judged(half(A), attempts=3).problem == "attempts_used_up"


def test_a_cancelled_document_means_reversed_only_where_that_is_the_policy():
    cancelled = [replace(half_done(), status="cancelled")]
    assert judged(cancelled).problem == "exists_with_different_status"
    settled = judged(cancelled, PartialPolicy.REVERSE)
    assert (settled.state, settled.problem) == (S.REJECTED, "partial_reversed")


@pytest.mark.parametrize("kind", sorted(ACCOUNTING_KINDS))
def test_an_invoice_that_somebody_cancelled_is_for_a_person_whatever_the_policy(kind):
    """Nothing of ours cancels one: it would be no reversal of ours, and its order must wait."""
    cancelled = [replace(half_done(), kind=kind, status="cancelled")]
    for policy in PartialPolicy:
        settled = judged(cancelled, policy, kind=kind)
        assert (settled.state, settled.problem) == (S.DEAD, "exists_with_different_status")


PAID = {
    "customer": "MLC-1",
    "currency": "USD",
    "amount": "10",
    "invoice": "MLI-1",
    "status": "open",
    "payment_date": "2017-04-01",
}


@pytest.mark.parametrize(
    ("shown", "field"),
    [
        ({}, None),
        ({"customer": None, "pays": None}, None),
        ({"pays": "MLI-2"}, "invoice"),
        ({"customer": "MLC-2"}, "customer"),
        ({"currency": "EUR"}, "currency"),
        ({"amount": Decimal(9)}, "amount"),
        ({"status": "cancelled"}, "status"),
    ],
)
def test_a_payment_differs_by_whose_it_is_what_it_pays_and_how_much(shown, field):
    there = {"customer": "MLC-1", "currency": "USD", "amount": Decimal(10), "pays": "MLI-1", "status": "open"} | shown
    found = ErpDocument(DocumentKind.PAYMENT, "p1", "MLP-1", "PM-1", stamp=SENT, **there)
    assert difference(DocumentKind.PAYMENT, PAID, found) == field


def test_a_credit_note_differs_by_the_invoice_that_it_reverses():
    found = ErpDocument(
        DocumentKind.CREDIT_NOTE,
        "n1",
        "MLN-1",
        "CN-1",
        "open",
        SENT,
        currency="USD",
        amount=Decimal(10),
        reverses="MLI-2",
    )
    assert difference(DocumentKind.CREDIT_NOTE, {**PAID, "lines": []}, found) == "invoice"
