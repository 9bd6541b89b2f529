"""``meshline up``: Dagster's webserver and daemon over ``workspace.yaml``, with the sandbox beside them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = ["up"]

_GRACE_SECONDS = 20


def up(
    port: Annotated[int, typer.Option(help="Port of the web interface.")] = 3000,
    workspace: Annotated[Path, typer.Option(help="The workspace file.")] = Path("workspace.yaml"),
) -> None:
    """Serve the Dagster UI with the daemon, the sandbox CRM (its clock runs) and the sandbox ERP, until interrupted."""
    from meshline_dagster.core.errors import ConfigError

    if not workspace.exists():
        raise ConfigError(f"{workspace} is not here: run this in a clone of the project, or name the file")
    signal.signal(signal.SIGTERM, _interrupt)  # before anything is started that has to be stopped
    with ExitStack() as stack:
        try:
            ended = _serve(stack, port, workspace)
        except KeyboardInterrupt:
            typer.echo("stopping")
            return
    typer.echo(f"{ended} has ended by itself: its last words are above", err=True)
    raise typer.Exit(1)


def _serve(stack: ExitStack, port: int, workspace: Path) -> str:
    """Start everything on the stack; returns the name of what ends first."""
    from meshline_dagster.cli.demo import dagster_home
    from meshline_dagster.cli.servers import sales_data, sandbox_servers
    from meshline_dagster.store.location import home

    sandbox = stack.enter_context(sandbox_servers(home() / "sandbox-erp.db", data=sales_data(), running=True))
    environment = {
        **os.environ,
        **sandbox.environment,
        "DAGSTER_HOME": str(dagster_home(home() / "dagster")),
        "MESHLINE_HOME": str(home()),
    }
    commands = {
        "the webserver": ["dagster_webserver", "-w", str(workspace), "-h", "127.0.0.1", "-p", str(port)],
        "the daemon": ["dagster._daemon", "run", "-w", str(workspace)],
    }
    processes = {name: stack.enter_context(_running(command, environment)) for name, command in commands.items()}
    typer.echo(f"Dagster  http://127.0.0.1:{port}")
    typer.echo(f"CRM      {sandbox.environment['MESHLINE_CRM_URL']}  ({sandbox.world})")
    typer.echo(f"ERP      {sandbox.environment['MESHLINE_ERP_URL']}")
    typer.echo("Ctrl-C ends everything")
    while True:
        for name, process in processes.items():
            if process.poll() is not None:
                return name
        time.sleep(0.5)


@contextmanager
def _running(module: Sequence[str], environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """``python -m MODULE`` while the context lasts; it gets some time to end its own children."""
    process = subprocess.Popen([sys.executable, "-m", *module], env=environment)  # noqa: S603 - our own interpreter
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt
