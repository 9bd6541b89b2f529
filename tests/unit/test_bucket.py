"""The token bucket's arithmetic."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshline_dagster.core.bucket import take

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def test_a_full_bucket_gives_a_burst_and_then_one_token_for_each_interval():
    first = take(None, wanted=99, rate=2.0, burst=5, now=NOW)
    assert (first.tokens, first.wait) == (5, 0.0)
    empty = take(first.paid_at, wanted=1, rate=2.0, burst=5, now=NOW)
    assert (empty.tokens, empty.wait) == (0, 0.5)
    assert take(empty.paid_at, wanted=9, rate=2.0, burst=5, now=NOW + timedelta(seconds=1)).tokens == 2
    assert take(empty.paid_at, wanted=9, rate=2.0, burst=5, now=NOW + timedelta(hours=1)).tokens == 5


@pytest.mark.parametrize("rate", [3.0, 7.0, 12.0, 500.0])
def test_a_full_bucket_of_one_token_gives_it_whatever_its_interval_is_rounded_to(rate):
    first = take(None, wanted=1, rate=rate, burst=1, now=NOW)
    assert first.tokens == 1
    assert take(first.paid_at, wanted=1, rate=rate, burst=1, now=NOW + timedelta(seconds=5)).tokens == 1


@given(
    rate=st.floats(0.1, 500),
    burst=st.integers(1, 50),
    steps=st.lists(st.tuples(st.floats(0, 5), st.integers(1, 60)), max_size=60),
)
def test_no_window_ever_gets_more_than_its_burst_and_its_rate(rate, burst, steps):
    paid, now, given_out = None, NOW, []
    for pause, wanted in steps:
        now += timedelta(seconds=pause)
        taken = take(paid, wanted=wanted, rate=rate, burst=burst, now=now)
        paid = taken.paid_at
        given_out.append((now, taken.tokens))
        if not taken.tokens:  # who waits as long as he is told gets one
            assert take(paid, wanted=1, rate=rate, burst=burst, now=now + timedelta(seconds=taken.wait + 1e-4)).tokens
    for place, (start, _) in enumerate(given_out):
        for end, _ in given_out[place:]:
            within = sum(tokens for at, tokens in given_out if start <= at <= end)
            assert within <= burst + (end - start).total_seconds() * rate + 1e-3
