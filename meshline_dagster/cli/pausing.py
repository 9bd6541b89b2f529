"""``meshline pause`` and ``meshline resume``: the writer obeys before its next request."""

import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from meshline_dagster.cli.stores import actor, now, opened_store

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from meshline_dagster.core.pauses import Scope

__all__ = ["pause", "resume"]

_ALL = "all"

Destination = Annotated[str, typer.Argument(help="The destination's name; `all` for every one.")]
SellingEntity = Annotated[str | None, typer.Option(help="Only what this company of ours sells.")]
Customer = Annotated[
    str | None, typer.Option(help="Only this customer and its orders: its id in the CRM, or its entity key.")
]


def pause(
    destination: Destination = _ALL,
    selling_entity: SellingEntity = None,
    customer: Customer = None,
    reason: Annotated[str, typer.Option(help="Why, for whoever meets the pause.")] = "",
) -> None:
    """Stop posting what fits all that is given. Polling, deriving and planning go on; nothing is lost, it waits."""
    from meshline_dagster.store.ledger_reports import destinations
    from meshline_dagster.store.pauses import pause as set_pause

    scope = _scope(destination, selling_entity, customer)
    with opened_store(create=True) as store, store.write() as connection:
        set_pause(connection, scope, actor=actor(), reason=reason, now=now())
        known = destinations(connection)
    typer.echo(f"posting to {scope} is paused; `{_ending(scope)}` ends it")
    if scope.destination is not None and scope.destination not in known:
        typer.secho(
            f"the ledger has nothing for {destination!r} (it has: {', '.join(known) or 'nothing at all'}): check the name",
            err=True,
            fg=typer.colors.YELLOW,
        )


def resume(destination: Destination = _ALL, selling_entity: SellingEntity = None, customer: Customer = None) -> None:
    """End the pause that was made with the same words: post again, from the next run on."""
    from meshline_dagster.store.pauses import resume as end_pause

    scope = _scope(destination, selling_entity, customer)
    with opened_store() as store, store.write() as connection:
        ended = end_pause(connection, scope, actor=actor(), now=now())
        left = _in_force(connection)
    if not ended:
        typer.secho(f"posting to {scope} is not paused by that name{left}", err=True, fg=typer.colors.RED)
        raise typer.Exit(1)
    typer.echo(f"the pause of {scope} is over: posting goes on with the next run{left}")


def _scope(destination: str, selling_entity: str | None, customer: str | None) -> "Scope":
    from meshline_dagster.core.pauses import Scope

    return Scope(None if destination == _ALL else destination, selling_entity, customer)


def _ending(scope: "Scope") -> str:
    words = ["meshline", "resume"]
    words += [scope.destination] if scope.destination else []
    words += ["--selling-entity", scope.selling_entity] if scope.selling_entity else []
    words += ["--customer", scope.customer] if scope.customer else []
    return shlex.join(words)


def _in_force(connection: "Connection") -> str:
    """What is still paused, as the end of a sentence."""
    from meshline_dagster.store.pauses import pauses_in_force

    left = [f"{one.scope} is still paused (`{_ending(one.scope)}` ends that)" for one in pauses_in_force(connection)]
    return f"; {', '.join(left)}" if left else ""
