"""A PostgreSQL that refuses us is no outage: the words say what to set, at once. One that is away, starts or is full stays an outage."""

import time
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from meshline_dagster.core.errors import ConfigError, StoreUnavailableError
from meshline_dagster.store import refusals
from meshline_dagster.store.engine import open_store
from meshline_dagster.testing.postgres import postgres_server

RULES = """
host all postgres 127.0.0.1/32 trust
host all trusted 127.0.0.1/32 trust
host all stranger 127.0.0.1/32 reject
host all unborn 127.0.0.1/32 trust
host all meshline 127.0.0.1/32 scram-sha-256
host all locked 127.0.0.1/32 trust
"""


@pytest.fixture(scope="module")
def server():
    """One that asks some of its users for a password."""
    with postgres_server() as running:
        with closing(psycopg2.connect(running.url())) as connection:
            connection.autocommit = True
            cursor = connection.cursor()
            for statement in (
                "create role meshline login password 'right' connection limit 1",
                "create role trusted login",
                "create role stranger login",
                "create role locked nologin",
                "create database closed",
                "revoke connect on database closed from public",
            ):
                cursor.execute(statement)
            cursor.execute("show hba_file")
            Path(cursor.fetchone()[0]).write_text(RULES)
            cursor.execute("select pg_reload_conf()")
        yield running


@pytest.fixture
def in_words_that_nobody_knows(monkeypatch):
    """As of a server whose messages are in another language."""
    monkeypatch.setattr(refusals, "_KNOWN", [])


def url(server, user, database="postgres"):
    return f"postgresql://{user}@127.0.0.1:{server.port}/{database}"


CASES = [
    ("meshline:wrong", "postgres", "password authentication failed", "user and password"),
    ("meshline", "postgres", "no password supplied", "user and password"),
    ("nobody:x", "postgres", "no pg_hba.conf entry", r"pg_hba\.conf"),
    ("stranger", "postgres", "rejects connection", r"pg_hba\.conf"),
    ("unborn", "postgres", 'role "unborn" does not exist', "the user"),
    ("locked", "postgres", "not permitted to log in", "the user"),
    ("trusted", "nowhere", 'database "nowhere" does not exist', "create the database"),
    ("trusted", "closed", "permission denied for database", "grant"),
]


@pytest.mark.parametrize(("user", "database", "said", "to_do"), CASES)
def test_a_refusal_says_at_once_what_to_set(server, user, database, said, to_do):
    started = time.monotonic()
    with pytest.raises(ConfigError, match=to_do) as raised:
        open_store(url(server, user, database))
    assert time.monotonic() - started < 5
    assert said in str(raised.value)
    assert "MESHLINE_STORE_URL" in str(raised.value)
    assert ":wrong" not in str(raised.value)
    assert ":x@" not in str(raised.value)


@pytest.mark.parametrize(("user", "database", "said", "to_do"), CASES)
@pytest.mark.usefixtures("in_words_that_nobody_knows")
def test_a_refusal_in_words_that_nobody_knows_is_told_by_its_code(server, user, database, said, to_do):
    with pytest.raises(ConfigError, match=to_do) as raised:
        open_store(url(server, user, database))
    assert said in str(raised.value)


def test_a_store_that_is_refused_later_says_so_too(server):
    address = server.create_database("later")
    store = open_store(address, migrate=False)
    with store.read():
        pass
    store.close()
    server.drop_database("later")
    with pytest.raises(ConfigError, match="create the database"), store.read():
        pass
    store.close()


@pytest.mark.parametrize("known", [True, False], ids=["in English", "in words that nobody knows"])
def test_a_server_that_is_full_or_away_is_an_outage(server, known, request):
    if not known:
        request.getfixturevalue("in_words_that_nobody_knows")
    with (
        closing(psycopg2.connect(url(server, "meshline:right"))),
        pytest.raises(StoreUnavailableError, match="too many connections"),
    ):
        open_store(url(server, "meshline:right"), migrate=False).read().__enter__()
    server.stop()
    try:
        with pytest.raises(StoreUnavailableError, match="refused"):
            open_store(url(server, "trusted"))
    finally:
        server.start()
