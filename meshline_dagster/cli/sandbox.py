"""``meshline sandbox``: a CRM and an ERP on loopback."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(help="A CRM and an ERP on loopback, to try everything against.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """A CRM and an ERP on loopback, to try everything against."""


@app.command()
def up(
    crm_port: Annotated[int, typer.Option(help="Port of the CRM; 0 takes a free one.")] = 8801,
    erp_port: Annotated[int, typer.Option(help="Port of the ERP; 0 takes a free one.")] = 8802,
    data: Annotated[Path | None, typer.Option(help="Folder of crm_sales records instead of what is found.")] = None,
    running: Annotated[bool, typer.Option(help="Let the CRM's clock go on.")] = True,
) -> None:
    """Serve both until interrupted, and print the variables that a sync needs."""
    import signal

    from meshline_dagster.cli.servers import sales_data, sandbox_servers
    from meshline_dagster.store.location import home

    with sandbox_servers(
        home() / "sandbox-erp.db", data=data or sales_data(), crm_port=crm_port, erp_port=erp_port, running=running
    ) as sandbox:
        typer.echo(f"the CRM serves {sandbox.world}; Ctrl-C ends both servers")
        for name, value in sandbox.environment.items():
            typer.echo(f"export {name}={value}")
        try:
            signal.pause()
        except KeyboardInterrupt:
            typer.echo("stopped")
