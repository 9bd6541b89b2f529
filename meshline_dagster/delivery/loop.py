"""Run a delivery from ordinary code: the fastest event loop that is installed, and few searches for garbage meanwhile."""

import asyncio
import gc
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

if sys.platform == "win32":  # where uvloop does not exist
    from asyncio import new_event_loop
else:
    from uvloop import new_event_loop

__all__ = ["run_delivery"]

_T = TypeVar("_T")
_YOUNG = 10_000
"""New objects between two searches. At Python's 700 each pass over a large process, as Dagster's is, takes a tenth of a delivery's
time; what a delivery leaves behind it frees by counting references.
"""


def run_delivery(main: Coroutine[Any, Any, _T]) -> _T:
    """The result of ``main``, run in an event loop of its own."""
    with _rare_collections(), asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(main)


@contextmanager
def _rare_collections() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(
        max(_YOUNG, before[0]) if before[0] else 0, *before[1:]
    )  # 0 means that somebody has switched it off
    try:
        yield
    finally:
        gc.set_threshold(*before)
