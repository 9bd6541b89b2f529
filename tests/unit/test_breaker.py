"""The breaker's transitions, without a database."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshline_dagster.core.breaker import CLOSED_BREAKER, BreakerState, answered, failed, may_probe, probing

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
LATER = NOW + timedelta(hours=1)


def fail(breaker, at, *, who="a", started=None, limit=3, jitter=0.5):
    return failed(breaker, who, started=started or at, now=at, jitter=jitter, limit=limit, message="no")


def answer(breaker, at, *, who="a", started=None):
    return answered(breaker, who, started=started or at, now=at)


def tripped(at=NOW, trips=1):
    breaker = CLOSED_BREAKER
    for number in range(3):
        breaker = fail(breaker, at + number * SECOND)
    for _ in range(trips - 1):
        at = breaker.retry_at
        breaker = fail(probing(breaker, "a", now=at, seconds=10), at)
    return breaker


def test_so_many_rounds_of_failures_in_a_row_open_it_and_an_answer_in_between_starts_anew():
    twice = fail(fail(CLOSED_BREAKER, NOW), NOW + SECOND)
    assert (twice.state, twice.failures) == (BreakerState.CLOSED, 2)
    assert answer(twice, NOW).failures == 0
    assert fail(twice, NOW + 2 * SECOND).state is BreakerState.OPEN


def test_what_was_under_way_when_a_failure_was_counted_belongs_to_its_round():
    breaker = fail(CLOSED_BREAKER, NOW)
    for number in range(50):
        breaker = fail(breaker, NOW + number * SECOND, started=NOW - SECOND)
    assert breaker.failures == 1


def test_open_it_admits_nobody_half_open_only_the_prober_and_his_failure_opens_it_for_longer():
    breaker = tripped()
    assert not breaker.admits("a")
    assert breaker.retry_at == NOW + 2 * SECOND + timedelta(seconds=0.5 * 4)
    assert not may_probe(breaker, now=breaker.retry_at - SECOND)
    assert may_probe(breaker, now=breaker.retry_at)
    half = probing(breaker, "a", now=breaker.retry_at, seconds=10)
    assert half.admits("a")
    assert not half.admits("b")
    assert not may_probe(half, now=breaker.retry_at + 9 * SECOND)
    assert may_probe(half, now=breaker.retry_at + 10 * SECOND)  # he never came back
    assert fail(half, breaker.retry_at, who="b") == half
    again = fail(half, breaker.retry_at)
    assert (again.state, again.trips, again.opened_at) == (BreakerState.OPEN, 2, breaker.opened_at)
    assert again.retry_at - breaker.retry_at == timedelta(seconds=0.5 * 8)


@pytest.mark.parametrize("half", [False, True])
def test_a_real_answer_to_a_request_made_since_it_opened_closes_it_whoever_asked(half):
    breaker = tripped()
    if half:
        breaker = probing(breaker, "a", now=NOW, seconds=10)
    closed = answer(breaker, NOW + 9 * SECOND, who="b")
    assert (closed.state, closed.failures, closed.opened_at) == (BreakerState.CLOSED, 0, None)
    assert closed.closed_at == NOW + 9 * SECOND


def test_an_answer_to_a_request_from_before_the_outage_ends_it_only_for_the_prober_whose_clock_is_his_own():
    breaker = tripped()
    assert answer(breaker, NOW + 9 * SECOND, started=NOW) == breaker
    half = probing(breaker, "a", now=NOW, seconds=10)
    assert answer(half, NOW + 9 * SECOND, who="b", started=NOW) == half
    assert answer(half, NOW + 9 * SECOND, who="a", started=NOW).state is BreakerState.CLOSED


def test_the_pause_goes_on_growing_after_a_short_recovery_and_starts_anew_after_a_long_one():
    closed = answer(tripped(trips=4), LATER)
    short, long = (fail(closed, LATER + pause * SECOND, limit=1) for pause in (60, 300))
    assert (short.trips, long.trips) == (5, 1)


@given(st.integers(1, 60), st.floats(0, 1, exclude_max=True))
def test_the_pause_is_bounded(trips, jitter):
    breaker = tripped()
    for _ in range(trips):
        at = breaker.retry_at
        breaker = fail(probing(breaker, "a", now=at, seconds=10), at, jitter=jitter)
        assert timedelta(0) <= breaker.retry_at - at <= timedelta(seconds=300)
