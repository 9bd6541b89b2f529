"""Run the sandbox portal: ``python -m meshline_dagster.sandbox.hubspot --seed 7``.

Prints ``listening on URL`` once it answers, and serves until it is interrupted.
"""

import click

from meshline_dagster.sandbox.crm.generator import generate
from meshline_dagster.sandbox.hubspot.app import create_app
from meshline_dagster.sandbox.hubspot.state import HubSpotSandbox
from meshline_dagster.sandbox.hubspot.translation import hubspot_world
from meshline_dagster.sandbox.serve import serve_forever


@click.command()
@click.option("--seed", type=int, default=0, show_default=True, help="What everything random follows from.")
@click.option("--deals", type=click.IntRange(min=1), default=200, show_default=True, help="How many deals.")
@click.option("--days", type=click.IntRange(min=1), default=60, show_default=True, help="Over how many days.")
@click.option("--bad-share", type=click.FloatRange(0, 1), default=0.1, show_default=True, help="Share of bad cases.")
@click.option("--running/--standing", default=False, help="Whether the clock runs, or moves only when told to.")
@click.option("--port", type=int, default=0, help="Loopback port; 0 takes a free one.")
def main(*, seed: int, deals: int, days: int, bad_share: float, running: bool, port: int) -> None:
    """Serve a HubSpot-shaped CRM with generated deals on loopback until interrupted; its token is ``sandbox-token``."""
    world = hubspot_world(generate(seed, deals=deals, days=days, bad_share=bad_share))
    serve_forever(create_app(HubSpotSandbox(world, running=running)), port)


if __name__ == "__main__":
    main()
