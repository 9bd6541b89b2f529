"""Until when the requests of one call may go on, known also to those who send them.

A request that nobody waits for any more may still lie in a client's hands. It must not be sent later: whoever gave it up goes by the ERP's
having had all of it by then.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar

__all__ = ["seconds_left", "within"]

_UNTIL: ContextVar[float | None] = ContextVar("until", default=None)


@asynccontextmanager
async def within(seconds: float) -> AsyncIterator[None]:
    """As ``asyncio.timeout``: ``TimeoutError`` after so many seconds. What is sent inside ends by itself at the same moment."""
    token = _UNTIL.set(asyncio.get_running_loop().time() + seconds)
    try:
        async with asyncio.timeout(seconds):
            yield
    finally:
        _UNTIL.reset(token)


def seconds_left() -> float | None:
    """Seconds until the present call's end; None outside of :func:`within`."""
    until = _UNTIL.get()
    return None if until is None else until - asyncio.get_running_loop().time()
