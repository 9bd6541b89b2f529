"""Answer a parsed query from a table: which versions, in which order, or which totals.

Rows of one second come in no particular order unless the query asks for one, as in recorded answers: here in the order
of a checksum of their ids, so that a reader that counts on ids being sorted fails.
"""

import operator
import zlib
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from meshline_dagster.sandbox.crm.objects import ObjectDef
from meshline_dagster.sandbox.crm.records import RecordTable, Version, instant_text
from meshline_dagster.sandbox.crm.soql import And, Comparison, Condition, Literal, Or, Query

__all__ = ["InvalidFieldError", "aggregate", "canonical_fields", "select"]

_Test = Callable[[Version], bool]
_STAMP = "SystemModstamp"
_ORDERINGS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_CASE_SENSITIVE = frozenset({"id", "reference"})


class InvalidFieldError(Exception):
    """The query names a field that the object does not have, or compares it with a value of another type."""


def canonical_fields(definition: ObjectDef, names: Sequence[str]) -> list[str]:
    """The fields' own spelling; names are given in any case."""
    spelling = {name.lower(): name for name in definition.fields}
    missing = [name for name in names if name.lower() not in spelling]
    if missing:
        raise InvalidFieldError(
            f"No such column '{missing[0]}' on entity '{definition.name}'. If you are attempting to use a custom field, "
            "be sure to append the '__c' after the custom field name."
        )
    return [spelling[name.lower()] for name in names]


def select(query: Query, definition: ObjectDef, table: RecordTable, *, with_deleted: bool) -> list[Version]:
    """The matching versions, ordered and limited."""
    fields = canonical_fields(definition, [field for field, _ in query.order])
    order = list(zip(fields, (descending for _, descending in query.order), strict=True))
    found = [version for version in _candidates(query.where, definition, table) if with_deleted or not version.deleted]
    if not any(field == "Id" for field, _ in order):
        found.sort(key=lambda version: zlib.crc32(version.id.encode()))
    for field, descending in reversed(order):
        found.sort(key=lambda version, name=field: _sortable(version.values.get(name)), reverse=descending)  # type: ignore[misc]
    return found if query.limit is None else found[: query.limit]


def aggregate(query: Query, definition: ObjectDef, versions: list[Version]) -> dict[str, Any]:
    """The totals of one group that holds all versions."""
    totals: dict[str, Any] = {}
    for item in query.aggregates:
        field = canonical_fields(definition, [item.field or "Id"])[0]
        values = [value for version in versions if (value := version.values.get(field)) is not None]
        if item.function == "COUNT":
            totals[item.alias] = len(values)
        elif item.function == "SUM":
            totals[item.alias] = sum(values) if values else None
        else:
            totals[item.alias] = (min if item.function == "MIN" else max)(values, default=None)
    return totals


def _candidates(where: Condition | None, definition: ObjectDef, table: RecordTable) -> list[Version]:
    """Only the rows between the stamps that the condition allows, then those that meet the rest of it."""
    if where is None:
        return list(table.between(None, None))
    test = _compile(where, definition)
    ids = _ids(where)
    if ids is not None:
        rows: Iterable[Version] = (row for one in ids if (row := table.get(one)) is not None and not row.purged)
    else:
        rows = table.between(*_bounds(where))
    return [version for version in rows if test(version)]


def _conjuncts(where: Condition) -> tuple[Condition, ...]:
    return where.parts if isinstance(where, And) else (where,)


def _ids(where: Condition) -> list[str] | None:
    for part in _conjuncts(where):
        if isinstance(part, Comparison) and part.field.lower() == "id" and part.sign in {"=", "IN"}:
            return list(dict.fromkeys(str(value) for value in part.values))
    return None


def _bounds(where: Condition) -> tuple[int | None, int | None]:
    """Stamps (milliseconds, both included) outside of which the condition cannot hold."""
    low: int | None = None
    high: int | None = None
    for part in _conjuncts(where):
        if (
            isinstance(part, Comparison)
            and part.field.lower() == _STAMP.lower()
            and isinstance(part.values[0], datetime)
        ):
            stamp = _milliseconds(part.values[0])
            if part.sign in {"=", ">", ">="}:
                low = stamp if low is None else max(low, stamp)
            if part.sign in {"=", "<", "<="}:
                high = stamp if high is None else min(high, stamp)
    return low, high


def _milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _compile(condition: Condition, definition: ObjectDef) -> _Test:
    if isinstance(condition, Comparison):
        return _comparison(condition, definition)
    tests = [_compile(part, definition) for part in condition.parts]
    if isinstance(condition, Or):
        return lambda version: any(test(version) for test in tests)
    return lambda version: all(test(version) for test in tests)


def _comparison(condition: Comparison, definition: ObjectDef) -> _Test:
    name = canonical_fields(definition, [condition.field])[0]
    kind = definition.fields[name].type
    values = [_operand(value, name, kind) for value in condition.values]
    read = _reader(name, kind)
    sign, first = condition.sign, values[0]
    if sign in {"IN", "="}:
        return lambda version: read(version) in values
    if sign in {"NOT IN", "!="}:
        return lambda version: read(version) not in values
    holds = _ORDERINGS[sign]
    return lambda version: (value := read(version)) is not None and first is not None and holds(value, first)


def _reader(name: str, kind: str) -> Callable[[Version], Any]:
    if kind in _CASE_SENSITIVE or kind in {"boolean", "date", "datetime", "currency", "double", "percent"}:
        return lambda version: version.values.get(name)
    return lambda version: value.lower() if isinstance(value := version.values.get(name), str) else value


def _operand(value: Literal, name: str, kind: str) -> Any:
    """The literal in the form in which the field's values are kept; stamps are text that sorts as time does."""
    if value is None:
        return None
    accepted: dict[str, type] = {"boolean": bool, "date": date, "datetime": datetime}
    accepted |= dict.fromkeys(("currency", "double", "percent"), Decimal)
    wanted = accepted.get(kind, str)
    if type(value) is not wanted:
        raise InvalidFieldError(
            f"{name} is a {kind}: the filter value {value!r} does not fit; text is quoted, dates are not"
        )
    if isinstance(value, datetime):
        return instant_text(_milliseconds(value))
    if isinstance(value, date):
        return value.isoformat()
    return value.lower() if isinstance(value, str) and kind not in _CASE_SENSITIVE else value


def _sortable(value: Any) -> tuple[bool, Any]:
    """Nulls first, as Salesforce sorts."""
    return (value is not None, value)
