"""``meshline release``: let a backlog go that is too large to be posted unseen."""

from typing import Annotated

import typer

from meshline_dagster.cli.stores import actor, now, opened_store

__all__ = ["release"]


def release(
    destination: Annotated[str, typer.Argument(help="The destination's name.")],
    reason: Annotated[str, typer.Option(help="Why it may go, for whoever audits it.")],
) -> None:
    """Let everything go that is open for DESTINATION now. What is planned later counts anew."""
    from meshline_dagster.cli.money_text import amounts_text
    from meshline_dagster.store.backlogs import backlog_key
    from meshline_dagster.store.backlogs import release as let_go
    from meshline_dagster.store.exceptions import open_keys

    with opened_store() as store, store.write() as connection:
        waits = backlog_key(destination) in open_keys(connection, "delivery")
        found = let_go(connection, destination, actor=actor(), reason=reason, now=now()) if waits else None
    if found is None:
        typer.secho(f"no backlog for {destination!r} waits for release", err=True, fg=typer.colors.RED)
        raise typer.Exit(1)
    money = amounts_text(found.amounts).replace("\n", ", ")
    typer.echo(f"released: {found.count:,} postings for {destination}, {money or 'no money'}; the next run posts them")
