"""Let work run ahead in threads of its own, so that asking a source, decoding and landing overlap."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Full, Queue
from threading import Event, Thread
from typing import Any, TypeVar

__all__ = ["map_ahead", "prefetch"]

_T = TypeVar("_T")
_R = TypeVar("_R")
_CHECK_SECONDS = 0.1
_END = object()


def prefetch(items: Iterator[_T], ahead: int = 2) -> Iterator[_T]:
    """The same items in the same order; up to ``ahead`` of them are made before they are asked for.

    What the producer raises is raised here, after everything that it made before. When the consumer stops early, so does the
    producer.
    """
    work = _Work(items, ahead)
    work.start()
    try:
        while (item := work.waiting.get()) is not _END:
            yield item
        if work.error is not None:
            raise work.error
    finally:
        work.stopped.set()
        work.join()


def map_ahead(function: Callable[[_T], _R], items: Iterator[_T], ahead: int = 2) -> Iterator[_R]:
    """``map``, one call after the other in a thread of its own, up to ``ahead`` of them before their results are asked for.

    Worth it for a function that leaves the interpreter, such as a query. The items are made in the caller's thread. An error of
    theirs is raised after the results of all items before it.
    """
    waiting: deque[Future[_R]] = deque()
    failure: Exception | None = None
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as pool:
        try:
            while failure is None:
                try:
                    item = next(items)
                except StopIteration:
                    break
                except Exception as error:  # noqa: BLE001 - raised below, whatever it is
                    failure = error
                    continue
                waiting.append(pool.submit(function, item))
                while len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
    if failure is not None:
        raise failure


class _Work(Thread):
    def __init__(self, items: Iterator[Any], ahead: int) -> None:
        super().__init__(name="prefetch", daemon=True)
        self.waiting: Queue[Any] = Queue(maxsize=ahead)
        self.stopped = Event()
        self.error: BaseException | None = None
        self._items = items

    def run(self) -> None:
        """Produce until the items end, fail, or nobody wants more."""
        try:
            for item in self._items:
                if not self._put(item):
                    return
        except BaseException as error:  # noqa: BLE001 - handed to the consumer, whatever it is
            self.error = error
        self._put(_END)

    def _put(self, item: Any) -> bool:
        while not self.stopped.is_set():
            try:
                self.waiting.put(item, timeout=_CHECK_SECONDS)
            except Full:
                continue
            return True
        return False
