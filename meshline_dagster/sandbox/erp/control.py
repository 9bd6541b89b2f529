"""The sandbox ERP's control paths: faults, counters, and the oracle that counts what the ERP really holds.

- ``POST /control/faults {"plan": [{fault, at?, probability?, seed?, times?, on?, path?, status?, retry_after?, seconds?}]}``
  replaces the plan; ``GET`` tells how often each rule struck; ``DELETE`` ends it
- ``GET /control/oracle``: documents per kind and status, external ids that more than one document carries, money per currency,
  writes per operation; ``GET /control/journal``: every write, oldest first
- ``POST /control/deliveries {external_id, lines: {number: quantity}}``: how much of a sales order's lines is delivered in all; of lines that
  it leaves out what was said before, else nothing
- ``GET /control/requests``: how many requests came, by method
"""

import json
from collections import Counter
from decimal import Decimal
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from meshline_dagster.core.money import to_text
from meshline_dagster.sandbox.erp.api import Erp
from meshline_dagster.sandbox.erp.bodies import Refused
from meshline_dagster.sandbox.erp.database import Database
from meshline_dagster.sandbox.erp.deliveries import deliver
from meshline_dagster.sandbox.erp.faults import FaultPlan

__all__ = ["control_routes"]


def control_routes() -> list[Route]:
    """The routes below ``/control``."""
    return [
        Route("/faults", _plan_faults, methods=["POST"]),
        Route("/faults", _read_faults),
        Route("/faults", _end_faults, methods=["DELETE"]),
        Route("/deliveries", _deliver, methods=["POST"]),
        Route("/oracle", _oracle),
        Route("/journal", _journal),
        Route("/requests", _requests),
    ]


def _erp(request: Request) -> Erp:
    erp: Erp = request.app.state.erp
    return erp


async def _plan_faults(request: Request) -> JSONResponse:
    try:
        plan = FaultPlan(json.loads(await request.body())["plan"])
    except (ValueError, TypeError, KeyError) as error:
        return JSONResponse({"error": f"no plan: {error}"}, 400)
    _erp(request).faults = plan
    return JSONResponse({"rules": len(plan.rules)})


async def _read_faults(request: Request) -> JSONResponse:
    rules = _erp(request).faults.rules
    return JSONResponse([{"fault": rule.fault.value, "struck": rule.struck} for rule in rules])


async def _end_faults(request: Request) -> JSONResponse:
    _erp(request).faults = FaultPlan()
    return JSONResponse({"rules": 0})


async def _deliver(request: Request) -> JSONResponse:
    try:
        told = json.loads(await request.body())
        lines = {str(number): to_text(Decimal(quantity)) for number, quantity in told["lines"].items()}
        shown = await _erp(request).database.submit(lambda database: deliver(database, told["external_id"], lines))
    except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError) as error:
        return JSONResponse({"error": f"no delivery: {error!r}"}, 400)
    except Refused as refused:
        return JSONResponse(refused.body, refused.status)
    return JSONResponse(shown)


async def _requests(request: Request) -> JSONResponse:
    counted = _erp(request).requests
    return JSONResponse({**counted, "total": sum(counted.values())})


async def _journal(request: Request) -> JSONResponse:
    return JSONResponse([dict(row) for row in _erp(request).database.rows("select * from journal order by seq")])


async def _oracle(request: Request) -> JSONResponse:
    return JSONResponse(_count(_erp(request).database))


def _count(database: Database) -> dict[str, Any]:
    per_kind = "select kind || ' ' || status as name, count(*) as n from document group by 1"
    twice = "select kind, external_id, count(*) as n from document group by 1, 2 having count(*) > 1"
    per_operation = "select kind || ' ' || operation as name, count(*) as n from journal group by 1"
    amounts: Counter[str] = Counter()
    sums: dict[str, Decimal] = {}
    for row in database.rows("select status, currency, amount from document where kind = 'sales_order'"):
        name = f"{row['currency']} {row['status']}"
        amounts[name] += 1
        sums[name] = sums.get(name, Decimal(0)) + Decimal(row["amount"])
    billed: dict[str, dict[str, Decimal]] = {}
    for row in database.rows("select kind, body from document where kind in ('invoice', 'credit_note')"):
        body = json.loads(row["body"])
        sums = billed.setdefault(body["order"], {"invoiced": Decimal(0), "credited": Decimal(0)})
        sums["invoiced" if row["kind"] == "invoice" else "credited"] += Decimal(body["amount"])
    return {
        "documents": {row["name"]: row["n"] for row in database.rows(per_kind)},
        "duplicates": [dict(row) for row in database.rows(twice)],
        "amounts": {name: to_text(amount) for name, amount in sums.items()},
        "orders": dict(amounts),
        "billed": {order: {name: to_text(sum_) for name, sum_ in sums.items()} for order, sums in billed.items()},
        "journal": {row["name"]: row["n"] for row in database.rows(per_operation)},
    }
