"""Floor 5: the command line. Each command imports what it needs when it runs, so that ``--help`` is instant."""

from typing import Annotated

import typer

from meshline_dagster import __version__
from meshline_dagster.cli import (
    approvals,
    audit,
    catalog,
    contracts,
    exceptions,
    landing,
    milestones,
    pausing,
    postings,
    release,
    replay,
    sandbox,
    status,
    trace,
)
from meshline_dagster.cli.demo import demo
from meshline_dagster.cli.up import up

__all__ = ["app", "main"]

app = typer.Typer(
    name="meshline",
    help="Operate Meshline: what is posted, what waits, and what to do about it.",
    epilog="The stores are looked for where MESHLINE_HOME (default: .meshline in the working directory) and MESHLINE_STORE_URL say. "
    "Exit codes: 0 done, 1 refused or not found, 2 a wrong argument.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(exceptions.app, name="exceptions")
app.add_typer(postings.app, name="postings")
app.add_typer(approvals.app, name="approvals")
app.add_typer(catalog.app, name="catalog")
app.add_typer(milestones.app, name="milestones")
app.add_typer(contracts.app, name="contracts")
app.add_typer(sandbox.app, name="sandbox")
app.add_typer(audit.app, name="audit")
app.command("status")(status.status)
app.command("trace")(trace.trace)
app.command("pause")(pausing.pause)
app.command("resume")(pausing.resume)
app.command("release")(release.release)
app.command("replay")(replay.replay)
app.command("compact")(landing.compact)
app.command("demo")(demo)
app.command("up")(up)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"meshline {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Options of all commands."""


def main() -> None:
    """Run the command line; our own errors are one clear line and exit code 1."""
    from meshline_dagster.core.errors import MeshlineError

    try:
        app()
    except MeshlineError as error:
        typer.secho(f"error: {error}", err=True, fg=typer.colors.RED)
        raise SystemExit(1) from None
