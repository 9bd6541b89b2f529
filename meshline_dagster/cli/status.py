"""``meshline status``: the figures of a sync."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from meshline_dagster.cli.stores import opened_store

if TYPE_CHECKING:
    from meshline_dagster.governance.figures import Figures

__all__ = ["print_figures", "status"]


def status(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    destination: Annotated[str, typer.Option(help="The destination's name.")] = "sandbox",
) -> None:
    """What landed, what became of it, what the ERP holds: as of the last run."""
    from meshline_dagster.governance.figures import read_figures
    from meshline_dagster.store.location import published_path

    with opened_store() as store:
        figures = read_figures(store, published_path(), destination)
    if as_json:
        typer.echo(json.dumps(figures.as_json()))
    else:
        print_figures(figures)


def print_figures(figures: "Figures") -> None:
    """The same as a table for people."""
    from rich.console import Console
    from rich.table import Table

    table = Table(show_header=True, header_style="bold")
    for heading, side in (("", "left"), ("count", "right"), ("money", "right")):
        table.add_column(heading, justify=side)  # type: ignore[arg-type]
    flat = figures.as_json()
    rows = (
        ("landed rows", figures.landed, None),
        ("events", figures.events, None),
        ("orders of the source", figures.orders, flat["source_amount"]),
        ("posted in the ERP", figures.posted, flat["posted_amount"]),
        ("in exception", figures.in_exception, flat["in_exception_amount"]),
        ("held", figures.held, None),
        ("duplicates in the ERP", figures.duplicates_in_erp, None),
    )
    for name, count, money in rows:
        table.add_row(name, f"{count:,}", _money(money) if money else "")
    table.add_row("parity (money: worst currency)", f"{figures.parity:.2%}", f"{figures.parity_by_money:.2%}")
    table.add_row("drift (worst currency)", "", f"{figures.drift_by_money:.2%}")
    Console().print(table)


def _money(amounts: dict[str, str]) -> str:
    from decimal import Decimal

    return ", ".join(f"{Decimal(amount):,.2f} {currency}" for currency, amount in amounts.items())
