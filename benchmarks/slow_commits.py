"""An ops store on a slower disk: each commit takes some milliseconds more. A module of its own, so that the ledger's process finds it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from sqlalchemy import Connection

from meshline_dagster.store.engine import Store, open_store


class SlowStore(Store):
    """A store whose every commit takes ``seconds`` more."""

    def __init__(self, store: Store, seconds: float) -> None:
        super().__init__(store.engine)
        self._seconds = seconds

    @contextmanager
    def write(self) -> Iterator[Connection]:
        with super().write() as connection:
            yield connection
            time.sleep(self._seconds)

    def reopener(self) -> Callable[[], Store]:
        return partial(open_slow, self.engine.url.render_as_string(hide_password=False), self._seconds)


def open_slow(url: str, seconds: float) -> Store:
    store = open_store(url, migrate=False)
    return SlowStore(store, seconds) if seconds else store
