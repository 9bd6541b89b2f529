"""The sandbox ERP's SQLite file: documents, the journal of every write, remembered answers.

All calls come from the server's one thread. Writes that arrive together are committed together: each has its savepoint, and nobody
is answered before the commit.
"""

import asyncio
import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

__all__ = ["Database", "Work", "as_text", "document"]

Work = Callable[["Database"], Any]
"""What one request does inside the transaction; it may raise, and then nothing of it is kept."""

_T = TypeVar("_T")

_SCHEMA = """
create table if not exists document (
    seq integer primary key autoincrement,
    kind text not null,
    external_id text not null,
    event_id text,
    status text not null,
    currency text,
    amount text not null,
    updated_at text not null,
    body text not null
);
create index if not exists document_external_id on document (kind, external_id);
create index if not exists document_credited on document (json_extract(body, '$.invoice')) where kind = 'credit_note';
create index if not exists document_updated_at on document (kind, updated_at, seq);
create table if not exists journal (
    seq integer primary key autoincrement,
    at text not null,
    operation text not null,
    kind text not null,
    external_id text not null,
    document_id text not null,
    event_id text,
    request_key text,
    currency text,
    amount text not null
);
create table if not exists answer (
    request_key text primary key,
    request_hash text not null,
    status integer not null,
    body text not null
);
"""

_PREFIX = {
    "customer": ("c", "CU"),
    "address": ("a", "AD"),
    "item": ("t", "IT"),
    "sales_order": ("o", "SO"),
    "invoice": ("i", "IN"),
    "credit_note": ("n", "CN"),
    "payment": ("p", "PM"),
}


