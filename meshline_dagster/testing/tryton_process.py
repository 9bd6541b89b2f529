"""The Tryton server's process: gunicorn on a free loopback port, over a database server of ours."""

import os
import re
import string
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from meshline_dagster.core.errors import ConfigError
from meshline_dagster.testing.postgres import PostgresServer
from meshline_dagster.testing.postgres_guard import guarded, stop

__all__ = ["DEPLOY", "VENV", "tryton_process", "write_config"]

_ROOT = Path(__file__).resolve().parents[2]
VENV = _ROOT / ".venv-tryton"
"""Where ``make tryton-env`` installs Tryton."""

DEPLOY = _ROOT / "deploy" / "tryton"
"""The set-up script, the catalog, the configuration template and the module ``extref``."""

_LISTENING = re.compile(r"Listening at: (http://127\.0\.0\.1:\d+)")
_START_SECONDS = 60.0
_STOP_SECONDS = 15.0


def write_config(folder: Path, postgres: PostgresServer) -> Path:
    """Fill the configuration template in for ``postgres``, as a file in ``folder``."""
    template = string.Template((DEPLOY / "trytond.conf").read_text(encoding="utf-8"))
    path = folder / "trytond.conf"
    path.write_text(template.substitute(database_uri=postgres.url(""), listen="127.0.0.1:0"), encoding="utf-8")
    return path


@contextmanager
def tryton_process(config: Path, database: str, *, threads: int = 8) -> Iterator[str]:
    """Serve ``database`` while the context lasts.

    A server loads the modules of the databases that it is told at its start; it learns of later ones minutes later only.

    Yields:
        The base URL, e.g. ``http://127.0.0.1:43817``.

    Raises:
        ConfigError: the server does not start; the message has its last words.
    """
    log = config.with_name(f"{database}.log")
    options = ["--bind", "127.0.0.1:0", "--workers", "1", "--threads", str(threads), "--keep-alive", "30"]
    command = [str(VENV / "bin" / "gunicorn"), *options, "--no-control-socket", "trytond.application:app"]
    with log.open("wb") as output:
        environment = {**os.environ, "TRYTOND_CONFIG": str(config), "TRYTOND_DATABASE_NAMES": database}
        process = guarded(command, "QUIT", output=output, cwd=config.parent, env=environment)
    try:
        yield _await_url(process, log)
    finally:
        stop(process, _STOP_SECONDS)


def _await_url(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        found = _LISTENING.search(log.read_text(errors="replace"))
        if found:
            return found[1]
        time.sleep(0.05)
    raise ConfigError(f"the Tryton server did not start; it said: {log.read_text(errors='replace')[-2000:]}")
