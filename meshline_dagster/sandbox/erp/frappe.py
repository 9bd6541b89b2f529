"""The sandbox ERP behind an interface as ERPNext has it (Frappe's REST API): a shape that no writer of ours was made for.

- ``Authorization: token SECRET``; everything below ``/api/resource/DOCTYPE``, inside ``data``
- an order is created as a draft (``docstatus`` 0), counts once it is submitted (1), and is cancelled (2); a draft can be deleted
- lists show the named fields only, never lines; ``filters`` are JSON; pages are counted; instants have no time zone
- refusals are 417 with ``exc_type`` and ``exception``
"""

import json
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from meshline_dagster.core.money import to_text
from meshline_dagster.sandbox.erp.api import Erp, Handler, counted
from meshline_dagster.sandbox.erp.bodies import Refused
from meshline_dagster.sandbox.erp.database import document
from meshline_dagster.sandbox.erp.operations import Call

__all__ = ["frappe_routes"]

_ZONE = ZoneInfo("Asia/Kolkata")
_STAMP = "%Y-%m-%d %H:%M:%S.%f"
_KINDS = {"Customer": ("customer", "c"), "Sales Order": ("sales_order", "o")}
_OUTER = {"external_id": "meshline_id", "event_id": "meshline_event", "name": "customer_name", "currency": "currency"}
_OUTER |= {"order_number": "po_no", "order_date": "transaction_date"}
_WORDS = {
    "unknown_customer": ("LinkValidationError", "Could not find Customer: "),
    "exists": ("DuplicateEntryError", ""),
}
_WORDS |= {"unknown_item": ("LinkValidationError", "Could not find Row: Item Code: ")}
_DRAFT, _SUBMITTED, _CANCELLED = 0, 1, 2


def frappe_routes() -> list[Route]:
    """The routes of this interface."""
    one = "/api/resource/{doctype}/{name:path}"
    return [
        Route("/api/resource/Company/{name}", counted(_guarded(_company))),
        Route(one, counted(_guarded(_show))),
        Route(one, counted(_guarded(_update)), methods=["PUT"]),
        Route(one, counted(_guarded(_delete)), methods=["DELETE"]),
        Route("/api/resource/{doctype}", counted(_guarded(_create)), methods=["POST"]),
        Route("/api/resource/{doctype}", counted(_guarded(_list))),
    ]


def _guarded(handler: Handler) -> Handler:
    async def answer(erp: Erp, request: Request) -> Response:
        given = request.headers.get("authorization", "")
        if not secrets.compare_digest(given.encode(), f"token {erp.token}".encode()):
            return JSONResponse({"exc_type": "AuthenticationError"}, 401)
        try:
            return await handler(erp, request)
        except Refused as refused:
            error = refused.body["error"]
            name, words = _WORDS.get(error["code"], ("ValidationError", ""))
            text = f"frappe.exceptions.{name}: {words}{error['message']}"
            status = refused.status if refused.status in {404, 409} else 417
            return JSONResponse({"exc_type": name, "exception": text}, status)

    return answer


async def _company(erp: Erp, request: Request) -> Response:
    if request.path_params["name"] != erp.company:
        raise Refused(404, "not_found", f"Company {request.path_params['name']} not found")
    return JSONResponse({"data": {"name": erp.company, "default_currency": "EUR"}})


async def _create(erp: Erp, request: Request) -> Response:
    kind, _ = _kind(request)
    given = json.loads(await request.body(), parse_float=Decimal)
    if kind == "sales_order" and given.get("company") != erp.company:
        raise Refused(417, "invalid", f"Could not find Company: {given.get('company')}")
    return await _write(erp, "create", kind, None, {**_asked(erp, kind, given), "docstatus": _DRAFT})


async def _update(erp: Erp, request: Request) -> Response:
    """Submit, cancel, or change what is no order, or still a draft."""
    kind, have = _one(erp, request)
    given = json.loads(await request.body(), parse_float=Decimal)
    if kind == "customer":
        return await _write(erp, "replace", kind, have["id"], _asked(erp, kind, given))
    step = (_docstatus(have), given.get("docstatus"))
    if step == (_DRAFT, None):
        return await _write(erp, "replace", kind, have["id"], _asked(erp, kind, given) | {"docstatus": _DRAFT})
    if step == (_DRAFT, _SUBMITTED):
        kept = {key: value for key, value in have.items() if key not in {"id", "number", "updated_at"}}
        return await _write(erp, "replace", kind, have["id"], kept | {"docstatus": _SUBMITTED})
    if step == (_SUBMITTED, _CANCELLED):
        return await _write(erp, "cancel", kind, have["id"], {"event_id": given.get("meshline_event")})
    raise Refused(417, "invalid", "Cannot Update After Submit")


async def _delete(erp: Erp, request: Request) -> Response:
    kind, have = _one(erp, request)
    if kind != "sales_order" or _docstatus(have) != _DRAFT:
        raise Refused(417, "invalid", "Submitted Record cannot be deleted")
    await erp.database.submit(lambda database: database.remove(int(have["id"][1:])))
    return JSONResponse({"message": "ok"}, 202)