def as_text(moment: datetime) -> str:
    """A UTC instant as text of one width, so that it sorts as the instants do."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def document(row: sqlite3.Row) -> dict[str, Any]:
    """A row as the API shows it."""
    letter, series = _PREFIX[row["kind"]]
    return {
        **json.loads(row["body"]),
        "id": f"{letter}{row['seq']}",
        "number": f"{series}-{row['seq']:06d}",
        "status": row["status"],
        "event_id": row["event_id"],
        "updated_at": row["updated_at"],
    }


class Database:
    """One SQLite file.

    Args:
        path: the file; it is made when it does not exist, and kept.
        clock: UTC now. The stamps that it gives never go back.
        ignores_case: look-ups by external id take upper and lower case for the same.
    """

    def __init__(self, path: Path | str, clock: Callable[[], datetime], *, ignores_case: bool = False) -> None:
        self._ignores_case = ignores_case
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("pragma journal_mode = wal")
        self._connection.execute("pragma synchronous = normal")
        self._connection.executescript(_SCHEMA)
        self._clock = clock
        self._last: str = self.rows("select coalesce(max(updated_at), '') as last from document")[0]["last"]
        self._queue: list[tuple[Work, asyncio.Future[Any]]] = []

    def close(self) -> None:
        """Close the file; what is not committed was never answered."""
        self._connection.close()

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """Read."""
        return self._connection.execute(sql, values).fetchall()

    def of(self, kind: str, external_ids: Iterable[str]) -> list[dict[str, Any]]:
        """The documents under some external ids, oldest first."""
        asked = json.dumps(list(external_ids))
        name = "external_id collate nocase" if self._ignores_case else "external_id"
        sql = f"select * from document where kind = ? and {name} in (select value from json_each(?)) order by seq"  # noqa: S608 - one of two
        return [document(row) for row in self.rows(sql, [kind, asked])]

    def knows(self, kind: str, external_id: str) -> bool:
        """Whether there is such a document."""
        return bool(self.rows("select 1 from document where kind = ? and external_id = ? limit 1", [kind, external_id]))

    def by_id(self, kind: str, document_id: str) -> sqlite3.Row | None:
        """The row of one document, by the ERP's own id."""
        digits = document_id.removeprefix(_PREFIX[kind][0])
        if not digits.isdecimal() or digits == document_id:
            return None
        found = self.rows("select * from document where kind = ? and seq = ?", [kind, int(digits)])
        return found[0] if found else None

    def write(
        self,
        operation: str,
        kind: str,
        body: Mapping[str, Any],
        *,
        status: str,
        request_key: str | None,
        seq: int | None = None,
    ) -> dict[str, Any]:
        """Insert a document (``seq`` None) or replace one, and append to the journal; answers the document."""
        now = self._last = max(self._last, as_text(self._clock()))
        event_id, currency, amount = body.get("event_id"), body.get("currency"), body.get("amount", "0")
        values = [kind, body["external_id"], event_id, status, currency, amount, now, json.dumps(body)]
        columns = "kind, external_id, event_id, status, currency, amount, updated_at, body"
        if seq is None:
            insert = f"insert into document ({columns}) values (?, ?, ?, ?, ?, ?, ?, ?) returning *"  # noqa: S608
            row = self._connection.execute(insert, values).fetchone()
        else:
            update = f"update document set ({columns}) = (?, ?, ?, ?, ?, ?, ?, ?) where seq = ? returning *"  # noqa: S608
            row = self._connection.execute(update, [*values, seq]).fetchone()
        made = document(row)
        entry = [now, operation, kind, body["external_id"], made["id"], event_id, request_key, currency, amount]
        self._connection.execute(
            "insert into journal (at, operation, kind, external_id, document_id, event_id, request_key, currency, amount)"
            " values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            entry,
        )
        return made

    def stock(self, skus: Iterable[str]) -> None:
        """Hold these items from the start, as somebody else has made them: they are in no journal."""
        for sku in sorted(set(skus)):
            if not self.knows("item", sku):
                body = json.dumps({"external_id": sku, "sku": sku, "name": sku, "uom": "unit"})
                values = ["item", sku, "open", "0", as_text(self._clock()), body]
                columns = "kind, external_id, status, amount, updated_at, body"
                self._connection.execute(f"insert into document ({columns}) values (?, ?, ?, ?, ?, ?)", values)  # noqa: S608

    def remove(self, seq: int) -> None:
        """Delete a document; the journal says so."""
        row = self._connection.execute("delete from document where seq = ? returning *", [seq]).fetchone()
        entry = [self._last, "remove", row["kind"], row["external_id"], document(row)["id"], row["amount"]]
        self._connection.execute(
            "insert into journal (at, operation, kind, external_id, document_id, amount) values (?, ?, ?, ?, ?, ?)",
            entry,
        )

    def remember(self, request_key: str, request_hash: str, status: int, body: Mapping[str, Any]) -> None:
        """Keep the first answer to a key for ever."""
        self._connection.execute(
            "insert into answer (request_key, request_hash, status, body) values (?, ?, ?, ?)",
            [request_key, request_hash, status, json.dumps(body)],
        )

    async def submit(self, work: Callable[["Database"], _T]) -> _T:
        """Do ``work`` in a transaction with whatever else is waiting; returns, or raises, after the commit."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[_T] = loop.create_future()
        if not self._queue:
            loop.call_soon(self._commit)
        self._queue.append((work, done))
        return await done

    def _commit(self) -> None:
        queue, self._queue = self._queue, []
        results: list[tuple[asyncio.Future[Any], Any, Exception | None]] = []
        self._connection.execute("begin immediate")
        for work, done in queue:
            result, error = self._attempt(work)
            results.append((done, result, error))
        self._connection.execute("commit")
        for done, result, error in results:
            if done.done():
                continue  # whoever asked is gone; the work is done all the same
            if error is None:
                done.set_result(result)
            else:
                done.set_exception(error)

    def _attempt(self, work: Work) -> tuple[Any, Exception | None]:
        self._connection.execute("savepoint request")
        try:
            return work(self), None
        except Exception as error:  # noqa: BLE001 - one request's failure is its own answer
            self._connection.execute("rollback to request")
            return None, error
        finally:
            self._connection.execute("release request")
