"""Working ahead changes neither order nor errors, and ends with its consumer."""

import threading

import pytest

from meshline_dagster.crm.prefetch import map_ahead, prefetch


def test_items_come_in_order_and_an_error_after_what_was_made_before_it():
    def items():
        yield from range(5)
        raise ValueError("then it broke")

    seen = []
    with pytest.raises(ValueError, match="then it broke"):  # noqa: PT012 - the loop is what raises
        for item in prefetch(items()):
            seen.append(item)  # noqa: PERF402 - what came before the error is the point
    assert seen == [0, 1, 2, 3, 4]
    assert list(prefetch(iter(range(100)))) == list(range(100))


def test_a_consumer_that_stops_early_stops_the_producer():
    made = []

    def items():
        for number in range(1_000_000):
            made.append(number)
            yield number

    ahead = prefetch(items())
    assert next(ahead) == 0
    ahead.close()
    count = len(made)
    assert count < 10
    assert len(made) == count
    assert not [thread for thread in threading.enumerate() if thread.name == "prefetch"]


def test_results_come_in_order_and_an_error_after_the_results_of_what_was_made_before_it():
    def items():
        yield from range(5)
        raise ValueError("then it broke")

    seen = []
    with pytest.raises(ValueError, match="then it broke"):  # noqa: PT012 - the loop is what raises
        for item in map_ahead(lambda one: one * 2, items()):
            seen.append(item)  # noqa: PERF402 - what came before the error is the point
    assert seen == [0, 2, 4, 6, 8]
    assert list(map_ahead(str, iter(range(100)))) == [str(one) for one in range(100)]


def test_a_call_that_fails_ends_the_work():
    called = []

    def call(one):
        called.append(one)
        return 1 // (3 - one)

    with pytest.raises(ZeroDivisionError):
        list(map_ahead(call, iter(range(1_000))))
    assert len(called) < 10
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ahead")]
