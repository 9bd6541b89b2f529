"""Run the sandbox CRM: ``python -m meshline_dagster.sandbox.crm --world crm_sales --data FOLDER``.

Prints ``listening on URL`` once it answers, and serves until it is interrupted.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from meshline_dagster.sandbox.crm.app import create_app
from meshline_dagster.sandbox.crm.generator import generate
from meshline_dagster.sandbox.crm.sales_world import UNDATED_STAMP, crm_sales
from meshline_dagster.sandbox.crm.state import CrmSandbox, SandboxSettings
from meshline_dagster.sandbox.crm.world import World
from meshline_dagster.sandbox.serve import serve_forever


def _instant(_: click.Context, __: click.Parameter, value: str | None) -> datetime | None:
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError as error:
        raise click.BadParameter(f"{value} is no ISO 8601 date and time") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class _Options:
    world: str
    data: Path | None
    seed: int
    deals: int
    days: int
    bad_share: float
    undated_stamp: datetime | None
    now: datetime | None
    running: bool
    page_size: int
    port: int


def _world(options: _Options) -> World:
    if options.world == "generator":
        return generate(options.seed, deals=options.deals, days=options.days, bad_share=options.bad_share)
    if options.data is None:
        raise click.UsageError("--world crm_sales needs --data, the folder of its CSV files")
    return crm_sales(options.data, undated_stamp=options.undated_stamp or UNDATED_STAMP)


@click.command()
@click.option("--world", type=click.Choice(["generator", "crm_sales"]), default="generator", show_default=True)
@click.option("--data", type=click.Path(path_type=Path, file_okay=False), help="Folder of the crm_sales CSV files.")
@click.option("--seed", type=int, default=0, show_default=True, help="What everything random follows from (generator).")
@click.option("--deals", type=click.IntRange(min=1), default=200, show_default=True, help="How many deals (generator).")
@click.option(
    "--days", type=click.IntRange(min=1), default=60, show_default=True, help="Over how many days (generator)."
)
@click.option(
    "--bad-share", type=click.FloatRange(0, 1), default=0.1, show_default=True, help="Share of bad cases (generator)."
)
@click.option("--undated-stamp", callback=_instant, help="Stamp of opportunities without a date (crm_sales).")
@click.option("--now", callback=_instant, help="Where the clock starts (ISO 8601, UTC unless it says otherwise).")
@click.option("--running/--standing", default=False, help="Whether the clock runs, or moves only when told to.")
@click.option("--page-size", type=click.IntRange(min=1), default=2000, show_default=True)
@click.option("--port", type=int, default=0, help="Loopback port; 0 takes a free one.")
def main(**given: Any) -> None:
    """Serve a Salesforce-shaped CRM on loopback until interrupted."""
    options = _Options(**given)
    sandbox = CrmSandbox(_world(options), SandboxSettings(page_size=options.page_size), running=options.running)
    if options.now is not None:
        sandbox.clock.set(options.now)
    serve_forever(create_app(sandbox), options.port)


if __name__ == "__main__":
    main()
