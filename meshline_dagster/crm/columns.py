"""The columns of a feed's Arrow tables, and how one value becomes one of them.

The conversions here are the careful ones: value by value, exact, with a reason when something does not fit. Bulk decoding
(`json_rows`) uses the engine's own and falls back to these to name the culprit.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Context, Decimal, Inexact, InvalidOperation
from typing import Any

import pyarrow as pa

from meshline_dagster.crm.protocol import FieldSpec, FieldType

__all__ = ["DECIMAL_DIGITS", "DECIMAL_SCALE", "META_COLUMNS", "arrow_type", "convert", "table_schema"]

DECIMAL_DIGITS = 38
DECIMAL_SCALE = 9

_STAMP = pa.timestamp("us", tz="UTC")
_TYPES: dict[FieldType, pa.DataType] = {
    FieldType.STRING: pa.string(),
    FieldType.BOOLEAN: pa.bool_(),
    FieldType.INTEGER: pa.int64(),
    FieldType.DECIMAL: pa.decimal128(DECIMAL_DIGITS, DECIMAL_SCALE),
    FieldType.DATE: pa.date32(),
    FieldType.TIMESTAMP: _STAMP,
}

META_COLUMNS: tuple[tuple[str, pa.DataType], ...] = (
    ("_id", pa.string()),
    ("_stamp", _STAMP),
    ("_deleted", pa.bool_()),
    ("_payload", pa.string()),
)
"""The columns that every table of every feed begins with."""

_EXACT = Context(prec=DECIMAL_DIGITS, rounding=ROUND_HALF_UP, traps=[InvalidOperation])
_QUANTUM = Decimal(1).scaleb(-DECIMAL_SCALE)
_BOOLEANS = {"true": True, "false": False, "1": True, "0": False}


def arrow_type(field_type: FieldType) -> pa.DataType:
    """The Arrow type of a landed column."""
    return _TYPES[field_type]


def table_schema(fields: Sequence[FieldSpec]) -> pa.Schema:
    """The schema of a feed's tables: the four meta columns, then one column for each field in the given order."""
    return pa.schema([*META_COLUMNS, *((spec.name, arrow_type(spec.type)) for spec in fields)])


def convert(value: Any, field_type: FieldType) -> Any:
    """Turn a JSON or text value into the Python value of a column; None stays None.

    Numbers must come as Decimal, int or text, never as float. Decimals beyond nine places are rounded
    half away from zero, as bulk decoding does.

    Raises:
        ValueError: the value does not fit; the message says why, and quotes it.
    """
    if value is None:
        return None
    try:
        return _CONVERTERS[field_type](value)
    except (ValueError, InvalidOperation) as error:
        raise ValueError(f"{str(value)[:80]!r} is no {field_type.value}") from error


def _string(value: Any) -> str:
    return value if isinstance(value, str) else str(value)


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text not in _BOOLEANS:
        raise ValueError(text)
    return _BOOLEANS[text]


def _decimal(value: Any) -> Decimal:
    if isinstance(value, (bool, float)):
        raise ValueError(value)  # noqa: TRY004 - callers treat every misfit alike
    exact = Decimal(value).quantize(_QUANTUM, context=_EXACT)
    if exact.is_nan():
        raise ValueError(value)
    return exact


def _integer(value: Any) -> int:
    if isinstance(value, (bool, float)):
        raise ValueError(value)  # noqa: TRY004 - callers treat every misfit alike
    exact = Decimal(value)
    try:
        return int(exact.to_integral_exact(context=Context(prec=DECIMAL_DIGITS, traps=[Inexact, InvalidOperation])))
    except Inexact as error:
        raise ValueError(value) from error


def _date(value: Any) -> date:
    if isinstance(value, datetime):
        raise ValueError(value)  # noqa: TRY004 - an instant has no date without a time zone
    return value if isinstance(value, date) else date.fromisoformat(value)


def _timestamp(value: Any) -> datetime:
    stamp = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    if stamp.tzinfo is None:
        raise ValueError(value)
    return stamp.astimezone(UTC)


_CONVERTERS = {
    FieldType.STRING: _string,
    FieldType.BOOLEAN: _boolean,
    FieldType.INTEGER: _integer,
    FieldType.DECIMAL: _decimal,
    FieldType.DATE: _date,
    FieldType.TIMESTAMP: _timestamp,
}
