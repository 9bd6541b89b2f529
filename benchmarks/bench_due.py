"""The cost of finding due work with few settled postings in the ledger, and with a million.

What a pass asks (`due_postings`, `next_due`, `open_shards`, `postings_of`, `last_posted`) follows the open postings, so the ratio has to be about 1.
Each open posting waits for a customer of its own, and for an item that all of them name. Printed with the indexes that both databases use, and what they read end to end.

Run: python benchmarks/bench_due.py [SETTLED]
"""

import re
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from bench_posting import fill
from sqlalchemy import Connection, event

from meshline_dagster.store.engine import Store, open_store
from meshline_dagster.store.postings import due_postings, last_posted, next_due, open_shards, postings_of
from meshline_dagster.testing.postgres import postgres_server

OPEN = 2_000
SHARDS = list(range(16))
REPEATS = 15
BLOCK = 200
_COPIED = (
    "destination, document_kind, external_id, operation, event_time, shard, payload, fingerprint, amount, currency, document_date, "
    "attempts, cause, created_at, updated_at"
)


def prepare(store: Store) -> None:
    """Open postings, each of which waits for two masters that are posted: one of its own, and one of all."""
    fill(store, OPEN)
    settle(store, 1, OPEN)
    with store.write() as connection:
        connection.exec_driver_sql(
            """UPDATE posting SET depends_on = '["settled/' || id || '", "settled/1"]' WHERE state = 'planned'"""
        )


def settle(store: Store, first: int, last: int) -> None:
    """Copies of one planned posting, each of another entity, that are posted already."""
    numbers = (
        f"WITH RECURSIVE n(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i < {last})"
        if store.is_sqlite
        else f"WITH n AS (SELECT generate_series({first}, {last}) AS i)"
    )
    with store.write() as connection:
        connection.exec_driver_sql(
            f"INSERT INTO posting (entity_key, event_id, revision, key, state, {_COPIED}) {numbers} "
            f"SELECT 'settled/' || i, 'settled' || i, 1, 'settled' || i, 'posted', {_COPIED} "
            "FROM n CROSS JOIN (SELECT * FROM posting ORDER BY id LIMIT 1) AS one"
        )
    with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("PRAGMA optimize" if store.is_sqlite else "ANALYZE posting")


def ask(connection: Connection) -> int:
    now = datetime.now(UTC)
    found = due_postings(connection, "bench", SHARDS, now=now, limit=OPEN)
    next_due(connection, "bench", SHARDS, now=now)
    open_shards(connection, "bench")
    for at in range(0, len(found), BLOCK):
        last_posted(connection, "bench", [row.entity_key for row in postings_of(connection, found[at : at + BLOCK])])
    return len(found)


def seconds(store: Store) -> float:
    taken = []
    for _ in range(REPEATS):
        with store.read() as connection:
            start = time.perf_counter()
            assert ask(connection) == OPEN
            taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def plans(store: Store) -> Iterator[str]:
    """Each index that a statement of a pass uses, and each table that it reads from end to end."""
    asked: list[tuple[str, object]] = []

    def remember(_c: object, _u: object, statement: str, parameters: object, _x: object, _m: bool) -> None:
        asked.append((statement, parameters))

    event.listen(store.engine, "before_cursor_execute", remember)
    with store.read() as connection:
        ask(connection)
    event.remove(store.engine, "before_cursor_execute", remember)
    explain = "EXPLAIN QUERY PLAN " if store.is_sqlite else "EXPLAIN "
    for statement, parameters in asked:
        if not statement.startswith("SELECT"):
            continue
        with store.read() as connection:
            lines = [str(row[-1]) for row in connection.exec_driver_sql(explain + statement, parameters)]
        text = "\n".join(lines)
        used = re.findall(
            r"USING (?:COVERING )?INDEX (\w+)|USING INTEGER (PRIMARY KEY)|(?:using|on) (\w*_posting\w*)", text
        )
        scans = re.findall(r"SCAN \w*posting\w*|Seq Scan on posting", text)
        yield ", ".join(sorted({"".join(one) for one in used} | set(scans)))


def compare(name: str, url: str, settled: int) -> None:
    store = open_store(url)
    prepare(store)
    alone = seconds(store)
    settle(store, OPEN + 1, settled)
    among = seconds(store)
    print(
        f"{name:10} {OPEN:,} open: {alone * 1e3:.1f} ms alone, {among * 1e3:.1f} ms among {settled:,} settled, "
        f"ratio {among / alone:.2f} (target about 1)"
    )
    for line in plans(store):
        print(f"           {line}")
    store.close()


def main() -> None:
    settled = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        compare("SQLite", f"sqlite:///{Path(folder) / 'ops.db'}", settled)
    with postgres_server() as server:
        compare("PostgreSQL", server.create_database("ops"), settled)


if __name__ == "__main__":
    main()
