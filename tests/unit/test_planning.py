"""What planning decides, rule by rule."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from meshline_dagster.core.documents import DocumentKind
from meshline_dagster.core.identity import fingerprint
from meshline_dagster.core.ledger import BY_HAND
from meshline_dagster.core.ledger import PostingState as S
from meshline_dagster.core.postings import KnownPosting, OutboxRow, plan_entity

START = datetime(2017, 4, 1, tzinfo=UTC)


def state(version, *, amount="10", status="open"):
    return OutboxRow(
        event_id=f"{version}" * 64,
        entity_key="order",
        document_kind=DocumentKind.SALES_ORDER,
        external_id="MLO-1",
        event_time=START + timedelta(days=version),
        operation="create",
        depends_on="customer",
        amount=Decimal(amount),
        currency="USD",
        document_date=None,
        payload={"amount": amount, "status": status, "lines": []},
    )


def known(row, posting_state, revision=1, cause=""):
    return KnownPosting(
        row.payload["amount"], row.event_id, revision, row.event_time, fingerprint(row.payload), posting_state, cause
    )


def inserted(made):
    return [(one.row.event_id[0], one.revision, one.state, one.cause) for one in made.insert]


def test_a_correction_of_an_older_state_is_not_sent_after_a_newer_one():
    first, corrected, second = state(1), state(1, amount="11"), state(2)
    made = plan_entity([corrected, second], [known(first, S.REJECTED), known(second, S.POSTED)], live=True)
    assert inserted(made) == [("1", 2, S.SUPERSEDED, "late_older_state")]
    assert len(made.supersede) == 1


def test_a_correction_of_the_newest_state_is_planned_as_a_new_revision():
    first, corrected = state(1), state(1, amount="11")
    made = plan_entity([corrected], [known(first, S.REJECTED)], live=True)
    assert inserted(made) == [("1", 2, S.PLANNED, "rederived")]


@pytest.mark.parametrize("amount", ["10", "11"])
def test_a_state_that_was_taken_back_and_is_derived_again_is_planned_again(amount):
    made = plan_entity([state(1, amount=amount)], [known(state(1), S.SUPERSEDED)], live=True)
    assert inserted(made) == [("1", 2, S.PLANNED, "derived_again")]


def test_a_superseded_state_that_is_older_than_what_was_posted_stays_so():
    made = plan_entity([state(1), state(2)], [known(state(1), S.SUPERSEDED), known(state(2), S.POSTED)], live=True)
    assert made.insert == ()


def test_a_state_that_gave_way_to_one_which_was_then_refused_is_planned_again():
    made = plan_entity([state(1), state(2)], [known(state(1), S.SUPERSEDED), known(state(2), S.REJECTED)], live=True)
    assert inserted(made) == [("1", 2, S.PLANNED, "derived_again")]


def test_a_correction_before_a_cancellation_that_found_nothing_to_cancel_is_not_posted():
    first, corrected, cancelled = state(1), state(1, amount="11"), state(2, status="cancelled")
    made = plan_entity([corrected, cancelled], [known(first, S.REJECTED), known(cancelled, S.SUPERSEDED)], live=True)
    assert inserted(made) == [("1", 2, S.SUPERSEDED, "late_older_state")]


def test_a_cancellation_that_was_taken_back_and_returns_follows_the_state_that_still_waits():
    first, cancelled = state(1), state(2, status="cancelled")
    made = plan_entity([first, cancelled], [known(first, S.PLANNED), known(cancelled, S.SUPERSEDED)], live=True)
    assert inserted(made) == [("2", 2, S.PLANNED, "derived_again")]


@pytest.mark.parametrize("cause", sorted(BY_HAND))
def test_what_an_operator_closed_is_as_frozen_as_what_is_posted(cause):
    closed = known(state(2), S.SUPERSEDED, cause=cause)
    assert plan_entity([state(2)], [closed], live=True).insert == ()
    assert plan_entity([state(2, amount="11")], [closed], live=True).restatements == (state(2, amount="11"),)
    made = plan_entity([state(1), state(2), state(3)], [closed], live=True)
    assert inserted(made) == [("1", 1, S.SUPERSEDED, "late_older_state"), ("3", 1, S.PLANNED, "derived")]
