"""``meshline audit``: verify the audit log."""

import click

from meshline_dagster.cli.stores import MeshlineCommand, opened_store
from meshline_dagster.store.audit import first_broken
from meshline_dagster.store.counters import current_value

__all__ = ["audit"]


@click.group()
def audit() -> None:
    """What was decided and done."""


@audit.command(cls=MeshlineCommand)
def verify() -> None:
    """Recompute the whole chain of hashes; exit 1 at the first entry that does not fit."""
    with opened_store() as store, store.read() as connection:
        broken = first_broken(connection)
        entries = current_value(connection, "audit")
    if broken is not None:
        raise click.ClickException(f"the audit log is broken at entry {broken} of {entries}")
    click.echo(f"{entries} entries, unbroken")
