"""Open the ops store.

SQLite: WAL, ``synchronous=FULL``, busy time-out 30 s. Write transactions begin with BEGIN IMMEDIATE, because a deferred
transaction that upgrades after another's commit fails at once, whatever the time-out. Network file systems are refused:
their locks lie.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.pool import QueuePool

from meshline_dagster.core.errors import ConfigError, StoreUnavailableError
from meshline_dagster.store.refusals import what_to_set

__all__ = ["Store", "open_store"]

_BUSY_SECONDS = 30
_CONNECT_SECONDS = 10
_NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smbfs", "smb3", "9p", "fuse.sshfs", "ceph", "glusterfs", "lustre"}
)
_MIGRATION_LOCK = 7_357_001
_MIGRATIONS = Path(__file__).with_name("migrations")
_VERSIONS = "meshline_schema_version"
# a connection that broke or could not be made has no code; the classes: the connection failed, the server shuts down or starts
_CODES_OF_ABSENCE = ("08", "57P")


class Store:
    """The ops store: transactions, nothing else.

    ``write()`` yields a connection whose transaction commits at the end of the block and rolls back on an error;
    ``read()`` yields one that sees a single snapshot on SQLite and read-committed on PostgreSQL. Both raise
    :class:`~meshline_dagster.core.errors.StoreUnavailableError` when the database does not answer, or stops to; whether a transaction
    that was just committing is durable is then not known. They raise ``ConfigError`` when it does not let us in.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @property
    def is_sqlite(self) -> bool:
        """True on the embedded default."""
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that may write."""
        with self._told_when_away(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that only reads: on SQLite it does not wait for writers."""
        with (
            self._told_when_away(),
            self.engine.connect().execution_options(meshline_read=True) as connection,
            connection.begin(),
        ):
            yield connection

    @contextmanager
    def _told_when_away(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            if not _is_away(error):
                raise
            words = " ".join(str(error.orig).split())
            advice = what_to_set(words) or what_to_set(words, self._code_of(error))
            if advice is not None:
                text = f"the ops store's PostgreSQL refuses us: {advice}"
                raise ConfigError(f"{text} ({self.engine.url}): {words}") from error
            raise StoreUnavailableError(f"{StoreUnavailableError.__doc__} {self.engine.url}: {words}") from error

    def _code_of(self, error: DBAPIError) -> str | None:
        """The server's code of a refusal, also where the driver has none because the connection was not made: then it is asked for."""
        code: str | None = getattr(error.orig, "pgcode", None)
        if code is not None or self.is_sqlite:
            return code
        from meshline_dagster.store.refusal_codes import refusal_code  # noqa: PLC0415 - the driver, which SQLite does without

        return refusal_code(self.engine)

    def reopener(self) -> "Callable[[], Store]":
        """What opens this store again in another process. It can be pickled, and knows the password if there is one."""
        return partial(open_store, self.engine.url.render_as_string(hide_password=False), migrate=False)

    def close(self) -> None:
        """Give all connections back."""
        self.engine.dispose()


def open_store(url: str, *, migrate: bool = True) -> Store:
    """Open the store behind an SQLAlchemy URL and bring its schema up to date.

    Args:
        url: ``sqlite:///path`` or ``postgresql://...``; both PostgreSQL spellings use psycopg2.
        migrate: False leaves the schema alone.

    Raises:
        ConfigError: an unsupported database, an SQLite file on a network file system, or a PostgreSQL that does not let us in.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        engine = _sqlite(parsed)
    elif parsed.get_backend_name() == "postgresql":
        patience = {} if "connect_timeout" in parsed.query else {"connect_timeout": _CONNECT_SECONDS}
        url_of_driver = parsed.set(drivername="postgresql+psycopg2")
        engine = create_engine(url_of_driver, pool_pre_ping=True, connect_args=patience)
    else:
        raise ConfigError("MESHLINE_STORE_URL must be sqlite:///... or postgresql://...", got=parsed.get_backend_name())
    store = Store(engine)
    if migrate:
        _migrate(store)
    return store


def _is_away(error: DBAPIError) -> bool:
    """The server closed the connection, or takes none. SQLite's errors have no such codes: a file does not go away."""
    if error.connection_invalidated:
        return True
    if not isinstance(error, OperationalError | InterfaceError):
        return False
    code = getattr(error.orig, "pgcode", "not PostgreSQL")
    return code is None or code.startswith(_CODES_OF_ABSENCE)


def _sqlite(url: URL) -> Engine:
    if not url.database or url.database == ":memory:":
        raise ConfigError("the ops store must be a file: it is never deleted, and several processes open it")
    path = Path(url.database).resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    _refuse_network_file_system(path.parent)
    engine = create_engine(
        url.set(database=str(path)),
        connect_args={"timeout": _BUSY_SECONDS, "check_same_thread": False},
        poolclass=QueuePool,
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            f"busy_timeout={_BUSY_SECONDS * 1000}",
            "foreign_keys=ON",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        reading = connection.get_execution_options().get("meshline_read", False)
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine


def _refuse_network_file_system(folder: Path) -> None:
    """Look the folder's mount up in the kernel's table; where there is none (not Linux), trust the operator."""
    table = Path("/proc/mounts")
    if not table.exists():
        return
    best, kind = "", ""
    for line in table.read_text().splitlines():
        _, mount, file_system, *_ = line.split()
        point = mount.replace("\\040", " ")
        inside = str(folder) == point or str(folder).startswith(point.rstrip(os.sep) + os.sep)
        if inside and len(point) >= len(best):
            best, kind = point, file_system
    if kind in _NETWORK_FILE_SYSTEMS:
        raise ConfigError(
            f"the SQLite ops store {folder} lies on {kind}, whose locks are not reliable: "
            "use a local disk, or PostgreSQL by MESHLINE_STORE_URL"
        )


def _migrate(store: Store) -> None:
    """Run the migrations once, even when several processes start together; where the newest has run, alembic is not even loaded."""
    if _is_newest(store):
        return
    from alembic import command  # noqa: PLC0415 - slow to import, and the process that writes the ledger never migrates
    from alembic.config import Config  # noqa: PLC0415 - as above

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    with store.write() as connection:
        if not store.is_sqlite:
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _is_newest(store: Store) -> bool:
    """Whether the schema is what the newest migration leaves, by its number."""
    newest = max(path.name.split("_")[0] for path in (_MIGRATIONS / "versions").glob("[0-9]*.py"))
    with store.read() as connection:
        if not inspect(connection).has_table(_VERSIONS):
            return False
        return connection.exec_driver_sql(f"SELECT version_num FROM {_VERSIONS}").scalars().all() == [newest]  # noqa: S608 - a fixed name
