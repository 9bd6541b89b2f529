"""Answer a search: filters of text against typed properties, one order, pages up to the cap.

Without an order by id, rows come in the order of a checksum of their ids, so that a reader that counts on ids being sorted fails.
"""

import operator
import zlib
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from meshline_dagster.crm.hubspot_rows import instant_of
from meshline_dagster.sandbox.crm.records import Version
from meshline_dagster.sandbox.hubspot.objects import OBJECTS
from meshline_dagster.sandbox.hubspot.state import HubSpotSandbox

__all__ = ["InvalidSearchError", "search"]

_MOST_GROUPS, _MOST_FILTERS, _MOST_SORTS = 5, 6, 1
_DEFAULT_ROWS = 10
_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "EQ": operator.eq,
    "NEQ": operator.ne,
    "GT": operator.gt,
    "GTE": operator.ge,
    "LT": operator.lt,
    "LTE": operator.le,
}

_Test = Callable[[Version], bool]


class InvalidSearchError(Exception):
    """The search is one that HubSpot refuses."""


def search(sandbox: HubSpotSandbox, object_name: str, body: Mapping[str, Any]) -> tuple[int, list[Version], str | None]:
    """The total, the page's versions, and the cursor of the next page.

    Raises:
        InvalidSearchError: a limit is exceeded, or a filter cannot be read.
    """
    settings = sandbox.settings
    limit, after = int(body.get("limit") or _DEFAULT_ROWS), int(body.get("after") or 0)
    groups, sorts = body.get("filterGroups") or [], body.get("sorts") or []
    if not 0 < limit <= settings.search_rows:
        raise InvalidSearchError(f"limit {limit} is not allowed")
    if after + limit > settings.search_cap:
        raise InvalidSearchError("There was a problem with the request.")
    if len(groups) > _MOST_GROUPS or any(len(one["filters"]) > _MOST_FILTERS for one in groups):
        raise InvalidSearchError("too many filters")
    if len(sorts) > _MOST_SORTS:
        raise InvalidSearchError("a search has one order only")
    tests = [[_test(object_name, one) for one in group["filters"]] for group in groups]
    found = [
        version
        for version in sandbox.table(object_name).between(None, None)
        if not version.deleted and sandbox.is_indexed(version) and _meets(version, tests)
    ]
    found.sort(key=lambda version: zlib.crc32(version.id.encode()))
    for one in sorts:
        read = _reader(object_name, one["propertyName"])
        found.sort(
            key=lambda version: (read(version) is not None, read(version)),
            reverse=one.get("direction") == "DESCENDING",
        )
    page = found[after : after + limit]
    return len(found), page, str(after + limit) if after + limit < len(found) else None


def _meets(version: Version, tests: list[list[_Test]]) -> bool:
    return not tests or any(all(test(version) for test in group) for group in tests)


def _test(object_name: str, condition: Mapping[str, Any]) -> _Test:
    name, sign = condition["propertyName"], condition["operator"]
    read = _reader(object_name, name)
    if sign == "HAS_PROPERTY":
        return lambda version: read(version) is not None
    if sign not in _COMPARISONS:
        raise InvalidSearchError(f"operator {sign} is not known")
    kind = OBJECTS[object_name][name].type
    text = condition["value"]
    if kind == "datetime" and not str(text).isdigit():
        raise InvalidSearchError(f"{name}: {text} is no number of milliseconds")
    wanted, holds = _typed(kind, str(text)), _COMPARISONS[sign]
    return lambda version: (value := read(version)) is not None and holds(value, wanted)


def _reader(object_name: str, name: str) -> Callable[[Version], Any]:
    definition = OBJECTS[object_name].get(name)
    if definition is None:
        raise InvalidSearchError(f"Property {name} does not exist")
    kind = definition.type
    return lambda version: _typed(kind, text) if (text := version.values.get(name)) else None


def _typed(kind: str, text: str) -> Any:
    try:
        if kind == "number":
            return Decimal(text)
        return instant_of(text) if kind == "datetime" else text
    except (InvalidOperation, ValueError) as error:
        raise InvalidSearchError(f"{text} is no {kind}") from error
