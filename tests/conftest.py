"""Fixtures of every test: the ops store on both of its databases."""

import os
import shutil
import signal
import sys
import tempfile
from uuid import uuid4

import pytest
from sqlalchemy import text

from meshline_dagster.store.engine import open_store
from meshline_dagster.testing.postgres import postgres_server
from tests.made_once import FOLDER

# Hundreds of processes start in the tests: none of them may have to compile the package and the tests anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


def pytest_configure(config):
    """What the tests start can be interrupted, also where a shell that started them in the background has them ignore that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if FOLDER not in os.environ:  # a worker has it from the process that started it
        os.environ[FOLDER] = tempfile.mkdtemp(prefix="meshline-tests-")
        config.add_cleanup(lambda: shutil.rmtree(os.environ.pop(FOLDER), ignore_errors=True))


@pytest.fixture(scope="session")
def postgres():
    with postgres_server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
def new_store_url(request, tmp_path):
    """The URL of an ops store that nobody has opened yet."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ops.db'}"
    server = request.getfixturevalue("postgres")
    return server.create_database(f"ops_{uuid4().hex[:12]}")


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory):
    """An SQLite ops store that is made once, and copied where a test needs an empty one."""
    path = tmp_path_factory.mktemp("migrated") / "ops.db"
    open_store(f"sqlite:///{path}").close()
    return path


@pytest.fixture(scope="session")
def migrated_database(postgres):
    """The name of one in PostgreSQL, for the same."""
    name = "migrated"
    open_store(postgres.create_database(name)).close()
    return name


@pytest.fixture(params=["sqlite", "postgres"])
def store_url(request, tmp_path):
    """The URL of an empty ops store."""
    if request.param == "sqlite":
        path = tmp_path / "ops.db"
        shutil.copy(request.getfixturevalue("migrated_file"), path)
        return f"sqlite:///{path}"
    template = request.getfixturevalue("migrated_database")
    return request.getfixturevalue("postgres").create_database(f"ops_{uuid4().hex[:12]}", template)


@pytest.fixture
def ops(store_url):
    """An open ops store."""
    store = open_store(store_url, migrate=False)
    yield store
    store.close()


@pytest.fixture
def without_guards():
    """What an owner of the database can do, and nobody else: take a table's triggers away."""

    def take_away(connection, table):
        if connection.dialect.name == "postgresql":
            connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
            return
        listed = text("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = :table")
        for name in connection.execute(listed, {"table": table}).scalars().all():
            connection.execute(text(f"DROP TRIGGER {name}"))

    return take_away
