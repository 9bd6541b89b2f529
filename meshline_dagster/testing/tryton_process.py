"""The Tryton server's process: gunicorn on a free loopback port, over a database server of ours."""

import os
import re
import signal
import string
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from meshline_dagster.core.errors import ConfigError
from meshline_dagster.testing.postgres import PostgresServer
from meshline_dagster.testing.postgres_guard import guarded

__all__ = ["DEPLOY", "VENV", "TrytonProcess", "tryton_environment", "tryton_process", "write_config"]

_ROOT = Path(__file__).resolve().parents[2]
VENV = _ROOT / ".venv-tryton"
"""Where ``make tryton-env`` installs Tryton."""

DEPLOY = _ROOT / "deploy" / "tryton"
"""The set-up script, the catalog, the configuration template and the module ``extref``."""

_GUNICORN = Path(__file__).with_name("tryton_gunicorn.py")
_LISTENING = re.compile(r"Listening at: (http://127\.0\.0\.1:\d+)")
_START_SECONDS = 60.0


def write_config(folder: Path, postgres: PostgresServer) -> Path:
    """Fill the configuration template in for ``postgres``, as a file in ``folder``."""
    template = string.Template((DEPLOY / "trytond.conf").read_text(encoding="utf-8"))
    path = folder / "trytond.conf"
    path.write_text(template.substitute(database_uri=postgres.url(""), listen="127.0.0.1:0"), encoding="utf-8")
    return path


def tryton_environment() -> dict[str, str]:
    """The environment of Tryton's processes: the module ``extref`` is the one beside these tests, wherever it was installed from."""
    known = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(DEPLOY / "module"), *([known] if known else [])])}


class TrytonProcess:
    """A Tryton server, which can be killed and started again.

    A server loads the modules of the databases that it is told at its start; it learns of later ones minutes later only.

    Args:
        database: the only one that it serves.
        threads: how many requests it works on at once.
    """

    def __init__(self, config: Path, database: str, *, threads: int = 8) -> None:
        self._config, self._database, self._threads = config, database, threads
        self._guard: subprocess.Popen[bytes] | None = None

    def start(self) -> str:
        """Start it on a free port; returns its base URL, e.g. ``http://127.0.0.1:43817``.

        Raises:
            ConfigError: it does not start; the message has its last words.
        """
        log = self._config.with_name(f"{self._database}.log")
        options = ["--bind", "127.0.0.1:0", "--workers", "1", "--threads", str(self._threads), "--keep-alive", "30"]
        options += ["--config", str(_GUNICORN), "--no-control-socket"]
        command = [str(VENV / "bin" / "gunicorn"), *options, "trytond.application:app"]
        environment = {
            **tryton_environment(),
            "TRYTOND_CONFIG": str(self._config),
            "TRYTOND_DATABASE_NAMES": self._database,
        }
        with log.open("wb") as output:
            self._guard = guarded(command, "QUIT", output=output, cwd=self._config.parent, env=environment)
        return _await_url(self._guard, log)

    def kill(self) -> None:
        """End all of its processes by SIGKILL, whatever they are doing; nothing happens when they have ended already."""
        guard, self._guard = self._guard, None
        if guard is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(guard.pid, signal.SIGKILL)
        guard.wait()


@contextmanager
def tryton_process(config: Path, database: str) -> Iterator[tuple[TrytonProcess, str]]:
    """Serve ``database`` while the context lasts: yields the process and its base URL. Raises as :meth:`TrytonProcess.start` does."""
    process = TrytonProcess(config, database)
    try:
        yield process, process.start()
    finally:
        process.kill()  # nobody waits for it: its database is thrown away


def _await_url(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        found = _LISTENING.search(log.read_text(errors="replace"))
        if found:
            return found[1]
        time.sleep(0.05)
    raise ConfigError(f"the Tryton server did not start; it said: {log.read_text(errors='replace')[-2000:]}")
