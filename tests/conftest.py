"""Fixtures of every test: the ops store on both of its databases."""

import shutil
from uuid import uuid4

import pytest
from sqlalchemy import text

from meshline_dagster.store.engine import open_store
from meshline_dagster.testing.postgres import postgres_server


@pytest.fixture(scope="session")
def postgres():
    with postgres_server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
def store_url(request, tmp_path):
    """The URL of an ops store that nobody has opened yet."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ops.db'}"
    server = request.getfixturevalue("postgres")
    name = f"ops_{uuid4().hex[:12]}"
    server.create_database(name)
    return server.url(name)


@pytest.fixture(scope="session")
def migrated(tmp_path_factory):
    """An SQLite ops store that is made once, and copied where a test needs an empty one."""
    path = tmp_path_factory.mktemp("migrated") / "ops.db"
    open_store(f"sqlite:///{path}").close()
    return path


@pytest.fixture
def ops(store_url, migrated):
    """An open ops store."""
    if store_url.startswith("sqlite:///"):
        shutil.copy(migrated, store_url.removeprefix("sqlite:///"))
    store = open_store(store_url)
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
