"""Numbers, dates and times as a drop folder's files write them, turned into our notation or into values."""

import re
from collections.abc import Callable
from datetime import date, datetime
from typing import Any

from meshline_dagster.crm.filedrop_layout import FileLayout
from meshline_dagster.crm.protocol import FieldType

__all__ = ["plain"]

_NUMBER = re.compile(r"\d+(?:\.\d*)?|\.\d+")
_GROUP = 3


def plain(layout: FileLayout, value: Any, kind: FieldType) -> Any:
    """A file's value in a form that :func:`meshline_dagster.crm.columns.convert` takes; what is no text stays as it is.

    Raises:
        ValueError: the text is not written as the layout says.
    """
    if isinstance(value, datetime) and value.tzinfo is None:
        return value.replace(tzinfo=layout.time_zone)
    if not isinstance(value, str):
        return value
    text = value.strip()
    if kind is FieldType.BOOLEAN and text == layout.no_flag:
        return False
    if text in layout.nulls:
        return None
    parse = _PARSERS.get(kind)
    return parse(layout, text) if parse else value


def _number(layout: FileLayout, text: str) -> str:
    """``1.234,56-`` -> ``-1234.56``. Marks that stand where none can are no number."""
    negative = text.startswith("-") or text.endswith("-")
    digits = text[1:] if text[0] in "+-" else text.removesuffix("-")
    whole, mark, fraction = digits.partition(layout.decimal)
    if layout.thousands and layout.thousands in whole:
        first, *groups = whole.split(layout.thousands)
        if not 1 <= len(first) <= _GROUP or any(len(group) != _GROUP for group in groups):
            raise ValueError(f"{text!r} is no number: {layout.thousands!r} does not set thousands apart in it")
        whole = first + "".join(groups)
    number = whole + ("." if mark else "") + fraction
    if not _NUMBER.fullmatch(number):
        raise ValueError(f"{text!r} is no number with decimal mark {layout.decimal!r}")
    return f"-{number}" if negative else number


def _flag(_: FileLayout, text: str) -> str:
    """``X`` marks what is so, in SAP's files and in lists of people; anything else is for :func:`convert` to judge."""
    return "true" if text in {"X", "x"} else text


def _date(layout: FileLayout, text: str) -> date | str:
    return datetime.strptime(text, layout.date_format).date() if layout.date_format else text  # noqa: DTZ007 - a date


def _timestamp(layout: FileLayout, text: str) -> datetime:
    form = layout.timestamp_format
    stamp = datetime.strptime(text, form) if form else datetime.fromisoformat(text)  # noqa: DTZ007 - the zone is set next
    return stamp if stamp.tzinfo else stamp.replace(tzinfo=layout.time_zone)


_PARSERS: dict[FieldType, Callable[[FileLayout, str], Any]] = {
    FieldType.DECIMAL: _number,
    FieldType.INTEGER: _number,
    FieldType.BOOLEAN: _flag,
    FieldType.DATE: _date,
    FieldType.TIMESTAMP: _timestamp,
}
