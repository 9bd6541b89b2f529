"""The sandbox ERP behind an OData interface, as Business Central and Dynamics have it: a shape that no writer of ours was made for.

- a token for client id and secret at ``/oauth/token``; everything else below ``/api/v2.0/companies(ID)``
- ids are GUIDs, and an order names its customer by it; numbers are JSON numbers; lines show with ``$expand``
- ``$filter`` knows ``FIELD eq 'TEXT' or ...`` and ``lastModifiedDateTime ge INSTANT``; pages follow at ``@odata.nextLink``
- a change needs ``If-Match`` with the document's ETag; refusals are ``{"error": {"code", "message", "target"}}``
"""

import json
import re
import secrets
from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlencode

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from meshline_dagster.core.money import to_text
from meshline_dagster.sandbox.erp.api import Erp, Handler, counted
from meshline_dagster.sandbox.erp.bodies import Refused
from meshline_dagster.sandbox.erp.database import document
from meshline_dagster.sandbox.erp.operations import Call
from meshline_dagster.sandbox.erp.pages import page

__all__ = ["odata_routes"]

_KINDS = {"customers": ("customer", "c"), "salesOrders": ("sales_order", "o")}
_OUTER = {"external_id": "externalDocumentNumber", "event_id": "meshlineEventId", "order_number": "yourReference"}
_OUTER |= {"currency": "currencyCode", "order_date": "orderDate", "name": "displayName", "country": "country"}
_LINE = {"sku": "itemNumber", "quantity": "quantity", "unit_price": "unitPrice", "amount": "netAmount"}
_NUMBERS = frozenset({"quantity", "unit_price", "amount"})
_EQUAL = re.compile(r"externalDocumentNumber eq '((?:[^']|'')*)'")
_SINCE = re.compile(r"lastModifiedDateTime ge (\S+)")
_PAGE = 4
_CODES = {409: (400, "Internal_EntityWithSameKeyExists")}


def odata_routes() -> list[Route]:
    """The routes of this interface."""
    base = "/api/v2.0/companies({company})"
    return [
        Route("/oauth/token", counted(_token), methods=["POST"]),
        Route(base, counted(_guarded(_company))),
        Route(f"{base}/{{path}}({{guid}})", counted(_guarded(_show))),
        Route(f"{base}/{{path}}({{guid}})", counted(_guarded(_change)), methods=["PATCH"]),
        Route(f"{base}/{{path}}({{guid}})/Microsoft.NAV.cancel", counted(_guarded(_cancel)), methods=["POST"]),
        Route(f"{base}/{{path}}", counted(_guarded(_create)), methods=["POST"]),
        Route(f"{base}/{{path}}", counted(_guarded(_list))),
    ]


async def _token(erp: Erp, request: Request) -> Response:
    form = parse_qs((await request.body()).decode())
    if not secrets.compare_digest(form.get("client_secret", [""])[0].encode(), erp.token.encode()):
        return JSONResponse({"error": "invalid_client"}, 401)
    erp.access.add(token := secrets.token_urlsafe())
    return JSONResponse({"access_token": token, "token_type": "Bearer", "expires_in": 3600})


def _guarded(handler: Handler) -> Handler:
    async def answer(erp: Erp, request: Request) -> Response:
        try:
            _check(erp, request)
            return await handler(erp, request)
        except Refused as refused:
            error = refused.body["error"]
            status, code = _CODES.get(refused.status, (refused.status, error["code"]))
            shown = {"code": code, "message": error["message"], "target": error["field"]}
            return JSONResponse({"error": shown}, 400 if status == 422 else status)  # noqa: PLR2004 - OData refuses with 400

    return answer


def _check(erp: Erp, request: Request) -> None:
    if request.headers.get("authorization", "").removeprefix("Bearer ") not in erp.access:
        raise Refused(401, "Unauthorized", "the token is missing, wrong or over")
    if request.path_params["company"] != erp.company:
        raise Refused(404, "BadRequest_NotFound", "there is no such company")


async def _company(erp: Erp, _: Request) -> Response:
    return JSONResponse({"id": erp.company, "displayName": "Sandbox"})


async def _create(erp: Erp, request: Request) -> Response:
    kind, _ = _kind(request)
    return await _write(erp, "create", request, None, await _asked(erp, request, kind))


async def _change(erp: Erp, request: Request) -> Response:
    kind, erp_id = await _matching(erp, request)
    return await _write(erp, "replace", request, erp_id, await _asked(erp, request, kind))


async def _cancel(erp: Erp, request: Request) -> Response:
    _, erp_id = await _matching(erp, request)
    event_id = json.loads(await request.body() or b"{}").get("meshlineEventId")
    return await _write(erp, "cancel", request, erp_id, {"event_id": event_id})


async def _write(erp: Erp, operation: str, request: Request, erp_id: str | None, body: Mapping[str, Any]) -> Response:
    kind, _ = _kind(request)
    call = Call(operation, kind, erp_id, request.headers.get("idempotency-key"), orjson.dumps(body))
    reply = await erp.database.submit(lambda database: erp.operations.run(database, call))
    return _json(_shown(erp, kind, reply.body, lines=True), reply.status)


