"""What a poll reads besides its own window: for each age, end to end."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from meshline_dagster.core.cursors import Window, later_windows, next_window

NOON = datetime(2026, 2, 1, 12, tzinfo=UTC)
ORIGIN = NOON - timedelta(days=3)
OVERLAP = timedelta(minutes=10)
HOUR = timedelta(hours=1)


def again(watermark, now, ages=(HOUR,)):
    window = next_window(watermark=watermark, origin=ORIGIN, now=now, overlap=OVERLAP, lag=timedelta())
    return later_windows(window, watermark=watermark, origin=ORIGIN, overlap=OVERLAP, again_after=ages)


def test_before_the_first_poll_there_is_nothing_to_read_again():
    assert again(None, NOON) == []


def test_every_stamp_is_read_when_it_has_the_age_however_polls_are_spaced():
    times = [NOON + timedelta(minutes=minutes) for minutes in (0, 1, 7, 30, 200, 201, 262, 270, 400)]
    read = []
    for before, now in pairwise(times):
        window = next_window(watermark=before, origin=ORIGIN, now=now, overlap=OVERLAP, lag=timedelta())
        read += [(now, one) for one in (window, *again(before, now))]
    for minutes in range(-60, 330):
        stamp = NOON + timedelta(minutes=minutes)
        assert any(one.start <= stamp < one.end and now - stamp >= HOUR for now, one in read), minutes


def test_none_reaches_into_the_polls_own_window_or_before_the_origin():
    late = NOON + timedelta(days=2)
    assert again(NOON, late) == [Window(NOON - HOUR - OVERLAP, NOON - OVERLAP)]
    assert again(ORIGIN + timedelta(minutes=30), ORIGIN + timedelta(minutes=80)) == [
        Window(ORIGIN, ORIGIN + timedelta(minutes=20))
    ]


def test_each_age_has_a_window_of_its_own():
    ages = (HOUR, timedelta(days=1))
    assert again(NOON, NOON + timedelta(minutes=5), ages) == [
        Window(NOON - age - OVERLAP, NOON - age + timedelta(minutes=5)) for age in ages
    ]
