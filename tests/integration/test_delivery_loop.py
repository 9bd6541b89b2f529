"""The loop that a delivery runs in."""

import gc

import pytest

from meshline_dagster.delivery.loop import run_delivery


@pytest.fixture
def thresholds():
    before = gc.get_threshold()
    yield gc.set_threshold
    gc.set_threshold(*before)


async def during():
    return gc.get_threshold()


async def failing():
    raise ValueError("said")


def test_garbage_is_searched_seldom_while_it_runs_and_as_before_afterwards(thresholds):
    thresholds(700, 10, 10)
    assert run_delivery(during()) == (10_000, 10, 10)
    assert gc.get_threshold() == (700, 10, 10)
    with pytest.raises(ValueError, match="said"):
        run_delivery(failing())
    assert gc.get_threshold() == (700, 10, 10)


def test_who_has_switched_the_search_off_or_made_it_rarer_keeps_that(thresholds):
    thresholds(0, 10, 10)
    assert run_delivery(during()) == (0, 10, 10)
    thresholds(50_000, 10, 10)
    assert run_delivery(during()) == (50_000, 10, 10)
