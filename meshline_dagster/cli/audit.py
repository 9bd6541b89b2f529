"""``meshline audit``: verify the audit log."""

import typer

from meshline_dagster.cli.stores import opened_store

__all__ = ["app"]

app = typer.Typer(help="What was decided and done.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """What was decided and done."""


@app.command()
def verify() -> None:
    """Recompute the whole chain of hashes; exit 1 at the first entry that does not fit."""
    from meshline_dagster.store.audit import first_broken
    from meshline_dagster.store.counters import current_value

    with opened_store() as store, store.read() as connection:
        broken = first_broken(connection)
        entries = current_value(connection, "audit")
    if broken is not None:
        typer.secho(f"the audit log is broken at entry {broken} of {entries}", err=True, fg=typer.colors.RED)
        raise typer.Exit(1)
    typer.echo(f"{entries} entries, unbroken")
