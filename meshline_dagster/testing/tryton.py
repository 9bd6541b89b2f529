"""A real Tryton on loopback: a fresh company for each test, copied from a template that is set up once.

Setting a company up takes a minute and a half; its dump is kept in the repository's ``.meshline-cache`` folder until a file of
``deploy/tryton`` changes, or the year: the company's books are open for the year in which it was set up.

Its accounts have temporary passwords: Tryton compares those, where it would hash a lasting one for a third of a second at each log-in.
"""

import fcntl
import hashlib
import itertools
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy
from pydantic import SecretStr

from meshline_dagster.core.errors import ConfigError
from meshline_dagster.testing.postgres import PostgresServer, postgres_server
from meshline_dagster.testing.tryton_process import (
    DEPLOY,
    VENV,
    TrytonProcess,
    tryton_environment,
    tryton_process,
    write_config,
)

__all__ = ["TrytonCompany", "TrytonServer", "skip_reason", "tryton_server"]

_CACHE = VENV.parent / ".meshline-cache"
_TEMPLATE = "template_company"
_TEMPORARY_PASSWORDS = """
    update res_user set password_hash = null, password_reset = :password, password_reset_expire = now() + interval '1 year'
    where password_hash is not null
"""
_USER = "meshline"
_PASSWORD = "meshline-on-loopback"  # noqa: S105 - of a server that lives for one test


@dataclass(frozen=True, slots=True)
class TrytonCompany:
    """One database with one company, and how to log in to it; Tryton's own ``admin`` has the same password.

    Attributes:
        process: the server behind ``base_url``.
    """

    base_url: str
    database: str
    user: str
    password: SecretStr
    process: TrytonProcess = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class TrytonServer:
    """A database server with the template; it makes companies, each with a Tryton process of its own."""

    postgres: PostgresServer
    _config: Path
    _numbers: Iterator[int] = field(default_factory=itertools.count, repr=False)

    @contextmanager
    def company(self) -> Iterator[TrytonCompany]:
        """A fresh company that nobody else writes to; its database goes away with the others, when the server does."""
        database = f"company_{next(self._numbers)}"
        self.postgres.create_database(database, template=_TEMPLATE)
        with tryton_process(self._config, database) as (process, base_url):
            yield TrytonCompany(base_url, database, _USER, SecretStr(_PASSWORD), process)


def skip_reason() -> str | None:
    """Why there can be no Tryton here; None when there can."""
    if not (VENV / ".installed").is_file():
        return "Tryton is not installed; run: make tryton-env"
    return None


@contextmanager
def tryton_server() -> Iterator[TrytonServer]:
    """Be ready to make companies while the context lasts.

    Raises:
        ConfigError: Tryton is not installed, or its company cannot be set up.
    """
    reason = skip_reason()
    if reason is not None:
        raise ConfigError(reason)
    with postgres_server() as postgres, tempfile.TemporaryDirectory(prefix="meshline-tryton-") as folder:
        config = write_config(Path(folder), postgres)
        _restore_template(postgres, config)
        _give_temporary_passwords(postgres)
        yield TrytonServer(postgres, config)


def _restore_template(postgres: PostgresServer, config: Path) -> None:
    """The template database: from the dump, or set up now and dumped."""
    _CACHE.mkdir(exist_ok=True)
    (_CACHE / ".gitignore").write_text("*\n", encoding="utf-8")
    dump = _CACHE / f"tryton-{_digest()}.dump"
    with (_CACHE / "tryton.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # whoever comes second restores what the first made
        url = postgres.create_database(_TEMPLATE)
        if dump.is_file():
            command = [str(postgres.binaries / "pg_restore"), "--dbname", url, "--jobs", "2", "--no-owner", str(dump)]
            _run(command, os.environ)
            return
        _set_up(config)
        unfinished = dump.with_suffix(".unfinished")
        _run([str(postgres.binaries / "pg_dump"), "--format=custom", "--file", str(unfinished), url], os.environ)
        unfinished.replace(dump)


def _give_temporary_passwords(postgres: PostgresServer) -> None:
    engine = sqlalchemy.create_engine(postgres.url(_TEMPLATE), poolclass=sqlalchemy.NullPool)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text(_TEMPORARY_PASSWORDS), {"password": _PASSWORD})


def _set_up(config: Path) -> None:
    environment = {
        **tryton_environment(),
        "MESHLINE_TRYTON_USER": _USER,
        "MESHLINE_TRYTON_PASSWORD": _PASSWORD,
        "MESHLINE_TRYTON_ADMIN_PASSWORD": _PASSWORD,
    }
    _run([str(VENV / "bin" / "python"), str(DEPLOY / "set_up.py"), str(config), _TEMPLATE], environment)


def _digest() -> str:
    """Of everything that decides what the template holds."""
    digest = hashlib.sha256(str(datetime.now(UTC).year).encode())
    for path in sorted(DEPLOY.rglob("*")):
        if path.suffix in {".py", ".json", ".conf", ".txt", ".cfg", ".xml"} and ".egg-info" not in str(path):
            digest.update(path.relative_to(DEPLOY).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _run(command: list[str], environment: Mapping[str, str]) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)  # noqa: S603 - our own arguments
    if done.returncode != 0:
        raise ConfigError(f"{Path(command[0]).name} failed: {done.stderr[-2000:]}")
