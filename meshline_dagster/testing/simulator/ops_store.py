"""The ops store of a schedule: the real schema in an SQLite database in memory, and a view of it for each process.

No transaction is open while somebody else runs (see ``loop``), so one connection serves all processes; what they do to each other is
decided by the order of their commits, as on a real database.
"""

import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import StaticPool

from meshline_dagster.core.errors import StoreUnavailableError
from meshline_dagster.core.ledger import PostingState
from meshline_dagster.store.engine import Store, open_store
from meshline_dagster.testing.simulator.points import commit_of_caller
from meshline_dagster.testing.simulator.process import PROCESS, Process

__all__ = ["Absence", "ProcessStore", "forge", "fresh_store"]


class Absence:
    """Times in which the database is away from deliveries. A commit that meets the beginning of one is made, and nobody hears of it.

    Args:
        times: ``(from, to)`` in virtual seconds. time: the virtual second that it is.

    Attributes:
        noticed: how often a transaction met it.
    """

    def __init__(self, times: Sequence[tuple[float, float]], time: Callable[[], float]) -> None:
        self._times, self._time = times, time
        self._begun: set[float] = set()
        self.noticed = 0

    def check(self, *, after_commit: bool = False) -> None:
        """Raise ``StoreUnavailableError`` while the database is away."""
        for start, end in self._times:
            begins = start not in self._begun
            if start <= self._time() < end and begins == after_commit:
                self._begun.add(start)
                self.noticed += 1
                raise StoreUnavailableError


class ProcessStore(Store):
    """The store as one process sees it: closed once the process is dead, and a point at each side of a commit.

    Args:
        as_network: let delivery run its statements as it does where the database is reached over a network.
        absence: when the database is away; None: never.
    """

    def __init__(
        self, engine: Engine, process: Process, *, as_network: bool = False, absence: Absence | None = None
    ) -> None:
        super().__init__(engine)
        self._process = process
        self._as_network = as_network
        self._absence = absence

    @property
    def is_sqlite(self) -> bool:
        """What delivery is told."""
        return not self._as_network

    def reopener(self) -> Callable[[], Store]:
        """What opens the same database in a child."""
        return _reopened

    def write(self) -> AbstractContextManager[Connection]:  # type: ignore[override] # a generator's manager is one too
        """A transaction that may write."""
        return self._transaction(commit_of_caller())

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that only reads."""
        self._process.check()
        if self._absence is not None:
            self._absence.check()
        with super().read() as connection:
            yield connection

    @contextmanager
    def _transaction(self, name: str | None) -> Iterator[Connection]:
        process = self._process
        process.check()
        if self._absence is not None:
            self._absence.check()
        with super().write() as connection:
            process.transaction = connection
            try:
                yield connection
                if name is not None:
                    process.passes(f"before {name}")
            finally:
                process.transaction = None
        if name is not None:
            process.passes(f"after {name}")
        if self._absence is not None:
            self._absence.check(after_commit=True)


def _reopened() -> Store:
    """The store as the current process sees it."""
    process = PROCESS.get()
    assert process is not None
    return ProcessStore(_memory()[1], process)


def forge(connection: Connection, state: PostingState) -> str | None:
    """Change what an order says that is in this state, behind delivery's back. Returns its entity; None when none is."""
    query = "SELECT id, entity_key FROM posting WHERE state = ? AND document_kind = 'sales_order' "
    query += "AND operation <> 'reverse' ORDER BY id LIMIT 1"
    found = connection.exec_driver_sql(query, (state.value,)).first()
    if found is None:
        return None
    connection.exec_driver_sql("DROP TRIGGER IF EXISTS posting_frozen")
    change = 'UPDATE posting SET payload = replace(payload, \'"amount":"\', \'"amount":"9\') WHERE id = ?'
    connection.exec_driver_sql(change, (found.id,))
    return str(found.entity_key)


def fresh_store() -> Store:
    """An empty ops store with its schema. There is one at a time: a second call empties the first."""
    connection, engine = _memory()
    _template().backup(connection)
    return Store(engine)


@lru_cache(maxsize=1)
def _memory() -> tuple[sqlite3.Connection, Engine]:
    """One connection for good: its engine keeps the compiled statements, which a new one would have to compile for each schedule."""
    connection = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
    connection.execute("PRAGMA foreign_keys=ON")
    engine = create_engine("sqlite://", creator=lambda: connection, poolclass=StaticPool)

    @event.listens_for(engine, "begin")
    def _begin(begun: Connection) -> None:
        begun.exec_driver_sql("BEGIN")

    return connection, engine


@lru_cache(maxsize=1)
def _template() -> sqlite3.Connection:
    """An empty database with all migrations applied."""
    template = sqlite3.connect(":memory:", check_same_thread=False)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ops.db"
        open_store(f"sqlite:///{path}").close()
        made = sqlite3.connect(path)
        made.backup(template)
        made.close()
    return template
