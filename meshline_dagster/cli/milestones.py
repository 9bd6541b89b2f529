"""``meshline milestones``: when which share of an order is invoiced. Decisions are data: recorded, attributed, revocable."""

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meshline_dagster.cli.stores import actor, now, opened_store

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from meshline_dagster.core.invoice_milestones import Milestone
    from meshline_dagster.store.milestones import Author

__all__ = ["app"]

app = typer.Typer(
    help="Milestones of orders, with `invoice_trigger: milestone`: shares that are invoiced when they are reached.",
    no_args_is_help=True,
)

_COLUMNS = ("order", "name", "percent", "amount", "reached_on")
Order = Annotated[str, typer.Argument(help="The deal's id, the order's entity key, our external id or the ERP's id.")]
Name = Annotated[str, typer.Argument(help="The milestone's name.")]
Reason = Annotated[str, typer.Option(help="Why this is right, for whoever audits it.")]


@app.command("plan")
def plan(
    order: Order,
    name: Annotated[str, typer.Option(help="The milestone's name, unique in its order.")],
    percent: Annotated[str | None, typer.Option(help="Its share of the order, e.g. 30.")] = None,
    amount: Annotated[str | None, typer.Option(help="Or its amount, ex tax, in the order's currency.")] = None,
    reason: Reason = "",
) -> None:
    """Plan a milestone; one of this name is replaced, unless it is reached. Nothing is invoiced until all of them are 100 % together."""
    from meshline_dagster.core.invoice_milestones import Milestone
    from meshline_dagster.store.milestones import plan_milestone

    planned = Milestone(name, _number("percent", percent), _number("amount", amount))
    with opened_store() as store, store.write() as connection:
        key = _order(connection, order)
        plan_milestone(connection, key, planned, _author(reason))
    typer.echo(f"{key}: {_text(planned)}")


@app.command("reach")
def reach(
    order: Order,
    name: Name,
    on: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="The day from which its share is invoiced.")],
    reason: Reason = "",
) -> None:
    """Record that a milestone is reached: the next run invoices its share, or that of the day, if that is to come."""
    from meshline_dagster.store.milestones import reach_milestone

    with opened_store() as store, store.write() as connection:
        key = _order(connection, order)
        reach_milestone(connection, key, name, on.date(), _author(reason))
    typer.echo(f"{key}: {name} is reached on {on.date()}")


@app.command("drop")
def drop(order: Order, name: Name, reason: Reason = "") -> None:
    """Take a milestone back. What it billed is credited once the others are 100 % together."""
    from meshline_dagster.store.milestones import drop_milestone

    with opened_store() as store, store.write() as connection:
        key = _order(connection, order)
        found = drop_milestone(connection, key, name, _author(reason))
    if not found:
        typer.secho(f"{key} has no milestone {name!r}", err=True, fg=typer.colors.RED)
        raise typer.Exit(1)
    typer.echo(f"{key} has no milestone {name!r} any more")


@app.command("list")
def list_milestones(
    order: Annotated[str | None, typer.Argument(help="Of this order only.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """The milestones in force, in the order in which they were planned, or recorded as reached."""
    import json

    from meshline_dagster.store.milestones import active_milestones

    with opened_store() as store, store.read() as connection:
        found = active_milestones(connection, None if order is None else [_order(connection, order)])
    for one in found:
        names = ("entity_key", "name", "percent", "amount", "reached_on", "actor", "reason")
        row = {name: None if (value := getattr(one, name)) is None else str(value) for name in names}
        typer.echo(json.dumps(row) if as_json else "\t".join([one.entity_key, _text(one), one.actor, one.reason]))
    if not found and not as_json:
        typer.echo("no milestones are planned")


@app.command("import")
def import_milestones(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help=f"CSV with the columns {', '.join(_COLUMNS)}.")
    ],
    reason: Reason = "",
) -> None:
    """Plan, and record as reached where `reached_on` says so, all milestones of a CSV file; all of them, or none where a line is wrong."""
    from meshline_dagster.core.errors import RefusedError
    from meshline_dagster.store.milestones import plan_milestone, reach_milestone

    author, count = _author(reason), 0
    with opened_store() as store, store.write() as connection:
        for line, (order, one) in enumerate(_rows(file), start=2):
            try:
                key = _order(connection, order)
                if one.percent is not None or one.amount is not None:
                    plan_milestone(connection, key, one, author)
                if one.reached_on is not None:
                    reach_milestone(connection, key, one.name, one.reached_on, author)
            except RefusedError as error:
                raise RefusedError(f"{file}, line {line}: {error}; nothing was changed") from error
            count += 1
    typer.echo(f"{count} milestones")


def _rows(file: Path) -> Iterator[tuple[str, "Milestone"]]:
    import csv
    from datetime import date

    from meshline_dagster.core.errors import RefusedError
    from meshline_dagster.core.invoice_milestones import Milestone

    with file.open(newline="", encoding="utf-8-sig") as text:
        reader = csv.DictReader(text)
        unknown = set(reader.fieldnames or ()) ^ set(_COLUMNS)
        if unknown:
            raise RefusedError(f"{file} has to have the columns {', '.join(_COLUMNS)}, and no others")
        for line, row in enumerate(reader, start=2):
            percent, amount = (_number(name, row[name] or None) for name in ("percent", "amount"))
            try:
                day = date.fromisoformat(row["reached_on"]) if row["reached_on"] else None
            except ValueError as error:
                raise RefusedError(f"{file}, line {line}: reached_on is a day as in 2026-01-31") from error
            yield row["order"], Milestone(row["name"], percent, amount, day)


def _order(connection: "Connection", identifier: str) -> str:
    from meshline_dagster.core.errors import RefusedError
    from meshline_dagster.store.milestones import orders_named

    found = orders_named(connection, identifier)
    if len(found) != 1:
        which = (
            f"name one of {', '.join(found[:5])}"
            if found
            else "the ledger has none; a milestone is planned once its order is there"
        )
        raise RefusedError(f"{len(found)} orders are called {identifier!r}: {which}")
    return found[0]


def _author(reason: str) -> "Author":
    from meshline_dagster.store.milestones import Author

    return Author(actor(), reason, now())


def _number(name: str, text: str | None) -> Decimal | None:
    from meshline_dagster.core.errors import RefusedError

    try:
        number = None if text is None else Decimal(text.strip())
    except InvalidOperation as error:
        raise RefusedError(f"{name} is a decimal number, not {text!r}") from error
    if number is not None and not number.is_finite():
        raise RefusedError(f"{name} is a decimal number, not {text!r}")
    return number


def _text(one: Any) -> str:
    share = f"{one.percent} %" if one.percent is not None else f"{one.amount} of it"
    return f"{one.name}, {share}" + (f", reached on {one.reached_on}" if one.reached_on else "")