async def _write(erp: Erp, operation: str, kind: str, erp_id: str | None, body: Mapping[str, Any]) -> Response:
    call = Call(operation, kind, erp_id, None, orjson.dumps(body))
    reply = await erp.database.submit(lambda database: erp.operations.run(database, call))
    return _json(_shown(erp, kind, reply.body))


async def _show(erp: Erp, request: Request) -> Response:
    kind, have = _one(erp, request)
    return _json(_shown(erp, kind, have))


async def _list(erp: Erp, request: Request) -> Response:
    """The named fields of what fits all filters; without ``order_by`` the newest change comes first."""
    kind, _ = _kind(request)
    asked = request.query_params
    order, _, way = asked.get("order_by", "modified desc").partition(",")[0].partition(" ")
    rows = [document(row) for row in erp.database.rows("select * from document where kind = ? order by seq", [kind])]
    shown = sorted((_shown(erp, kind, row) for row in rows), key=lambda row: row[order], reverse=way == "desc")
    for field, operator, value in json.loads(asked.get("filters", "[]")):
        shown = [row for row in shown if _fits(row[field], operator, value)]
    start, length = int(asked.get("limit_start", "0")), int(asked.get("limit_page_length", "20"))
    names = json.loads(asked.get("fields", '["name"]'))
    return JSONResponse({"data": [{name: row[name] for name in names} for row in shown[start : start + length]]})


def _fits(value: Any, operator: str, wanted: Any) -> bool:
    if operator == "=":
        return bool(value == wanted)
    if operator == "in":
        return value in wanted
    if operator == ">=":
        return bool(value >= wanted)
    raise Refused(417, "invalid", f"Operator must be one of =, in, >=, not {operator}")


def _kind(request: Request) -> tuple[str, str]:
    try:
        return _KINDS[request.path_params["doctype"]]
    except KeyError as error:
        raise Refused(404, "not_found", f"DocType {request.path_params['doctype']} not found") from error


def _one(erp: Erp, request: Request) -> tuple[str, dict[str, Any]]:
    kind, letter = _kind(request)
    row = erp.database.by_id(kind, f"{letter}{int('0' + request.path_params['name'].rsplit('-', 1)[-1])}")
    if row is None:
        raise Refused(404, "not_found", f"{request.path_params['doctype']} {request.path_params['name']} not found")
    return kind, document(row)


def _asked(erp: Erp, kind: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """What a body asks for, in the sandbox's own words."""
    body = {inner: given[outer] for inner, outer in _OUTER.items() if outer in given}
    if kind == "customer":
        return body
    customer = erp.database.by_id("customer", "c" + str(given.get("customer", "")).rsplit("-", 1)[-1])
    lines = [
        {
            "line": str(place),
            "sku": item["item_code"],
            "quantity": to_text(Decimal(item["qty"])),
            "unit_price": to_text(Decimal(item["rate"])),
        }
        for place, item in enumerate(given["items"], start=1)
    ]
    for line in lines:
        line["amount"] = to_text(Decimal(line["quantity"]) * Decimal(line["unit_price"]))
    total = sum((Decimal(line["amount"]) for line in lines), Decimal(0))
    name = customer["external_id"] if customer else str(given.get("customer"))
    return body | {"customer": name, "lines": lines, "amount": to_text(total)}


def _docstatus(row: Mapping[str, Any]) -> int:
    return _CANCELLED if row["status"] == "cancelled" else int(row.get("docstatus", _DRAFT))


def _shown(erp: Erp, kind: str, row: Mapping[str, Any]) -> dict[str, Any]:
    shown = {outer: row.get(inner) for inner, outer in _OUTER.items() if inner in row}
    moment = datetime.fromisoformat(row["updated_at"]).astimezone(UTC)
    shown |= {"name": _name(kind, row["id"]), "modified": moment.astimezone(_ZONE).strftime(_STAMP)}
    if kind == "customer":
        return shown
    [customer] = erp.database.of("customer", [row["customer"]])[:1]
    shown |= {"docstatus": _docstatus(row), "company": erp.company, "customer": _name("customer", customer["id"])}
    shown["net_total"] = orjson.Fragment(row["amount"])
    shown["items"] = [
        {"item_code": line["sku"]}
        | {
            outer: orjson.Fragment(line[inner])
            for inner, outer in (("quantity", "qty"), ("unit_price", "rate"), ("amount", "net_amount"))
        }
        for line in row["lines"]
    ]
    return shown


def _name(kind: str, erp_id: str) -> str:
    return f"CUST/2017 & Co-{erp_id[1:]}" if kind == "customer" else f"SAL-ORD-2017-{erp_id[1:]}"


def _json(shown: Mapping[str, Any]) -> Response:
    return Response(orjson.dumps({"data": shown}), 200, media_type="application/json")
