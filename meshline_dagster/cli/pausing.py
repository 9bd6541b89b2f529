"""``meshline pause`` and ``meshline resume``: the writer obeys at its next step."""

from typing import Annotated

import typer

from meshline_dagster.cli.stores import actor, now, opened_store

__all__ = ["pause", "resume"]

Destination = Annotated[str, typer.Argument(help="The destination's name; `all` for every one.")]


def pause(
    destination: Destination = "all",
    reason: Annotated[str, typer.Option(help="Why, for whoever meets the pause.")] = "",
) -> None:
    """Stop posting. Polling, deriving and planning go on; nothing is lost, it waits."""
    from meshline_dagster.store.pauses import pause as set_pause

    with opened_store() as store, store.write() as connection:
        set_pause(connection, destination, actor=actor(), reason=reason, now=now())
    typer.echo(f"posting to {destination} is paused; `meshline resume` ends it")


def resume(destination: Destination = "all") -> None:
    """Post again, from the next run on."""
    from meshline_dagster.store.pauses import resume as end_pause

    with opened_store() as store, store.write() as connection:
        ended = end_pause(connection, destination, actor=actor(), now=now())
    if not ended:
        typer.secho(f"posting to {destination} is not paused", err=True, fg=typer.colors.RED)
        raise typer.Exit(1)
    typer.echo(f"posting to {destination} goes on with the next run")
