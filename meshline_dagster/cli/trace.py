"""``meshline trace``: the way of one order, step by step."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from meshline_dagster.cli.stores import opened_store

__all__ = ["trace"]

_WIDTH = 60


def trace(
    identifier: Annotated[str, typer.Argument(help="A deal, order, customer, event or ERP document.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Change -> event -> disposition -> posting -> attempts -> ERP document -> reconciliation."""
    from meshline_dagster.governance.trace import trace as find
    from meshline_dagster.landing.zone import LandingZone
    from meshline_dagster.store.location import landing_location, published_path

    with opened_store() as store:
        found = find(store, LandingZone(landing_location(), store), published_path(), identifier)
    if not found.entities and not found.changes:
        typer.secho(f"nothing has the name {identifier!r}", err=True, fg=typer.colors.RED)
        raise typer.Exit(1)
    if as_json:
        import json

        typer.echo(json.dumps({"entities": list(found.entities), **found.steps()}, default=str))
        return
    typer.echo("\n".join(found.entities))
    for name, rows in found.steps().items():
        _print(name, rows)


def _print(name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    if not rows:
        typer.echo(f"{name}: none")
        return
    table = Table(title=name, title_justify="left", header_style="bold")
    for column in rows[0]:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    Console(soft_wrap=False).print(table)


def _cell(value: Any) -> str:
    text = "" if value is None else str(getattr(value, "value", value))
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1]}…"
