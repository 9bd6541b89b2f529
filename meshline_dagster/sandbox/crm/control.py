"""The sandbox's control calls: its clock, records, tokens, locators, limit and faults. Salesforce has none of these.

- ``GET /sandbox/clock`` answers ``{now, running}``; ``POST`` takes ``{now}``, ``{advance_seconds}``, ``{mode: real|fixed}``
- ``POST /sandbox/records {object, record}``: a new version at the clock; answers the record
- ``POST /sandbox/delete {object, id, purge?}``: into the bin, or gone for good
- ``POST /sandbox/expire {tokens?, locators?}``: kills them now
- ``POST /sandbox/limits {daily_requests?, used?}``
- ``POST /sandbox/faults {path, status, body?, headers?, times?, skip?}``; ``DELETE`` forgets all
- ``GET /sandbox/requests``: the Salesforce calls received so far
- ``GET /sandbox/ground-truth``: what must come out
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from threading import Lock
from typing import Any, Protocol, TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from meshline_dagster.sandbox.crm.clock import SandboxClock
from meshline_dagster.sandbox.crm.records import Version
from meshline_dagster.sandbox.crm.state import CrmSandbox, Fault
from meshline_dagster.sandbox.crm.world import World

__all__ = ["control_routes", "controlled", "shared_routes"]


class _Sandbox(Protocol):
    """What the calls need that every sandbox CRM has."""

    clock: SandboxClock
    faults: list[Fault]
    requests: list[str]
    lock: Lock
    world: World


_S = TypeVar("_S", bound=_Sandbox)


def control_routes() -> list[Route]:
    """The routes below ``/sandbox``."""
    return [
        *shared_routes(),
        Route("/records", controlled(_upsert), methods=["POST"]),
        Route("/delete", controlled(_delete), methods=["POST"]),
        Route("/expire", controlled(_expire), methods=["POST"]),
        Route("/limits", controlled(_limits), methods=["POST"]),
    ]


def shared_routes() -> list[Route]:
    """Those that every sandbox CRM has: clock, faults, requests, ground truth."""
    return [
        Route("/clock", controlled(_read_clock)),
        Route("/clock", controlled(_set_clock), methods=["POST"]),
        Route("/faults", controlled(_fault), methods=["POST"]),
        Route("/faults", controlled(_forget_faults), methods=["DELETE"]),
        Route("/requests", controlled(_requests)),
        Route("/ground-truth", controlled(_ground_truth)),
    ]


def controlled(answer: Callable[[_S, dict[str, Any]], Response]) -> Callable[[Request], Any]:
    """Parse the body (numbers as Decimal), run the call under the lock, say what was wrong with it."""

    async def call(request: Request) -> Response:
        sandbox: _S = request.app.state.sandbox
        try:
            body = json.loads(await request.body() or b"{}", parse_float=Decimal)
            with sandbox.lock:
                return answer(sandbox, body)
        except KeyError as error:
            return JSONResponse({"error": f"missing or unknown: {error.args[0]}"}, 400)
        except (ValueError, TypeError) as error:
            return JSONResponse({"error": str(error)}, 400)

    return call


def _read_clock(sandbox: _Sandbox, _: dict[str, Any]) -> Response:
    return JSONResponse({"now": sandbox.clock.now().isoformat(), "running": sandbox.clock.running})


def _set_clock(sandbox: _Sandbox, body: dict[str, Any]) -> Response:
    clock = sandbox.clock
    if "now" in body:
        now = datetime.fromisoformat(body["now"])
        if now.tzinfo is None:
            raise ValueError(f"{body['now']} has no time zone; end it in Z for UTC")
        clock.set(now)
    if "advance_seconds" in body:
        clock.advance(float(body["advance_seconds"]))
    if "mode" in body:
        now = clock.now() if "now" in body or body["mode"] == "fixed" else datetime.now(UTC)
        clock.set(now, running={"real": True, "fixed": False}[body["mode"]])
    return _read_clock(sandbox, body)


def _upsert(sandbox: CrmSandbox, body: dict[str, Any]) -> Response:
    return _version(sandbox.upsert(body["object"], body["record"]))


def _delete(sandbox: CrmSandbox, body: dict[str, Any]) -> Response:
    return _version(sandbox.delete(body["object"], body["id"], purge=bool(body.get("purge", False))))


def _version(version: Version) -> Response:
    return Response("{" + ",".join(version.fragments.values()) + "}", media_type="application/json")


def _expire(sandbox: CrmSandbox, body: dict[str, Any]) -> Response:
    if body.get("tokens"):
        sandbox.tokens.clear()
    if body.get("locators"):
        sandbox.locators.clear()
    return JSONResponse({"expired": sorted(body)})


def _limits(sandbox: CrmSandbox, body: dict[str, Any]) -> Response:
    sandbox.settings.daily_requests = int(body.get("daily_requests", sandbox.settings.daily_requests))
    sandbox.used_requests = int(body.get("used", sandbox.used_requests))
    return JSONResponse({"daily_requests": sandbox.settings.daily_requests, "used": sandbox.used_requests})


def _fault(sandbox: _Sandbox, body: dict[str, Any]) -> Response:
    sandbox.faults.append(Fault(**body))
    return JSONResponse({"faults": len(sandbox.faults)})


def _forget_faults(sandbox: _Sandbox, _: dict[str, Any]) -> Response:
    sandbox.faults.clear()
    return JSONResponse({"faults": 0})


def _requests(sandbox: _Sandbox, _: dict[str, Any]) -> Response:
    return JSONResponse(sandbox.requests)


def _ground_truth(sandbox: _Sandbox, _: dict[str, Any]) -> Response:
    return JSONResponse({"world": sandbox.world.name, **sandbox.world.ground_truth})
