"""The audit log: an append-only chain of hashes, written in the transaction of what it records.

An entry's hash is SHA-256 over the canonical JSON of its fields and of the hash before it, so that nobody can change, drop or
insert an entry without breaking every later one.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection, select, text

from meshline_dagster.core.identity import canonical_texts, sha256_hex
from meshline_dagster.store.bulk import insert_rows
from meshline_dagster.store.counters import current_value, next_values
from meshline_dagster.store.tables import audit_entry

__all__ = ["Entry", "append", "first_broken", "hold"]

_GENESIS = "0" * 64
_PAGE = 10_000
_HASH = text("SELECT hash FROM audit_entry WHERE seq = :seq")
_COLUMNS = ("seq", "at", "actor", "action", "subject", "detail", "previous_hash", "hash")


class Entry(NamedTuple):
    """One thing to record: who did what to what. ``detail`` is plain JSON without secrets."""

    actor: str
    action: str
    subject: str
    detail: dict[str, Any]


def append(connection: Connection, entries: Sequence[Entry], *, at: datetime) -> None:
    """Add entries at the end of the chain, in order."""
    if not entries:
        return
    numbers = next_values(connection, "audit", len(entries))
    previous = _hash_at(connection, numbers[0] - 1)
    rows, instant = [], _instant(at)
    for seq, entry in zip(numbers, entries, strict=True):
        detail = orjson.dumps(entry.detail, option=orjson.OPT_SORT_KEYS).decode()
        digest = _digest(seq, instant, entry.actor, entry.action, entry.subject, detail, previous)
        rows.append((seq, at, entry.actor, entry.action, entry.subject, detail, previous, digest))
        previous = digest
    insert_rows(connection, audit_entry, _COLUMNS, rows)


def hold(connection: Connection) -> None:
    """Let nobody else add an entry before the caller's transaction ends: taken first, it is the one lock that nobody can take in another order."""
    next_values(connection, "audit", 0)


def first_broken(connection: Connection) -> int | None:
    """The number of the first entry that does not fit its chain; None when the whole log holds.

    A log whose end was cut off is found too: the counter knows how many entries there were.
    """
    expected, previous = 1, _GENESIS
    for row in _rows(connection):
        digest = _digest(row.seq, _instant(row.at), row.actor, row.action, row.subject, row.detail, previous)
        if row.seq != expected or row.previous_hash != previous or row.hash != digest:
            return expected
        expected, previous = expected + 1, digest
    return expected if current_value(connection, "audit") >= expected else None


def _rows(connection: Connection) -> Iterable[Any]:
    last = 0
    while True:
        page = connection.execute(
            select(audit_entry).where(audit_entry.c.seq > last).order_by(audit_entry.c.seq).limit(_PAGE)
        ).all()
        if not page:
            return
        yield from page
        last = page[-1].seq


def _hash_at(connection: Connection, seq: int) -> str:
    if seq == 0:
        return _GENESIS
    digest: str = connection.execute(_HASH, {"seq": seq}).scalar_one()
    return digest


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def _digest(seq: int, instant: str, *fields: str) -> str:
    """Fields: actor, action, subject, detail, previous hash."""
    return sha256_hex(canonical_texts([seq, instant, *fields]))
