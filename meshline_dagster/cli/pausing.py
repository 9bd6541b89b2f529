"""``meshline pause`` and ``meshline resume``: the writer obeys at its next step."""

from typing import TYPE_CHECKING, Annotated

import typer

from meshline_dagster.cli.stores import actor, now, opened_store

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["pause", "resume"]

Destination = Annotated[str, typer.Argument(help="The destination's name; `all` for every one.")]


def pause(
    destination: Destination = "all",
    reason: Annotated[str, typer.Option(help="Why, for whoever meets the pause.")] = "",
) -> None:
    """Stop posting. Polling, deriving and planning go on; nothing is lost, it waits."""
    from meshline_dagster.store.ledger_reports import destinations
    from meshline_dagster.store.pauses import ALL
    from meshline_dagster.store.pauses import pause as set_pause

    with opened_store(create=True) as store, store.write() as connection:
        set_pause(connection, destination, actor=actor(), reason=reason, now=now())
        known = destinations(connection)
    typer.echo(f"posting to {destination} is paused; `{_ending(destination)}` ends it")
    if destination != ALL and destination not in known:
        typer.secho(
            f"the ledger has nothing for {destination!r} (it has: {', '.join(known) or 'nothing at all'}): check the name",
            err=True,
            fg=typer.colors.YELLOW,
        )


def resume(destination: Destination = "all") -> None:
    """Post again, from the next run on."""
    from meshline_dagster.store.pauses import resume as end_pause

    with opened_store() as store, store.write() as connection:
        ended = end_pause(connection, destination, actor=actor(), now=now())
        left = _in_force(connection)
    if not ended:
        typer.secho(f"posting to {destination} is not paused by that name{left}", err=True, fg=typer.colors.RED)
        raise typer.Exit(1)
    typer.echo(f"the pause of {destination} is over: posting goes on with the next run{left}")


def _ending(scope: str) -> str:
    from meshline_dagster.store.pauses import ALL

    return "meshline resume" if scope == ALL else f"meshline resume {scope}"


def _in_force(connection: "Connection") -> str:
    """What is still paused, as the end of a sentence."""
    from meshline_dagster.store.pauses import pauses_in_force

    left = [f"{one.scope} is still paused (`{_ending(one.scope)}` ends that)" for one in pauses_in_force(connection)]
    return f"; {', '.join(left)}" if left else ""
