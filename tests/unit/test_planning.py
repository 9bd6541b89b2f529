"""What planning decides, rule by rule."""

from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from meshline_dagster.core.documents import DocumentKind
from meshline_dagster.core.identity import fingerprint
from meshline_dagster.core.ledger import BY_HAND
from meshline_dagster.core.ledger import PostingState as S
from meshline_dagster.core.postings import REFUSED, RESTATED, KnownPosting, OutboxRow, plan_entity
from meshline_dagster.core.restatements import amendment_id

START = datetime(2017, 4, 1, tzinfo=UTC)


def state(version, *, amount="10", status="open"):
    return OutboxRow(
        event_id=f"{version}" * 64,
        entity_key="order",
        document_kind=DocumentKind.SALES_ORDER,
        external_id="MLO-1",
        event_time=START + timedelta(days=version),
        operation="create",
        depends_on=("customer",),
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


def posted(row, **words):
    return KnownPosting(**{**asdict(known(row, S.POSTED)), "id": 1, "operation": "create", **words})


def test_a_posted_state_with_another_content_becomes_one_amendment_that_stands_at_the_same_time():
    made = plan_entity([state(1, amount="11")], [posted(state(1))], live=True)
    [new] = made.insert
    assert (new.cause, new.revision, new.state, new.row.operation) == (RESTATED, 1, S.PLANNED, "amend")
    assert new.row.event_time == state(1).event_time
    assert new.row.event_id == amendment_id(state(1).event_id, fingerprint(state(1, amount="11").payload))
    waits = KnownPosting(2, new.row.event_id, 1, new.row.event_time, new.fingerprint, S.PLANNED, RESTATED)
    again = plan_entity([state(1, amount="11")], [posted(state(1)), waits], live=True)
    assert (again.insert, again.supersede) == ((), ())
    assert plan_entity([state(1)], [posted(state(1)), waits], live=True).supersede == ((2, "no_longer_derived"),)
    newer = plan_entity([state(1, amount="11"), state(2)], [posted(state(1)), waits], live=True)
    assert (inserted(newer), newer.supersede) == ([("2", 1, S.PLANNED, "derived")], ((2, "no_longer_derived"),))


def test_a_refused_restatement_is_not_asked_for_again_and_one_that_was_taken_back_is():
    row = state(1, amount="11")
    [new] = plan_entity([row], [posted(state(1))], live=True).insert
    gone = KnownPosting(2, new.row.event_id, 1, row.event_time, new.fingerprint, S.SUPERSEDED, "no_longer_derived")
    [back] = plan_entity([row], [posted(state(1)), gone], live=True).insert
    assert (back.revision, back.cause) == (2, RESTATED)
    refused = replace(gone, cause=REFUSED)
    assert plan_entity([row], [posted(state(1)), refused], live=True, again=True).insert == ()


@pytest.mark.parametrize(("after", "cause"), [(S.REJECTED, ""), (S.SUPERSEDED, REFUSED)])
def test_a_state_that_stands_since_the_newer_one_was_refused_is_restated(after, cause):
    ledger = [posted(state(1)), posted(state(2), id=2, state=after, cause=cause)]
    [new] = plan_entity([state(1, amount="11"), state(2)], ledger, live=True).insert
    assert (new.cause, new.row.event_time) == (RESTATED, state(1).event_time)


def test_older_states_masters_and_shadow_are_not_restated():
    older = [state(1, amount="11"), state(2)]
    assert plan_entity(older, [posted(state(1)), posted(state(2), id=2)], live=True).insert == ()
    customer = replace(state(1, amount="11"), document_kind=DocumentKind.CUSTOMER)
    assert plan_entity([customer], [posted(state(1))], live=True).insert == ()
    assert plan_entity([state(1, amount="11")], [posted(state(1))], live=False).insert == ()


@pytest.mark.parametrize(("operation", "restated"), [("cancel", False), ("amend", True)])
def test_what_is_cancelled_already_is_not_cancelled_once_more(operation, restated):
    row = state(1, amount="11", status="cancelled")
    made = plan_entity([row], [posted(state(1), operation=operation)], live=True)
    assert [new.row.operation for new in made.insert] == (["cancel"] if restated else [])


def test_what_a_person_has_refused_returns_only_by_a_replay():
    refused = KnownPosting(1, state(1).event_id, 1, state(1).event_time, "f", S.SUPERSEDED, REFUSED)
    assert plan_entity([state(1)], [refused], live=True).insert == ()
    assert inserted(plan_entity([state(1)], [refused], live=True, again=True)) == [("1", 2, S.PLANNED, "derived_again")]
    first, cancelled = state(1), state(2, status="cancelled")
    stands = KnownPosting(2, cancelled.event_id, 1, cancelled.event_time, "f", S.SUPERSEDED, REFUSED)
    assert inserted(plan_entity([first, cancelled], [stands], live=True)) == [("1", 1, S.PLANNED, "derived")]
