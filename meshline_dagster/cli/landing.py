"""``meshline compact``: one file for each closed day, and no file that nobody needs."""

from datetime import UTC, datetime

import typer

from meshline_dagster.cli.stores import opened_store

__all__ = ["compact"]


def compact() -> None:
    """Compact the landing zone's closed days and remove replaced and orphaned files after a week. Safe at any time."""
    from meshline_dagster.crm.poll import feed_lease
    from meshline_dagster.landing.compaction import compact as compact_feed
    from meshline_dagster.landing.compaction import sweep
    from meshline_dagster.landing.zone import LandingZone
    from meshline_dagster.store.location import landing_location
    from meshline_dagster.store.manifest import rows_total

    now = datetime.now(UTC)
    with opened_store() as store:
        zone = LandingZone(landing_location(), store)
        with store.read() as connection:
            feeds = sorted(rows_total(connection))
        for feed in feeds:
            with feed_lease(store, feed, "compact") as held:
                done = compact_feed(zone, feed, before=now.date(), held=held, now=now)
                removed = sweep(zone, feed, now=now)
            typer.echo(f"{feed}: {done.files_before} files of {done.days} days became {done.days}, {removed} removed")
    if not feeds:
        typer.echo("nothing has landed yet")
