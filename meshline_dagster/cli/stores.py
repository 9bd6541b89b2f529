"""The stores of the working directory, for commands that need no Dagster."""

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import click

from meshline_dagster.core.errors import MeshlineError
from meshline_dagster.store.engine import Store, open_store
from meshline_dagster.store.location import store_url

__all__ = ["MeshlineCommand", "actor", "now", "opened_store"]


class MeshlineCommand(click.Command):
    """A command that shows our errors as one clear line instead of a stack trace."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except MeshlineError as error:
            raise click.ClickException(str(error)) from error


@contextmanager
def opened_store() -> Iterator[Store]:
    """The ops store, closed afterwards."""
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
