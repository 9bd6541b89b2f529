"""Which of several documents is kept, and what may be sent to take the others back."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from meshline_dagster.core.approvals import Total, Write, totals
from meshline_dagster.core.documents import DocumentKind, ErpDocument, Outcome, standing
from meshline_dagster.core.duplicates import (
    NEEDLESS,
    Doubled,
    Standing,
    after_reversal_lookup,
    before_reversal,
    choose,
    reversal_row,
)
from meshline_dagster.core.ledger import PostingState

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ORDER = "crm/opportunity/1"


def document(erp_id, **changed):
    return Standing(erp_id, erp_id.upper(), Decimal("10.50"), "USD", NOW, **changed)


def doubled(*ids):
    return Doubled(DocumentKind.SALES_ORDER, "MLO-1", ORDER, tuple(document(one) for one in ids))


def row(of, extra, *, now=NOW):
    choice = choose(of.documents, [])
    return reversal_row(of, choice, next(one for one in choice.extra if one.erp_id == extra), ORDER, now=now)


def shown(erp_id, status="open", **changed):
    of = ErpDocument(DocumentKind.SALES_ORDER, erp_id, "MLO-1", erp_id.upper(), status, NOW, currency="USD")
    return replace(of, amount=Decimal("10.50"), **changed)


def test_the_document_that_the_ledger_knows_is_kept_else_the_one_with_the_lowest_id():
    documents = [document(one) for one in ("o10", "o9", "o11")]
    assert choose(documents, ["o99", "o11", "o9"]).kept.erp_id == "o11"
    choice = choose(documents, ["o99"])
    assert choice.kept.erp_id == "o9"
    assert [one.erp_id for one in choice.extra] == ["o10", "o11"]
    assert choose(documents[::-1], []) == choice


def test_the_same_documents_have_the_same_reversals_and_one_that_changed_has_another():
    of = doubled("o1", "o2")
    first, again = row(of, "o2"), row(of, "o2", now=NOW + timedelta(days=1))
    assert (first.event_id, first.entity_key, first.payload) == (again.event_id, again.entity_key, again.payload)
    assert (first.operation, first.external_id, first.payload["erp_id"]) == ("reverse", "MLO-1", "o2")
    changed = replace(of, documents=(of.documents[0], replace(of.documents[1], stamp=NOW + timedelta(seconds=1))))
    other_kept = row(doubled("o0", "o2"), "o2")
    assert len({first.event_id, row(changed, "o2").event_id, other_kept.event_id}) == 3
    assert first.entity_key != row(doubled("o1", "o2", "o3"), "o3").entity_key


@pytest.mark.parametrize(
    ("there", "words"),
    [
        ([shown("o1"), shown("o2")], None),
        ([shown("o1"), shown("o2", "partial")], None),
        ([shown("o1"), shown("o2", "cancelled")], Outcome.EXISTS),
        ([shown("o1")], "shows no document o2"),
        ([shown("o2")], "does not stand any more"),
        ([shown("o1", "cancelled"), shown("o2")], "does not stand any more"),
        ([replace(shown("o1"), external_id="MLO-2"), shown("o2")], "does not stand any more"),
        ([shown("o1"), replace(shown("o2"), external_id="")], "not what was approved"),
        ([shown("o1"), replace(shown("o2"), amount=Decimal(11))], "not what was approved"),
    ],
)
def test_a_reversal_is_sent_only_while_the_document_that_is_kept_stands_and_the_other_is_as_it_was(there, words):
    payload = row(doubled("o1", "o2"), "o2").payload
    answer = before_reversal("MLO-1", payload, {one.erp_id: one for one in there})
    if words is None:
        assert answer is None
    elif words is Outcome.EXISTS:
        assert answer.outcome is Outcome.EXISTS
    else:
        assert (answer.outcome, answer.field) == (Outcome.REJECTED, NEEDLESS)
        assert words in answer.message


@pytest.mark.parametrize(
    ("there", "waited", "attempts", "state"),
    [
        (shown("o2", "cancelled"), 0, 1, PostingState.POSTED),
        (shown("o2"), 0, 1, PostingState.UNKNOWN),
        (shown("o2"), 5, 1, PostingState.RETRY_DUE),
        (shown("o2"), 5, 3, PostingState.DEAD),
        (None, 0, 1, PostingState.REJECTED),
    ],
)
def test_an_unknown_reversal_is_settled_by_what_its_document_shows(there, waited, attempts, state):
    settled = after_reversal_lookup(
        there,
        sent_at=NOW,
        settle_after=timedelta(seconds=5),
        attempts=attempts,
        max_attempts=3,
        now=NOW + timedelta(seconds=waited),
    )
    assert settled.state is state
    assert (settled.problem is None) == (state not in {PostingState.DEAD, PostingState.REJECTED})
    assert settled.due_at == (NOW + timedelta(seconds=5) if state is PostingState.UNKNOWN else None)


def test_what_was_cancelled_beside_a_live_document_is_out_of_the_way():
    live, cancelled = shown("o1"), shown("o2", "cancelled")
    assert standing([cancelled, live]) == [live]
    assert standing([cancelled, cancelled]) == [cancelled]
    assert standing([]) == []
    assert len(standing([live, shown("o3", "partial"), cancelled])) == 2


def test_what_a_reversal_changes_in_money_is_the_document_that_goes():
    write = Write("k", "reverse", "f", "MLO-1", "e", Decimal("10.50"), "USD")
    assert totals([write], {}) == {"USD": Total(1, Decimal("10.50"), Decimal(0))}
