"""Pages of documents in the order of their last change.

A cursor is where the last page ended: stamp and sequence number. A document that changes while it is being paged comes again later.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from meshline_dagster.sandbox.erp.bodies import Refused
from meshline_dagster.sandbox.erp.database import Database, as_text, document

__all__ = ["page"]

_MOST = 1_000
_DEFAULT = 500


def page(database: Database, kind: str, asked: Mapping[str, str]) -> dict[str, Any]:
    """One page: ``{documents, next_cursor}``; the cursor is null on the last.

    Args:
        asked: ``updated_since`` (inclusive, ISO 8601), ``cursor``, ``limit``.
    """
    stamp, seq = _start(asked)
    limit = _limit(asked.get("limit"))
    sql = "select * from document where kind = ? and (updated_at, seq) > (?, ?) order by updated_at, seq limit ?"
    rows = database.rows(sql, [kind, stamp, seq, limit + 1])
    more = len(rows) > limit
    rows = rows[:limit]
    cursor = f"{rows[-1]['updated_at']}~{rows[-1]['seq']}" if more else None
    return {"documents": [document(row) for row in rows], "next_cursor": cursor}


def _start(asked: Mapping[str, str]) -> tuple[str, int]:
    cursor = asked.get("cursor")
    if cursor:
        stamp, _, seq = cursor.partition("~")
        if not seq.isdecimal():
            raise Refused(400, "bad_request", "the cursor is not one of ours", field="cursor")
        return stamp, int(seq)
    since = asked.get("updated_since")
    if not since:
        return "", 0
    try:
        moment = datetime.fromisoformat(since)
    except ValueError as error:
        raise Refused(400, "bad_request", f"{since} is no ISO 8601 instant", field="updated_since") from error
    if moment.tzinfo is None:
        raise Refused(400, "bad_request", f"{since} has no time zone; end it in Z for UTC", field="updated_since")
    return as_text(moment.astimezone(UTC)), 0


def _limit(text: str | None) -> int:
    if text is None:
        return _DEFAULT
    if not text.isdecimal() or not 1 <= int(text) <= _MOST:
        raise Refused(400, "bad_request", f"limit is 1 to {_MOST}", field="limit")
    return int(text)
