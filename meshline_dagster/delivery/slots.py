"""The requests of one pass that are under way at once, and the line of those that wait.

A slot goes from one request straight to the next, before anybody looks at the answer. Answers come in bursts: where each request waited
until all answers of a burst were read and written down, a third of the ERP's time would pass unused.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

__all__ = ["Slots"]

_T = TypeVar("_T")


class Slots:
    """At most so many calls at once, first come, first served.

    Args:
        group: the tasks of the pass; a slot is one of them while it has work, and ends with them.
    """

    def __init__(self, group: asyncio.TaskGroup, most: int) -> None:
        self._group, self._free = group, most
        self._line: deque[tuple[Callable[[], Awaitable[Any]], asyncio.Future[Any]]] = deque()

    async def run(self, call: Callable[[], Awaitable[_T]]) -> _T:
        """The result of ``call``, made when a slot is free. Raises what it raises."""
        future: asyncio.Future[_T] = asyncio.get_running_loop().create_future()
        self._line.append((call, future))
        if self._free:
            self._free -= 1
            self._group.create_task(self._serve())
        return await future

    async def _serve(self) -> None:
        """Be one slot until nobody waits."""
        while self._line:
            call, future = self._line.popleft()
            try:
                result = await call()
            except Exception as error:  # noqa: BLE001 - it belongs to whoever waits for it
                if not future.done():
                    future.set_exception(error)
            else:
                if not future.done():
                    future.set_result(result)
        self._free += 1
