"""What a look-up makes of a posting."""

from datetime import UTC, datetime, timedelta

import pytest

from meshline_dagster.core.documents import Answer, DocumentKind, ErpDocument, Outcome
from meshline_dagster.core.ledger import PostingState as S
from meshline_dagster.core.settle import after_answer, after_lookup

SENT = datetime(2017, 4, 1, tzinfo=UTC)
PAYLOAD = {"status": "open", "currency": "USD", "amount": "10", "lines": []}


def look_up(found, seconds):
    return after_lookup(
        found,
        kind=DocumentKind.SALES_ORDER,
        event_id="e",
        payload=PAYLOAD,
        previous=None,
        sent_at=SENT,
        settle_after=timedelta(seconds=5),
        attempts=1,
        max_attempts=3,
        now=SENT + timedelta(seconds=seconds),
    )


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


@pytest.mark.parametrize(("begun", "state"), [(True, S.PARTIAL), (False, S.RETRY_DUE)])
def test_half_a_document_that_cannot_be_completed_now_does_not_count_as_never_sent(begun, state):
    now = datetime(2026, 1, 1, tzinfo=UTC)
    answer = Answer(Outcome.RETRY, message="not now")
    settled = after_answer(answer, attempts=1, max_attempts=8, now=now, jitter=0.5, begun=begun)
    assert (settled.state, settled.outcome) == (state, "retry")
    assert settled.due_at > now
    worn_out = after_answer(answer, attempts=8, max_attempts=8, now=now, jitter=0.5, begun=begun)
    assert worn_out.state is S.DEAD
