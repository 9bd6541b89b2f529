"""Let a producer work ahead in a thread of its own, so that asking a source, decoding and landing overlap."""

from collections.abc import Iterator
from queue import Full, Queue
from threading import Event, Thread
from typing import Any, TypeVar

__all__ = ["prefetch"]

_T = TypeVar("_T")
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
