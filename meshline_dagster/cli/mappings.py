"""``meshline map`` and ``meshline unmap``: decide what a source value means."""

import click

from meshline_dagster.cli.stores import MeshlineCommand, actor, now, opened_store
from meshline_dagster.store.mappings import KINDS, active_mappings, add_mapping, revoke_mapping

__all__ = ["map_value", "unmap_value"]


@click.command(name="map", cls=MeshlineCommand)
@click.argument("kind", type=click.Choice(KINDS), required=False)
@click.argument("source", required=False)
@click.argument("target", required=False)
@click.option("--reason", default="", help="Why this is right, for whoever audits it.")
def map_value(kind: str | None, source: str | None, target: str | None, reason: str) -> None:
    """Decide that SOURCE means TARGET, e.g. `meshline map product GTXPro "GTX Pro"`.

    Without arguments: list the decisions in force. A decision applies to everything that is not posted yet, from the next run on.
    """
    with opened_store() as store:
        if kind is None:
            with store.read() as connection:
                for one in active_mappings(connection):
                    click.echo(f"{one.kind}\t{one.source_value}\t{one.target_value}\t{one.actor}\t{one.reason}")
            return
        if source is None or target is None:
            raise click.UsageError("a mapping needs KIND SOURCE TARGET")
        with store.write() as connection:
            add_mapping(connection, kind, source, target, actor=actor(), reason=reason, now=now())
    click.echo(f"{kind} {source!r} means {target!r} from the next run on")


@click.command(name="unmap", cls=MeshlineCommand)
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("source")
def unmap_value(kind: str, source: str) -> None:
    """Take the decision about SOURCE back. What is posted stays posted."""
    with opened_store() as store, store.write() as connection:
        found = revoke_mapping(connection, kind, source, actor=actor(), now=now())
    if not found:
        raise click.ClickException(f"no mapping of {kind} {source!r} is in force")
    click.echo(f"{kind} {source!r} has no mapping any more")
