"""``meshline catalog``: decide what a source value means. Decisions are data: recorded, attributed, revocable."""

import shlex
from typing import Annotated

import typer

from meshline_dagster.cli.stores import actor, now, opened_store

__all__ = ["app"]

app = typer.Typer(
    help="What source values mean: products, customers, ERP parties, payment terms, tax codes.", no_args_is_help=True
)

Kind = Annotated[
    str,
    typer.Option(help="product, customer, party (a customer id means a party code of the ERP), payment_term or tax."),
]


@app.command("map")
def map_value(
    source: Annotated[str, typer.Argument(help="The value as the CRM has it.")],
    target: Annotated[str, typer.Argument(help="What it means: for a product, a code of the catalog.")],
    kind: Kind = "product",
    reason: Annotated[str, typer.Option(help="Why this is right, for whoever audits it.")] = "",
) -> None:
    """Decide that SOURCE means TARGET, e.g. `meshline catalog map "GTXPro" "GTX Pro"`.

    It applies to everything that is not posted yet, whatever its day, from the next run on. A product or customer that is not known yet may
    be meant: the command says so, and the orders wait, with an exception that names both, until it is known.
    """
    from meshline_dagster.store.mappings import add_mapping

    with opened_store(create=True) as store, store.write() as connection:
        add_mapping(connection, kind, source, target, actor=actor(), reason=reason, now=now())
    typer.echo(f"{kind} {source!r} means {target!r} from the next run on")
    _tell_if_unknown(kind, source, target)


def _tell_if_unknown(kind: str, source: str, target: str) -> None:
    """A mistyped target is no error to us, as it may be known later; to the operator it most often is one."""
    from meshline_dagster.governance.targets import unknown_target
    from meshline_dagster.store.location import published_path

    found = unknown_target(published_path(), kind, target)
    if found is None:
        return
    what = "is no product of the catalog" if kind == "product" else "is no customer that an order names"
    near = f"; nearest: {', '.join(found.nearest)}" if found.nearest else ""
    again = shlex.join(
        ["meshline", "catalog", "map", source, "TARGET", *(["--kind", kind] if kind != "product" else [])]
    )
    then = "until it is one, what names the source waits as an exception" if kind == "product" else "check the id"
    typer.secho(f"but {target!r} {what}{near}. Another `{again}` replaces this one; {then}", err=True, fg="yellow")


@app.command("unmap")
def unmap_value(
    source: Annotated[str, typer.Argument(help="The value as the CRM has it.")], kind: Kind = "product"
) -> None:
    """Take the decision about SOURCE back. What is posted stays posted."""
    from meshline_dagster.store.mappings import revoke_mapping

    with opened_store() as store, store.write() as connection:
        found = revoke_mapping(connection, kind, source, actor=actor(), now=now())
    if not found:
        typer.secho(f"no mapping of {kind} {source!r} is in force", err=True, fg=typer.colors.RED)
        raise typer.Exit(1)
    typer.echo(f"{kind} {source!r} has no mapping any more")


@app.command("list")
def list_values(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """The decisions in force, oldest first."""
    import json

    from meshline_dagster.store.mappings import active_mappings

    with opened_store() as store, store.read() as connection:
        found = active_mappings(connection)
    for one in found:
        row = {name: str(getattr(one, name)) for name in ("kind", "source_value", "target_value", "actor", "reason")}
        typer.echo(json.dumps(row) if as_json else "\t".join(row.values()))
    if not found and not as_json:
        typer.echo("nothing is mapped")
