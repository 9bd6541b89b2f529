"""The data calls of the sandbox CRM: query, queryAll, locators, describe, deletes, limits, one record."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from meshline_dagster.sandbox.crm.objects import OBJECTS
from meshline_dagster.sandbox.crm.query import InvalidFieldError, aggregate, canonical_fields, select
from meshline_dagster.sandbox.crm.records import Version, instant_text
from meshline_dagster.sandbox.crm.soql import MalformedQueryError, Query, parse
from meshline_dagster.sandbox.crm.state import CrmSandbox, Locator

__all__ = ["data_routes", "refusal"]

_MINUTE = 60_000


def refusal(status: int, code: str, words: str) -> Response:
    """An error as Salesforce words it."""
    return JSONResponse([{"message": words, "errorCode": code}], status)


def data_routes() -> list[Route]:
    """The routes below ``/services/data/vXX.0``."""
    return [
        Route("/query", _locked(_query)),
        Route("/queryAll", _locked(_query_all)),
        Route("/query/{locator}", _locked(_more)),
        Route("/limits", _locked(_limits)),
        Route("/sobjects/{object}/describe", _locked(_describe)),
        Route("/sobjects/{object}/deleted", _locked(_deleted)),
        Route("/sobjects/{object}/deleted/", _locked(_deleted)),
        Route("/sobjects/{object}/{id}", _locked(_record)),
    ]


def _locked(answer: Callable[[CrmSandbox, Request], Response]) -> Callable[[Request], Any]:
    """Run a call under the sandbox's lock, with Salesforce's words for what it cannot do."""

    async def call(request: Request) -> Response:
        sandbox: CrmSandbox = request.app.state.sandbox
        named = request.path_params.get("object")
        if named is not None and named not in OBJECTS:
            return refusal(404, "NOT_FOUND", "The requested resource does not exist")
        with sandbox.lock:
            try:
                return answer(sandbox, request)
            except MalformedQueryError as error:
                return refusal(400, "MALFORMED_QUERY", str(error))
            except InvalidFieldError as error:
                return refusal(400, "INVALID_FIELD", str(error))

    return call


def _query(sandbox: CrmSandbox, request: Request) -> Response:
    return _answer(sandbox, request, with_deleted=False)


def _query_all(sandbox: CrmSandbox, request: Request) -> Response:
    return _answer(sandbox, request, with_deleted=True)


def _answer(sandbox: CrmSandbox, request: Request, *, with_deleted: bool) -> Response:
    query = parse(request.query_params.get("q", ""))
    definition = next((item for item in OBJECTS.values() if item.name.lower() == query.object_name.lower()), None)
    if definition is None:
        return refusal(400, "INVALID_TYPE", f"sObject type '{query.object_name}' is not supported.")
    fields = canonical_fields(definition, query.fields)
    hidden = set(fields) - set(sandbox.readable_fields(definition.name))
    if hidden:
        raise InvalidFieldError(f"No such column '{min(hidden)}' on entity '{definition.name}'.")
    found = select(query, definition, sandbox.table(definition.name), with_deleted=with_deleted)
    if query.aggregates:
        return _totals(query, aggregate(query, definition, found), len(found))
    return _page(sandbox, request, Locator(found, definition.name, fields, sandbox.clock.now()), 0)


def _totals(query: Query, totals: dict[str, Any], count: int) -> Response:
    if [(item.function, item.field) for item in query.aggregates] == [("COUNT", None)]:
        return JSONResponse({"totalSize": count, "done": True, "records": []})
    values = {
        name: str(value) if not isinstance(value, (int, str, type(None))) else value for name, value in totals.items()
    }
    record = {"attributes": {"type": "AggregateResult"}, **values}
    return JSONResponse({"totalSize": 1, "done": True, "records": [record]})


def _more(sandbox: CrmSandbox, request: Request) -> Response:
    name, _, start = request.path_params["locator"].rpartition("-")
    locator = sandbox.locator(name)
    if locator is None or not start.isdigit():
        return refusal(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
    locator.pages_given += 1
    return _page(sandbox, request, locator, int(start), name)


def _page(sandbox: CrmSandbox, request: Request, locator: Locator, start: int, name: str = "") -> Response:
    """One page, compact as Salesforce sends it, the digits of numbers as they are kept."""
    end = start + sandbox.settings.page_size
    root = f"/services/data/{request.path_params['version']}"
    head = f'"totalSize":{len(locator.rows)},"done":{"true" if end >= len(locator.rows) else "false"}'
    if end < len(locator.rows):
        if not name:
            name = sandbox.next_name("0r8")
            sandbox.locators[name] = locator
        head += f',"nextRecordsUrl":"{root}/query/{name}-{end}"'
    rows = ",".join(_record_text(row, locator.object_name, locator.fields, root) for row in locator.rows[start:end])
    return Response(f'{{{head},"records":[{rows}]}}', media_type="application/json;charset=UTF-8")


def _record_text(row: Version, object_name: str, fields: list[str], root: str) -> str:
    values = ",".join([row.fragments[name] for name in fields])
    return f'{{"attributes":{{"type":"{object_name}","url":"{root}/sobjects/{object_name}/{row.id}"}},{values}}}'


def _record(sandbox: CrmSandbox, request: Request) -> Response:
    name, one = request.path_params["object"], request.path_params["id"]
    row = sandbox.table(name).get(one)
    if row is None or row.deleted:
        return refusal(404, "NOT_FOUND", "The requested resource does not exist")
    root = f"/services/data/{request.path_params['version']}"
    return Response(_record_text(row, name, sandbox.readable_fields(name), root), media_type="application/json")


def _describe(sandbox: CrmSandbox, request: Request) -> Response:
    definition = OBJECTS[request.path_params["object"]]
    fields = [definition.fields[name].as_json() for name in sandbox.readable_fields(definition.name)]
    body = {"name": definition.name, "label": definition.name, "keyPrefix": definition.prefix, "custom": False}
    return JSONResponse(body | {"queryable": True, "replicateable": True, "fields": fields})


def _limits(sandbox: CrmSandbox, _: Request) -> Response:
    allowed = sandbox.settings.daily_requests
    return JSONResponse({"DailyApiRequests": {"Max": allowed, "Remaining": max(0, allowed - sandbox.used_requests)}})


def _deleted(sandbox: CrmSandbox, request: Request) -> Response:
    """Deletes between two minutes; seconds are ignored, as the real call does."""
    try:
        start, end = (_minute(request.query_params[name]) for name in ("start", "end"))
    except (KeyError, ValueError):
        return refusal(400, "MALFORMED_ID", "start and end are required, as ISO 8601 date and time with a time zone")
    now = int(sandbox.clock.now().timestamp() * 1000)
    earliest = (now - int(sandbox.settings.deletes_kept.total_seconds() * 1000)) // _MINUTE * _MINUTE
    if start < earliest:
        return refusal(400, "INVALID_REPLICATION_DATE", "startDate before org. replication enabled date")
    if end - start < _MINUTE:
        words = "endDate must be at least one minute greater than startDate"
        return refusal(HTTPStatus.BAD_REQUEST, "INVALID_REPLICATION_DATE", words)
    covered = min(end, now // _MINUTE * _MINUTE)
    rows = sandbox.table(request.path_params["object"]).deletes(start, covered)
    body = {
        "deletedRecords": [{"deletedDate": instant_text(row.stamp), "id": row.id} for row in rows],
        "earliestDateAvailable": instant_text(earliest),
        "latestDateCovered": instant_text(covered),
    }
    return Response(json.dumps(body), media_type="application/json")


def _minute(text: str) -> int:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(text)
    return int(moment.astimezone(UTC).timestamp()) * 1000 // _MINUTE * _MINUTE
