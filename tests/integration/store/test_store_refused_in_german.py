"""A PostgreSQL that speaks German refuses us: what to set is told by its codes."""

import os
import subprocess
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from meshline_dagster.core.errors import ConfigError, StoreUnavailableError
from meshline_dagster.store.engine import open_store
from meshline_dagster.testing.postgres import PostgresServer, _free_port, _identity
from tests.integration.store.test_store_refused import RULES

SERVERS = [
    one
    for one in sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if Path(f"/usr/share/locale/de/LC_MESSAGES/postgres-{one.parent.name}.mo").exists()
]
pytestmark = pytest.mark.skipif(not SERVERS, reason="no PostgreSQL with messages in German is installed")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """One of the system's own: those of the package know English only."""
    folder, identity = tmp_path_factory.mktemp("german"), _identity()
    data = folder / "data"
    data.mkdir(mode=0o700)
    if identity:
        os.chown(data, identity["user"], identity["group"])
        for one in (folder, *folder.parents[:3]):
            one.chmod(0o755)
    command = [str(SERVERS[-1] / "initdb"), "-D", str(data), "-U", "postgres", "--auth=trust", "--locale=C.UTF-8"]
    subprocess.run(command, check=True, cwd="/", capture_output=True, **identity)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LANGUAGE", "de")
        patch.setenv("LC_ALL", "C.UTF-8")
        running = PostgresServer(_free_port(), SERVERS[-1], data, identity, ("lc_messages=C.UTF-8",))
        running.start()
    try:
        with closing(psycopg2.connect(running.url())) as connection:
            connection.autocommit = True
            cursor = connection.cursor()
            cursor.execute("create role meshline login password 'right'; create role stranger login")
            cursor.execute("create role locked nologin")
            (data / "pg_hba.conf").write_text(RULES)
            cursor.execute("select pg_reload_conf()")
        yield running
    finally:
        running.stop()


@pytest.mark.parametrize(
    ("address", "said", "to_do"),
    [
        ("meshline:wrong@127.0.0.1:{}/postgres", "Passwort-Authentifizierung", "user and password"),
        ("nobody:x@127.0.0.1:{}/postgres", "pg_hba.conf", r"pg_hba\.conf"),
        ("locked@127.0.0.1:{}/postgres", "Rolle", "the user"),
        ("postgres@127.0.0.1:{}/nowhere", "Datenbank", "create the database"),
    ],
)
def test_a_refusal_in_german_says_what_to_set(server, address, said, to_do):
    with pytest.raises(ConfigError, match=to_do) as raised:
        open_store(f"postgresql://{address.format(server.port)}")
    assert said in str(raised.value)


def test_a_server_that_starts_or_is_away_is_an_outage_in_german_too(server):
    server.stop()
    try:
        with pytest.raises(StoreUnavailableError):
            open_store(server.url())
    finally:
        server.start()
