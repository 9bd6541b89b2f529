"""The stores of the working directory, for commands that need no Dagster."""

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meshline_dagster.store.engine import Store

__all__ = ["actor", "now", "opened_store"]


@contextmanager
def opened_store() -> "Iterator[Store]":
    """The ops store, closed afterwards."""
    from meshline_dagster.store.engine import open_store
    from meshline_dagster.store.location import store_url

    store = open_store(store_url())
    try:
        yield store
    finally:
        store.close()


def actor() -> str:
    """Who types, as the operating system knows him: recorded, not trusted with an approval."""
    return f"cli:{getpass.getuser()}"


def now() -> datetime:
    """UTC now."""
    return datetime.now(UTC)
