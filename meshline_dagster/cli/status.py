"""``meshline status``: the figures of a sync, and what stands in the way of posting."""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meshline_dagster.cli.stores import now, opened_store

if TYPE_CHECKING:
    from meshline_dagster.core.pauses import Pause
    from meshline_dagster.governance.figures import Figures
    from meshline_dagster.store.engine import Store

__all__ = ["obstacles", "print_figures", "print_obstacles", "status"]


def status(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    destination: Annotated[
        str | None, typer.Option(help="The destination's name; may be left out when there is only one.")
    ] = None,
) -> None:
    """What landed, what became of it, what the ERP holds, as of the last run; and what stands in the way of posting."""
    from meshline_dagster.governance.figures import read_figures
    from meshline_dagster.store.location import published_path

    with opened_store() as store:
        figures = read_figures(store, published_path(), _destination(store, destination))
        state = _state(store)
    if as_json:
        typer.echo(json.dumps(figures.as_json() | state))
        return
    if state["as_of"] is None:
        typer.echo("nothing has been derived yet: these figures are empty until a run has succeeded")
    print_figures(figures)
    if state["as_of"] is not None:
        typer.echo(f"as of {state['as_of'][:16].replace('T', ' ')} UTC (build {state['build']})")
    print_obstacles(state)
    for one in state["freezes_to_come"][:3]:
        typer.echo(f"to come: {one['text']}")


def print_obstacles(state: dict[str, Any]) -> None:
    """Pauses, failed verdicts and what waits for an approval: why something is not posted."""
    for one in state["paused"]:
        typer.secho(one["text"], fg=typer.colors.YELLOW)
    for one in state["failed_verdicts"]:
        typer.secho(
            f"the writer refuses while this stands failed: {one['subject']} / {one['check']}: {one['detail']}",
            fg=typer.colors.RED,
        )
    if state["approvals_waiting"]:
        count = state["approvals_waiting"]
        typer.secho(
            f"decisions that somebody has to make: {count:,}; see `meshline approvals list`", fg=typer.colors.YELLOW
        )


def obstacles(store: "Store") -> dict[str, Any]:
    """Pauses in force, the close calendar's included, verdicts that stand failed, and how many approvals wait, as plain JSON."""
    from meshline_dagster.core.pauses import frozen
    from meshline_dagster.store.approvals import approvals
    from meshline_dagster.store.calendar import calendars
    from meshline_dagster.store.pauses import pauses_in_force
    from meshline_dagster.store.verdicts import failed_verdicts

    with store.read() as connection:
        paused, failed = pauses_in_force(connection), failed_verdicts(connection)
        found, moment, asked = calendars(connection), now(), approvals(connection)
    for destination, calendar in found.items():
        paused += frozen(calendar, destination, moment)
    later = [(name, one) for name, calendar in found.items() for one in calendar if one.start > moment]
    later.sort(key=lambda pair: pair[1].start)
    return {
        "paused": [_pause(one) for one in paused],
        "freezes_to_come": [_pause(one.as_pause(name)) for name, one in later],
        "failed_verdicts": [{"subject": one.subject, "check": one.check_name, "detail": one.detail} for one in failed],
        "approvals_waiting": len(asked),
    }


def _pause(one: "Pause") -> dict[str, str | None]:
    names = ("destination", "selling_entity", "customer")
    return {name: getattr(one.scope, name) for name in names} | {
        "actor": one.actor,
        "reason": one.reason,
        "since": one.created_at.isoformat(),
        "until": None if one.until is None else one.until.isoformat(),
        "text": str(one),
    }


def _state(store: "Store") -> dict[str, Any]:
    from meshline_dagster.store.builds import last_build

    with store.read() as connection:
        build = last_build(connection)
    as_of = None if build is None else build.as_of.isoformat()
    return {"as_of": as_of, "build": None if build is None else build.id} | obstacles(store)


def _destination(store: "Store", asked: str | None) -> str:
    """The one asked for, or the only one that the ledger knows."""
    from meshline_dagster.core.errors import ConfigError
    from meshline_dagster.store.ledger_reports import destinations

    with store.read() as connection:
        known = destinations(connection)
    if asked is None and len(known) > 1:
        raise ConfigError(f"the ledger has several destinations, name one by --destination: {', '.join(known)}")
    if asked is not None and known and asked not in known:
        raise ConfigError(f"the ledger has nothing for the destination {asked!r}; it has: {', '.join(known)}")
    return asked or next(iter(known), "")


def print_figures(figures: "Figures") -> None:
    """The figures as a table for people."""
    from rich.console import Console
    from rich.table import Table

    from meshline_dagster.cli.money_text import amounts_text

    table = Table(show_header=True, header_style="bold")
    for heading, side in (("", "left"), ("count", "right"), ("money", "right")):
        table.add_column(heading, justify=side)  # type: ignore[arg-type]
    rows: tuple[tuple[str, int, Mapping[str, Decimal]], ...] = (
        ("landed rows", figures.landed, {}),
        ("events", figures.events, {}),
        ("orders of the source", figures.orders, figures.source_amount),
        ("posted in the ERP", figures.posted, figures.posted_amount),
        ("in exception", figures.in_exception, figures.in_exception_amount),
        ("held", figures.held, {}),
        ("invoices", figures.invoices, figures.invoiced_amount),
        ("credit notes", figures.credit_notes, figures.credited_amount),
        ("orders not invoiced", figures.not_invoiced, {}),
        ("orders billed wrongly", figures.wrongly_billed, {}),
        ("duplicates in the ERP", figures.duplicates_in_erp, {}),
    )
    for name, count, money in rows:
        table.add_row(name, f"{count:,}", amounts_text(money))
    table.add_row("parity (money: worst currency)", f"{figures.parity:.2%}", f"{figures.parity_by_money:.2%}")
    table.add_row("drift (worst currency)", "", f"{figures.drift_by_money:.2%}")
    Console().print(table)
