"""``meshline trace``: the way of one order, step by step."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

import typer

from meshline_dagster.cli.stores import opened_store

__all__ = ["trace"]

_MANY = 5


def trace(
    identifier: Annotated[
        str, typer.Argument(help="The id of a deal, order, customer or event, or an ERP document's id or number.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Change -> event -> disposition -> posting -> attempts -> ERP document -> reconciliation -> billing."""
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
    if len(found.entities) > _MANY:
        typer.echo(f"{len(found.entities)} orders; name one of them for less:")
    typer.echo("\n".join(found.entities))
    for name, rows in found.steps().items():
        typer.secho(f"\n{name}" if rows else f"\n{name}: none", bold=True)
        for row in rows:
            typer.echo(_lines(row, hide=found.entities))


def _lines(row: Mapping[str, Any], *, hide: Sequence[str]) -> str:
    """One line of what is known, and one for each long text. The entity is left out where it is the only one."""
    short, long = [], []
    for name, value in row.items():
        text = _cell(value)
        if not text or (name == "entity_key" and len(hide) == 1):
            continue
        if name in {"title", "detail", "fix", "answer", "message", "reasons"}:
            long.append(f"    {name}: {text}")
        else:
            short.append(f"{name} {text}")
    return "\n".join(["  " + ", ".join(short), *long])


def _cell(value: Any) -> str:
    from meshline_dagster.core.money import to_text

    if value is None or value == []:
        return ""
    if isinstance(value, Decimal):
        return to_text(value)
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, list):
        return " ".join(str(one) for one in value)
    return str(getattr(value, "value", value))
