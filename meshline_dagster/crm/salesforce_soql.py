"""The SOQL that the Salesforce feed sends.

Stamps have at most millisecond resolution. Both ends of a window are rounded up to it, so a window asks for exactly the
stamps inside it and adjacent windows share nothing.

Source: SOQL and SOSL Reference, "Date Formats and Date Literals", "Quoted String Escape Sequences".
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from meshline_dagster.core.cursors import Window

__all__ = ["newest_query", "quoted", "tie_query", "time_literal", "window_query"]

_MILLISECOND = 1000


def time_literal(stamp: datetime) -> str:
    """A dateTime literal in UTC, rounded up to the millisecond: ``2026-05-01T07:25:37Z``."""
    rest = -stamp.microsecond % _MILLISECOND
    exact = stamp.astimezone(UTC) + timedelta(microseconds=rest)
    text = exact.replace(tzinfo=None).isoformat(timespec="milliseconds" if exact.microsecond else "seconds")
    return f"{text}Z"


def quoted(text: str) -> str:
    """A string literal."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\r", "\\r")
    return f"'{escaped}'"


def window_query(object_name: str, fields: Sequence[str], window: Window, *, after_start: bool = False) -> str:
    """All versions of the window in ``(stamp, id)`` order.

    Args:
        after_start: leave the start itself out, once a tie on it has been read by id.
    """
    sign = ">" if after_start else ">="
    return (
        f"SELECT {', '.join(fields)} FROM {object_name} "  # noqa: S608 - names come from describe
        f"WHERE SystemModstamp {sign} {time_literal(window.start)} AND SystemModstamp < {time_literal(window.end)} "
        "ORDER BY SystemModstamp, Id"
    )


def tie_query(object_name: str, fields: Sequence[str], stamp: datetime, after_id: str | None) -> str:
    """The rows of one stamp in id order, behind ``after_id``."""
    rest = f" AND Id > {quoted(after_id)}" if after_id else ""
    return (
        f"SELECT {', '.join(fields)} FROM {object_name} "  # noqa: S608 - names come from describe
        f"WHERE SystemModstamp = {time_literal(stamp)}{rest} ORDER BY Id"
    )


def newest_query(object_name: str, since: datetime | None) -> str:
    """How many rows lie at or after ``since``, and the newest stamp among them, in one answer."""
    where = f" WHERE SystemModstamp >= {time_literal(since)}" if since else ""
    return f"SELECT COUNT(Id) total, MAX(SystemModstamp) newest FROM {object_name}{where}"  # noqa: S608 - as above
