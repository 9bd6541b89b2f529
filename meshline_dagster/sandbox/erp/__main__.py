"""Run the sandbox ERP: ``python -m meshline_dagster.sandbox.erp --store FILE``.

Prints ``listening on URL`` once it answers, and serves until it is interrupted. The token comes from MESHLINE_ERP_TOKEN
(``sandbox`` without it): a command line can be read by others.
"""

import os
from pathlib import Path

import click

from meshline_dagster.sandbox.erp.app import SHAPES, create_app
from meshline_dagster.sandbox.erp.operations import Profile
from meshline_dagster.sandbox.serve import serve_forever


@click.command()
@click.option("--store", type=click.Path(path_type=Path, dir_okay=False), required=True, help="Its SQLite file.")
@click.option("--profile", type=click.Choice([one.value for one in Profile]), default="idempotent", show_default=True)
@click.option("--shape", type=click.Choice(SHAPES), default="plain", show_default=True, help="How its interface looks.")
@click.option("--company", default="1", show_default=True, help="The id of its company.")
@click.option("--item", "items", multiple=True, help="A known sku, repeatable; without any, all are accepted.")
@click.option("--port", type=int, default=0, help="Loopback port; 0 takes a free one.")
def main(*, store: Path, profile: str, shape: str, company: str, items: tuple[str, ...], port: int) -> None:
    """Serve an ERP on loopback until interrupted."""
    store.parent.mkdir(parents=True, exist_ok=True)
    token = os.environ.get("MESHLINE_ERP_TOKEN", "sandbox")
    app = create_app(store, profile=profile, shape=shape, token=token, company=company, items=items or None)
    serve_forever(app, port)


if __name__ == "__main__":
    main()
