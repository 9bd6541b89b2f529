"""``meshline exceptions``: the operators' queue."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from meshline_dagster.cli.stores import actor, now, opened_store

if TYPE_CHECKING:
    from meshline_dagster.store.exceptions import ExceptionItem

__all__ = ["app"]

app = typer.Typer(help="What waits for a person.", no_args_is_help=True)


@app.command("list")
def list_exceptions(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Also what is resolved.")] = False,
    limit: Annotated[int, typer.Option(help="At most so many; 0: all.", min=0)] = 50,
) -> None:
    """What it is, who owns it, what to do; most urgent first."""
    from meshline_dagster.store.exceptions import exceptions, open_codes

    with opened_store() as store, store.read() as connection:
        items = exceptions(connection, only_open=not everything, limit=limit or None)
        codes = open_codes(connection)
    for item in items:
        typer.echo(json.dumps(_row(item)) if as_json else _text(item))
    if not as_json:
        reasons = ", ".join(f"{count:,} {code}" for code, count in codes.items())
        open_now = f"{sum(codes.values()):,} open: {reasons}" if codes else "nothing waits"
        typer.echo(f"{len(items):,} shown, {open_now}" if items else open_now)


@app.command("resolve")
def resolve_exception(
    trace_key: Annotated[str, typer.Argument(help="The key under the exception in `meshline exceptions list`.")],
    reason: Annotated[str, typer.Option(help="What was done, for whoever audits it.")],
) -> None:
    """Close an exception by hand. What its cause raises again opens it again."""
    from meshline_dagster.store.exceptions import resolve

    with opened_store() as store, store.write() as connection:
        closed = resolve(connection, [trace_key], resolution=reason, now=now(), actor=actor())
    if not closed:
        typer.secho(f"no open exception has the key {trace_key!r}", err=True, fg=typer.colors.RED)
        raise typer.Exit(1)
    typer.echo("resolved")


def _row(item: "ExceptionItem") -> dict[str, object]:
    from meshline_dagster.core.money import to_text

    row: dict[str, object] = {name: getattr(item, name) for name in type(item).__dataclass_fields__}
    row |= {name: value.isoformat() for name, value in row.items() if hasattr(value, "isoformat")}
    row["amount"] = None if item.amount is None else to_text(item.amount)
    return row


def _text(item: "ExceptionItem") -> str:
    from meshline_dagster.cli.money_text import amount_text

    money = "" if item.amount is None else f" {amount_text(item.amount, item.currency)}"
    due = "" if item.due_at is None else f", due {item.due_at:%Y-%m-%d %H:%M} UTC"
    head = f"{item.priority} {item.status} [{item.owner}{due}]{money}  {item.title}"
    return f"{head}\n    {item.detail}\n    -> {item.fix}\n    key {item.trace_key}"
