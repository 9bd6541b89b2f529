"""Many records in one call, which is one transaction; when one of them spoils it, find out which. Calls into the books, one at a time."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from meshline_dagster.core.documents import Outcome
from meshline_dagster.erp.tryton_replies import Reply
from meshline_dagster.erp.tryton_rpc import TrytonSession

__all__ = ["tell_all", "tell_books"]

_PAUSES = (0.5, 1.0, 2.0, 4.0, 0.0)
_T = TypeVar("_T")


async def tell_all(items: Sequence[_T], send: Callable[[Sequence[_T]], Awaitable[Reply]]) -> list[tuple[_T, Reply]]:
    """Send all items in one call; halve what is refused until only the bad items are.

    Returns:
        Each item with its own reply; a list that the call returned is dealt out, one value each. After a call without an answer the
        rest is not sent.
    """
    if not items:
        return []
    reply = await send(items)
    if reply.outcome is Outcome.REJECTED and len(items) > 1:
        middle = len(items) // 2
        first = await tell_all(items[:middle], send)
        if any(one.outcome in {Outcome.UNKNOWN, Outcome.RETRY} for _, one in first):
            unsent = Reply(Outcome.RETRY, message="not sent: the call before it got no answer")
            return first + [(item, unsent) for item in items[middle:]]
        return first + await tell_all(items[middle:], send)
    values = reply.value
    if reply.outcome is None and isinstance(values, list) and len(values) == len(items):
        return [(item, replace(reply, value=value)) for item, value in zip(items, values, strict=True)]
    return [(item, reply) for item in items]


async def tell_books(session: TrytonSession, model: str, method: str, *params: Any) -> Reply:
    """Call what posts into the books, one call of ours at a time; where somebody else is posting, too, try again a few times."""
    async with session.books:
        for pause in _PAUSES:
            reply = await session.tell(model, method, *params)
            if not reply.is_locked:
                break
            await asyncio.sleep(pause)
    return reply
