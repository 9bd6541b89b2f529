"""The stores of the working directory, for commands that need no Dagster."""

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from meshline_dagster.store.engine import Store

__all__ = ["actor", "now", "opened_store"]

_SQLITE = "sqlite:///"


@contextmanager
def opened_store(*, create: bool = False) -> "Iterator[Store]":
    """The ops store, closed afterwards.

    Args:
        create: make an SQLite store that is not there, and say so. Commands that only look make none: in a wrong folder they would
            report an empty sync. One may pause or map before the first run, and then sees where.

    Raises:
        ConfigError: there is no store where the environment says.
    """
    from meshline_dagster.core.errors import ConfigError
    from meshline_dagster.store.engine import open_store
    from meshline_dagster.store.location import store_url

    url = store_url()
    missing = url.startswith(_SQLITE) and not Path(url.removeprefix(_SQLITE)).exists()
    if missing and create:
        typer.echo(f"a new ops store: {url.removeprefix(_SQLITE)}", err=True)
    elif missing:
        raise ConfigError(
            f"there is no ops store at {url.removeprefix(_SQLITE)}: run a sync first (`make demo`), or say where it is by "
            "MESHLINE_HOME or MESHLINE_STORE_URL"
        )
    store = open_store(url)
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
