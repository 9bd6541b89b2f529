"""``meshline up``: Dagster's webserver and daemon over ``workspace.yaml``, with the sandbox beside them."""

import contextlib
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

_GRACE_SECONDS = 6.0
_LOOK_SECONDS = 0.1


def up(
    port: Annotated[int, typer.Option(help="Port of the web interface.")] = 3000,
    workspace: Annotated[Path, typer.Option(help="The workspace file.")] = Path("workspace.yaml"),
) -> None:
    """Serve the Dagster UI with the daemon, the sandbox CRM (its clock runs) and the sandbox ERP, until interrupted."""
    from meshline_dagster.core.errors import ConfigError

    if not workspace.exists():
        raise ConfigError(f"{workspace} is not here: run this in a clone of the project, or name the file")
    for number in (
        signal.SIGTERM,
        signal.SIGINT,
    ):  # before anything is started that has to be stopped; a shell that starts us
        signal.signal(number, _interrupt)  # in the background has us ignore SIGINT, and all that we start
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

    dagster = dagster_home(home() / "dagster")
    os.environ["DAGSTER_HOME"] = str(dagster)
    _make_storage(dagster)
    sandbox = stack.enter_context(sandbox_servers(home() / "sandbox-erp.db", data=sales_data(), running=True))
    environment = {
        **os.environ,
        **sandbox.environment,
        "MESHLINE_HOME": str(home()),
    }
    commands = {
        "the webserver": ["dagster_webserver", "-w", str(workspace), "-h", "127.0.0.1", "-p", str(port)],
        "the daemon": ["dagster._daemon", "run", "-w", str(workspace)],
    }
    processes = stack.enter_context(_running(commands, environment))
    typer.echo(f"Dagster  http://127.0.0.1:{port}")
    typer.echo(f"CRM      {sandbox.environment['MESHLINE_CRM_URL']}  ({sandbox.world})")
    typer.echo(f"ERP      {sandbox.environment['MESHLINE_ERP_URL']}")
    typer.echo("Ctrl-C ends everything")
    while True:
        for name, process in processes.items():
            if process.poll() is not None:
                return name
        time.sleep(0.5)


def _make_storage(folder: Path) -> None:
    """Dagster's own databases are there before two processes open them: of two that make them at the same moment one fails."""
    from dagster import DagsterInstance

    with DagsterInstance.from_config(str(folder)) as instance:
        instance.get_run_records(limit=1)
        instance.get_asset_keys(limit=1)
        instance.all_instigator_state()


@contextmanager
def _running(
    commands: Mapping[str, Sequence[str]], environment: Mapping[str, str]
) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """``python -m MODULE`` for each command while the context lasts, each in a group of its own with all that it starts: code servers
    and runs. They are told to end all at once and have one time for it together: one after the other took the sum of their times, and
    what a killed one had started stayed behind.
    """
    processes: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, module in commands.items():
            processes[name] = subprocess.Popen(  # noqa: S603 - our own interpreter
                [sys.executable, "-m", *module], env=environment, start_new_session=True
            )
        yield processes
    finally:
        _end(list(processes.values()))


def _end(leaders: Sequence[subprocess.Popen[bytes]]) -> None:
    deadline = time.monotonic() + _GRACE_SECONDS
    try:
        for leader in leaders:
            _tell(leader, signal.SIGINT)
        while any(_is_alive(leader) for leader in leaders) and time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS)
    finally:  # also when somebody has no patience and interrupts again
        for leader in leaders:
            _tell(leader, signal.SIGKILL)
            leader.wait()


def _is_alive(leader: subprocess.Popen[bytes]) -> bool:
    """Whether any process of the leader's group is left; a leader that has ended is buried by the way."""
    leader.poll()
    return _tell(leader, 0)


def _tell(leader: subprocess.Popen[bytes], number: int) -> bool:
    """Send a signal to a whole group. False when nobody is left in it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader.pid, number)
        return True
    return False


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt
