"""``meshline exceptions``: the operators' queue."""

import json

import click

from meshline_dagster.cli.stores import MeshlineCommand, opened_store
from meshline_dagster.core.money import to_text
from meshline_dagster.store.exceptions import ExceptionItem
from meshline_dagster.store.exceptions import exceptions as queue

__all__ = ["exceptions"]


@click.command(name="exceptions", cls=MeshlineCommand)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option("--all", "everything", is_flag=True, help="Also what is resolved.")
@click.option("--limit", type=int, default=50, show_default=True)
def exceptions(as_json: bool, everything: bool, limit: int) -> None:
    """List what waits for a person, most urgent first: what it is, who owns it, what to do."""
    with opened_store() as store, store.read() as connection:
        items = queue(connection, only_open=not everything, limit=limit)
    for item in items:
        click.echo(json.dumps(_row(item)) if as_json else _line(item))
    if not items and not as_json:
        click.echo("nothing waits")


def _row(item: ExceptionItem) -> dict[str, object]:
    row: dict[str, object] = {name: getattr(item, name) for name in ExceptionItem.__dataclass_fields__}
    row |= {name: value.isoformat() for name, value in row.items() if hasattr(value, "isoformat")}
    row["amount"] = None if item.amount is None else to_text(item.amount)
    return row


def _line(item: ExceptionItem) -> str:
    money = "" if item.amount is None else f" {to_text(item.amount)} {item.currency}"
    due = "" if item.due_at is None else f", due {item.due_at:%Y-%m-%d %H:%M}"
    return (
        f"{item.priority} {item.status} [{item.owner}{due}]{money}  {item.title}\n    {item.detail}\n    -> {item.fix}"
    )