async def _show(erp: Erp, request: Request) -> Response:
    kind, row = _one(erp, request)
    lines = request.query_params.get("$expand") == "salesOrderLines"
    return _json(_shown(erp, kind, document(row), lines=lines), 200)


def _one(erp: Erp, request: Request) -> tuple[str, Any]:
    kind, letter = _kind(request)
    row = erp.database.by_id(kind, f"{letter}{int(request.path_params['guid'].rsplit('-', 1)[-1])}")
    if row is None:
        raise Refused(404, "BadRequest_NotFound", f"there is no {kind} {request.path_params['guid']}")
    return kind, row


async def _matching(erp: Erp, request: Request) -> tuple[str, str]:
    kind, row = _one(erp, request)
    given = request.headers.get("if-match")
    if given is None:
        raise Refused(428, "Request_PreconditionRequired", "a change needs If-Match")
    if given not in {"*", _etag(row["updated_at"])}:
        raise Refused(412, "Request_EntityChanged", "another user has already changed the record")
    return kind, document(row)["id"]


async def _list(erp: Erp, request: Request) -> Response:
    kind, _ = _kind(request)
    asked = request.query_params
    text = asked.get("$filter", "")
    names = [one.replace("''", "'") for one in _EQUAL.findall(text)]
    since = _SINCE.fullmatch(text)
    if (
        text
        and not since
        and " or ".join("externalDocumentNumber eq '" + one.replace("'", "''") + "'" for one in names) != text
    ):
        raise Refused(400, "BadRequest", f"the filter {text!r} is not understood")
    mark = asked.get("$skiptoken", "")
    if names:
        found, start = erp.database.of(kind, names), int(mark or 0)
        rows, mark = found[start : start + _PAGE], str(start + _PAGE) if len(found) > start + _PAGE else ""
    else:
        listed = page(
            erp.database, kind, {"limit": str(_PAGE), "updated_since": since[1] if since else "", "cursor": mark}
        )
        rows, mark = listed["documents"], listed["next_cursor"] or ""
    lines = asked.get("$expand") == "salesOrderLines"
    body: dict[str, Any] = {"value": [_shown(erp, kind, row, lines=lines) for row in rows]}
    if mark:
        kept = [(name, value) for name, value in asked.multi_items() if name != "$skiptoken"]
        body["@odata.nextLink"] = f"{request.url.replace(query='')}?{urlencode([*kept, ('$skiptoken', mark)])}"
    return _json(body, 200)


def _kind(request: Request) -> tuple[str, str]:
    try:
        return _KINDS[request.path_params["path"]]
    except KeyError as error:
        raise Refused(404, "BadRequest_NotFound", f"there is no {request.path_params['path']}") from error


async def _asked(erp: Erp, request: Request, kind: str) -> dict[str, Any]:
    """What a body asks for, in the sandbox's own words."""
    given = json.loads(await request.body(), parse_float=Decimal)
    body = {inner: given[outer] for inner, outer in _OUTER.items() if outer in given}
    if kind == "customer":
        return body
    lines = [
        {inner: _inner(inner, line.get(outer)) for inner, outer in _LINE.items()} for line in given["salesOrderLines"]
    ]
    for line in lines:
        line["amount"] = to_text(Decimal(line["quantity"]) * Decimal(line["unit_price"]))
    total = sum((Decimal(line["amount"]) for line in lines), Decimal(0))
    letter = "c" + str(int(str(given.get("customerId", "0")).rsplit("-", 1)[-1]))
    row = erp.database.by_id("customer", letter)
    return body | {"customer": row["external_id"] if row else "none", "lines": lines, "amount": to_text(total)}


def _inner(name: str, value: Any) -> Any:
    if name not in _NUMBERS or isinstance(value, str) or value is None:
        return "0" if value is None else value
    return to_text(Decimal(value))


def _shown(erp: Erp, kind: str, row: Mapping[str, Any], *, lines: bool) -> dict[str, Any]:
    shown = {outer: row.get(inner) for inner, outer in _OUTER.items() if inner in row}
    shown |= {"id": _guid(row["id"]), "number": row["number"], "@odata.etag": _etag(row["updated_at"])}
    shown["lastModifiedDateTime"] = row["updated_at"].removesuffix("Z") + "0Z"
    if kind == "customer":
        return shown
    [customer] = erp.database.of("customer", [row["customer"]])[:1]
    shown |= {"status": row["status"].capitalize(), "customerId": _guid(customer["id"])}
    shown["totalAmountExcludingTax"] = orjson.Fragment(row["amount"])
    if lines:
        shown["salesOrderLines"] = [
            {
                outer: orjson.Fragment(line[inner]) if inner in _NUMBERS else line[inner]
                for inner, outer in _LINE.items()
            }
            for line in row["lines"]
        ]
    return shown


def _guid(erp_id: str) -> str:
    return f"5bd0e5b8-1c7a-4d0e-9f00-{int(erp_id[1:]):012d}"


def _etag(stamp: str) -> str:
    return f'W/"{stamp}"'


def _json(body: Mapping[str, Any], status: int) -> Response:
    return Response(orjson.dumps(body), status, media_type="application/json")
