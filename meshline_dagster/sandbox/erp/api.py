"""The sandbox ERP's data paths under ``/v1``: company, items, customers, addresses, sales orders, invoices, credit notes, payments.

Every call is counted, may be struck by a planned fault, and needs the token.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from meshline_dagster.sandbox.erp.accounting import ACCOUNTING
from meshline_dagster.sandbox.erp.bodies import Refused
from meshline_dagster.sandbox.erp.database import Database, document
from meshline_dagster.sandbox.erp.faults import FaultKind, FaultPlan, Rule
from meshline_dagster.sandbox.erp.operations import Call, Operations
from meshline_dagster.sandbox.erp.pages import page
from meshline_dagster.sandbox.erp.reset import reset

__all__ = ["Erp", "Handler", "counted", "data_routes"]

_MOST_IDS = 1_000
_CHANGEABLE = {"customers": "customer", "sales-orders": "sales_order"}
_MADE = {**_CHANGEABLE, "addresses": "address", "items": "item", **ACCOUNTING}


@dataclass(slots=True)
class Erp:
    """One running sandbox ERP: its file, behaviour, token, faults, counters, and the access tokens that it gave out."""

    database: Database
    operations: Operations
    token: str
    company: str
    faults: FaultPlan = field(default_factory=FaultPlan)
    requests: dict[str, int] = field(default_factory=dict)
    late: set[asyncio.Task[Any]] = field(default_factory=set)
    access: set[str] = field(default_factory=set)


Handler = Callable[[Erp, Request], Awaitable[Response]]
"""Answers one request. It raises ``Refused`` where the answer is no."""


def data_routes() -> list[Route]:
    """The routes below ``/v1``."""
    routes = [Route("/company", _call(_company))]
    for path, kind in _MADE.items():
        one = f"/{path}/{{document_id}}"
        if kind in _CHANGEABLE.values():
            routes.append(Route(one, _call(_write("replace", kind)), methods=["PUT"]))
        routes += [
            Route(f"/{path}", _call(_write("create", kind)), methods=["POST"]),
            Route(f"/{path}/lookup", _call(_look_up(kind)), methods=["POST"]),
            Route(f"/{path}", _call(_list(kind))),
            Route(one, _call(_show(kind))),
        ]
    cancel = _call(_write("cancel", "sales_order"))
    return [*routes, Route("/sales-orders/{document_id}/cancel", cancel, methods=["POST"])]


def counted(handler: Handler) -> Callable[[Request], Awaitable[Any]]:
    """The handler behind the counter of requests and the planned faults."""

    async def call(request: Request) -> ASGIApp:
        erp: Erp = request.app.state.erp
        path: str = request.scope["path"]
        erp.requests[request.method] = erp.requests.get(request.method, 0) + 1
        rule = erp.faults.take(request.method, path)
        if rule is None:
            return await handler(erp, request)
        return await _struck(rule, handler, erp, request)

    return call


def _call(handler: Handler) -> Callable[[Request], Awaitable[Any]]:
    """What needs the token, and answers a refusal in this interface's words."""

    async def answer(erp: Erp, request: Request) -> Response:
        try:
            _check_token(erp, request)
            return await handler(erp, request)
        except Refused as refused:
            return JSONResponse(refused.body, refused.status)

    return counted(answer)


def _check_token(erp: Erp, request: Request) -> None:
    given = request.headers.get("authorization", "").removeprefix("Bearer ")
    if not secrets.compare_digest(given.encode(), erp.token.encode()):
        raise Refused(401, "unauthorized", "the token is missing or wrong")


async def _struck(rule: Rule, handler: Handler, erp: Erp, request: Request) -> ASGIApp:
    if rule.fault is FaultKind.REFUSE:
        headers = {} if rule.retry_after is None else {"Retry-After": str(rule.retry_after)}
        body = {"error": {"code": "planned_fault", "message": "not now", "field": None}}
        return JSONResponse(body, rule.status, headers=headers)
    if rule.fault is FaultKind.RESET_BEFORE:
        return reset
    if rule.fault is FaultKind.LATE_COMMIT:
        await request.body()
        task = asyncio.create_task(_later(rule.seconds, handler, erp, request))
        erp.late.add(task)
        task.add_done_callback(erp.late.discard)
        return reset
    answer = await handler(erp, request)
    if rule.fault is FaultKind.RESET_AFTER:
        return reset
    await asyncio.sleep(rule.seconds)
    return answer


async def _later(seconds: float, handler: Handler, erp: Erp, request: Request) -> None:
    await asyncio.sleep(seconds)
    await handler(erp, request)


async def _company(erp: Erp, _: Request) -> JSONResponse:
    return JSONResponse({"id": erp.company, "name": "Sandbox", "profile": erp.operations.profile.value})


def _write(operation: str, kind: str) -> Handler:
    async def handle(erp: Erp, request: Request) -> JSONResponse:
        call = Call(
            operation=operation,
            kind=kind,
            document_id=request.path_params.get("document_id"),
            key=request.headers.get("idempotency-key"),
            raw=await request.body(),
        )
        reply = await erp.database.submit(lambda database: erp.operations.run(database, call))
        headers = {"Idempotency-Replayed": "true"} if reply.replayed else None
        return JSONResponse(reply.body, reply.status, headers=headers)

    return handle


def _show(kind: str) -> Handler:
    async def handle(erp: Erp, request: Request) -> JSONResponse:
        document_id = request.path_params["document_id"]
        row = erp.database.by_id(kind, document_id)
        if row is None:
            raise Refused(404, "not_found", f"there is no {kind} {document_id}", field="id")
        return JSONResponse(document(row))

    return handle


def _look_up(kind: str) -> Handler:
    async def handle(erp: Erp, request: Request) -> JSONResponse:
        call = Call("lookup", kind, None, None, await request.body())
        return _found(erp, kind, call.body().get("external_ids"))

    return handle


def _found(erp: Erp, kind: str, external_ids: Any) -> JSONResponse:
    if not isinstance(external_ids, list) or len(external_ids) > _MOST_IDS:
        raise Refused(400, "bad_request", f"external_ids is a list of at most {_MOST_IDS}", field="external_ids")
    return JSONResponse({"documents": erp.database.of(kind, external_ids)})


def _list(kind: str) -> Handler:
    async def handle(erp: Erp, request: Request) -> JSONResponse:
        asked = request.query_params
        if "external_id" in asked:
            return _found(erp, kind, asked.getlist("external_id"))
        return JSONResponse(page(erp.database, kind, asked))

    return handle
