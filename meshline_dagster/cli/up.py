"""``meshline up``: Dagster's webserver and daemon over ``workspace.yaml``, with the sandbox beside them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["up"]


def up(
    port: Annotated[int, typer.Option(help="Port of the web interface.")] = 3000,
    workspace: Annotated[Path, typer.Option(help="The workspace file.")] = Path("workspace.yaml"),
) -> None:
    """Serve the Dagster UI with the daemon, the sandbox CRM (its clock runs) and the sandbox ERP, until interrupted."""
    from meshline_dagster.cli.demo import dagster_home
    from meshline_dagster.cli.servers import sales_data, sandbox_servers
    from meshline_dagster.core.errors import ConfigError
    from meshline_dagster.store.location import home

    if not workspace.exists():
        raise ConfigError(f"{workspace} is not here: run this in a clone of the project, or name the file")
    with sandbox_servers(home() / "sandbox-erp.db", data=sales_data(), running=True) as sandbox:
        environment = {
            **os.environ,
            **sandbox.environment,
            "DAGSTER_HOME": str(dagster_home(home() / "dagster")),
            "MESHLINE_HOME": str(home()),
        }
        commands = (
            ["dagster_webserver", "-w", str(workspace), "-h", "127.0.0.1", "-p", str(port)],
            ["dagster._daemon", "run", "-w", str(workspace)],
        )
        processes = [
            subprocess.Popen([sys.executable, "-m", *command], env=environment)  # noqa: S603 - our own interpreter
            for command in commands
        ]
        typer.echo(f"Dagster  http://127.0.0.1:{port}")
        typer.echo(f"CRM      {sandbox.environment['MESHLINE_CRM_URL']}  ({sandbox.world})")
        typer.echo(f"ERP      {sandbox.environment['MESHLINE_ERP_URL']}")
        typer.echo("Ctrl-C ends everything")
        _wait(processes)


def _wait(processes: list[subprocess.Popen[bytes]]) -> None:
    """Until one of them ends or we are interrupted; then end them all."""
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    try:
        while all(process.poll() is None for process in processes):
            time.sleep(0.5)
    except KeyboardInterrupt:
        typer.echo("stopping")
    finally:
        for process in processes:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
        for process in processes:
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
