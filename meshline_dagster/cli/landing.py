"""``meshline compact``: one file for each closed day, and no file that nobody needs."""

import typer

from meshline_dagster.cli.stores import opened_store

__all__ = ["compact"]


def compact() -> None:
    """Compact the landing zone's closed days and remove replaced and orphaned files after a week. Safe at any time."""
    from meshline_dagster.crm.compaction import compact_feed
    from meshline_dagster.landing.zone import LandingZone
    from meshline_dagster.store.location import landing_location
    from meshline_dagster.store.manifest import rows_total

    with opened_store() as store:
        zone = LandingZone(landing_location(), store)
        with store.read() as connection:
            feeds = sorted(rows_total(connection))
        for feed in feeds:
            done = compact_feed(zone, feed, holder="meshline compact")
            left = f", {done.days_left} days left{' to the next call' if done.busy else ''}" if done.days_left else ""
            typer.echo(
                f"{feed}: {done.files_before} files of {done.days} days became {done.days}, {done.removed} removed{left}"
            )
            for problem in done.problems:
                typer.echo(f"  {problem}")
    if not feeds:
        typer.echo("nothing has landed yet")
