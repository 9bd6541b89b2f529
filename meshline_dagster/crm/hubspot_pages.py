"""Ask HubSpot for records page by page: a whole list along its cursor, or a window of a search by id.

A search gives 10,000 rows at most, however it is paged, and as many may share one instant. So it is never paged: inside a fixed window the next
page begins behind the last id, and no answer has more than one page in front of the cap.

Source: HubSpot CRM API v3, "Search" and "Objects"; what connectors found of cap and order.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from meshline_dagster.core.cursors import Window
from meshline_dagster.core.errors import SourceError, TransientError
from meshline_dagster.crm.hubspot_rows import milliseconds
from meshline_dagster.crm.hubspot_session import HubSpotSession

__all__ = ["filters_of", "listed", "newest", "searched"]

_ID = "hs_object_id"
_LIST_ROWS = 100
_SEARCH_ROWS = 200

Filter = dict[str, str]


def filters_of(stamp: str, window: Window) -> list[Filter]:
    """The conditions of a window; instants in filters are milliseconds, as text."""
    return [
        {"propertyName": stamp, "operator": "GTE", "value": milliseconds(window.start)},
        {"propertyName": stamp, "operator": "LT", "value": milliseconds(window.end)},
    ]


def searched(
    session: HubSpotSession, object_name: str, properties: Sequence[str], filters: Sequence[Filter], *, rows: int | None
) -> Iterator[list[dict[str, Any]]]:
    """The pages of a search, by rising id.

    Args:
        rows: of a page; None for as many as HubSpot gives.

    Raises:
        TransientError: rows were promised and none came.
        SourceError: the answer is no page, or does not go on behind the id that it was asked for.
    """
    last, by_id = -1, {"propertyName": _ID, "direction": "ASCENDING"}
    while True:
        behind = [{"propertyName": _ID, "operator": "GT", "value": str(last)}] if last >= 0 else []
        body = _search(session, object_name, properties, [*filters, *behind], order=by_id, rows=rows or _SEARCH_ROWS)
        page, total = _page(object_name, body), _total(object_name, body)
        if total and not page:
            raise TransientError(f"{object_name}: {total} rows were promised and none came; read the window again")
        ids = [int(record["id"]) for record in page]
        if ids != sorted(set(ids)) or (ids and ids[0] <= last):
            raise SourceError(f"{object_name}: rows asked for by rising id behind {last} came in another order")
        if page:
            yield page
        if total <= len(page):
            return
        last = ids[-1]


def newest(session: HubSpotSession, object_name: str, stamp: str, filters: Sequence[Filter]) -> tuple[int, str]:
    """How many rows a search finds, and the latest stamp among them as HubSpot writes it."""
    latest = {"propertyName": stamp, "direction": "DESCENDING"}
    body = _search(session, object_name, [stamp], filters, order=latest, rows=1)
    page = _page(object_name, body)
    return _total(object_name, body), str(page[0]["properties"].get(stamp) or "") if page else ""


def listed(
    session: HubSpotSession, object_name: str, properties: Sequence[str], *, archived: bool, rows: int | None
) -> Iterator[list[dict[str, Any]]]:
    """The pages of all records that there are, or of all that are archived.

    Raises:
        SourceError: the answer is no page, or its cursor does not move.
    """
    params = {"limit": str(rows or _LIST_ROWS), "archived": "true" if archived else "false"}
    if properties:
        params["properties"] = ",".join(properties)
    after: str | None = None
    while True:
        body = session.get(f"/crm/v3/objects/{object_name}", params | ({"after": after} if after else {}))
        yield _page(object_name, body)
        following = ((body.get("paging") or {}).get("next") or {}).get("after")
        if following is None:
            return
        if following == after:
            raise SourceError(f"{object_name}: the list's cursor {after!r} leads back to itself")
        after = str(following)


def _search(
    session: HubSpotSession,
    object_name: str,
    properties: Sequence[str],
    filters: Sequence[Filter],
    *,
    order: Filter,
    rows: int,
) -> Any:
    body: dict[str, Any] = {"limit": rows, "properties": list(properties), "sorts": [order]}
    if filters:
        body["filterGroups"] = [{"filters": list(filters)}]
    return session.post(f"/crm/v3/objects/{object_name}/search", body)


def _page(object_name: str, body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The answer's records. One without any list of them must not be taken for "no rows"."""
    page = body.get("results")
    try:
        if not isinstance(page, list):
            raise TypeError(page)  # noqa: TRY301 - one complaint for all that is wrong with a page
        for record in page:
            int(record["id"])
            record["properties"].get("")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SourceError(f"{object_name}: the answer is no page of records: {str(body)[:200]}") from error
    return page


def _total(object_name: str, body: Mapping[str, Any]) -> int:
    total = body.get("total")
    if not isinstance(total, int):
        raise SourceError(f"{object_name}: a search does not say how many rows it found: {str(body)[:200]}")
    return total
