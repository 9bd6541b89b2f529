"""The sandbox's control calls: clock, records, links, archiving, merges, limits and faults. HubSpot has none of these.

Besides those that every sandbox CRM has (``/sandbox/clock``, ``faults``, ``requests``, ``ground-truth``):

- ``POST /sandbox/records {object, properties, id?, linked?}``: a new version at the clock; answers its id
- ``POST /sandbox/archive {object, id}``
- ``POST /sandbox/merge {object, kept, gone}``
- ``POST /sandbox/associate {object, id, linked}``: links without a change of the record
- ``POST /sandbox/limits {daily_requests?, used?}``
"""

from typing import Any

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from meshline_dagster.sandbox.crm.control import controlled, shared_routes
from meshline_dagster.sandbox.hubspot.state import HubSpotSandbox

__all__ = ["control_routes"]


def control_routes() -> list[Route]:
    """The routes below ``/sandbox``."""
    return [
        *shared_routes(),
        Route("/records", controlled(_upsert), methods=["POST"]),
        Route("/archive", controlled(_archive), methods=["POST"]),
        Route("/merge", controlled(_merge), methods=["POST"]),
        Route("/associate", controlled(_associate), methods=["POST"]),
        Route("/limits", controlled(_limits), methods=["POST"]),
    ]


def _upsert(sandbox: HubSpotSandbox, body: dict[str, Any]) -> Response:
    linked = body.get("linked") or ()
    version = sandbox.upsert(body["object"], body["properties"], one=body.get("id"), linked=linked)
    return JSONResponse({"id": version.id})


def _archive(sandbox: HubSpotSandbox, body: dict[str, Any]) -> Response:
    return JSONResponse({"id": sandbox.archive(body["object"], body["id"]).id})


def _merge(sandbox: HubSpotSandbox, body: dict[str, Any]) -> Response:
    return JSONResponse({"id": sandbox.merge(body["object"], body["kept"], body["gone"]).id})


def _associate(sandbox: HubSpotSandbox, body: dict[str, Any]) -> Response:
    sandbox.associate(body["object"], body["id"], body["linked"])
    return JSONResponse({"id": body["id"]})


def _limits(sandbox: HubSpotSandbox, body: dict[str, Any]) -> Response:
    sandbox.settings.daily_requests = int(body.get("daily_requests", sandbox.settings.daily_requests))
    sandbox.used_requests = int(body.get("used", sandbox.used_requests))
    return JSONResponse({"daily_requests": sandbox.settings.daily_requests, "used": sandbox.used_requests})
