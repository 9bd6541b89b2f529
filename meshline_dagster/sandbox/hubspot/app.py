"""The sandbox portal's ASGI application: HubSpot's paths, and control paths under ``/sandbox``.

Every answer carries the sandbox clock in its Date header. Lists tell what is left of the rolling limit, searches do not.
"""

from email.utils import format_datetime

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from meshline_dagster.sandbox.hubspot.control import control_routes
from meshline_dagster.sandbox.hubspot.rest import data_routes, refusal
from meshline_dagster.sandbox.hubspot.state import HubSpotSandbox

__all__ = ["create_app"]

_CONTROL = "/sandbox/"


def create_app(sandbox: HubSpotSandbox) -> Starlette:
    """The application that serves ``sandbox``; it is also found at ``app.state.sandbox``."""
    app = Starlette(routes=[*data_routes(), Mount("/sandbox", routes=control_routes())])
    app.state.sandbox = sandbox
    app.add_middleware(_Gate)
    return app


class _Gate:
    """Stands before every call; puts clock and limit into every answer's headers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        sandbox: HubSpotSandbox = request.app.state.sandbox

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                with sandbox.lock:
                    MutableHeaders(scope=message).update(_headers(sandbox, request.url.path))
            await send(message)

        with sandbox.lock:
            refused = _refused(sandbox, request)
        await (refused or self._app)(scope, receive, send_with_headers)


def _headers(sandbox: HubSpotSandbox, path: str) -> dict[str, str]:
    headers = {"Date": format_datetime(sandbox.clock.now(), usegmt=True)}
    limit = sandbox.settings.requests_per_interval
    if limit is not None and not path.endswith("/search"):
        headers["X-HubSpot-RateLimit-Max"] = str(limit)
        headers["X-HubSpot-RateLimit-Interval-Milliseconds"] = str(sandbox.settings.interval_milliseconds)
    return headers


def _refused(sandbox: HubSpotSandbox, request: Request) -> Response | None:
    """What stands before every call: planned faults, the token, the limits."""
    path = request.url.path
    if path.startswith(_CONTROL):
        return None
    sandbox.requests.append(f"{request.method} {path}" + (f"?{request.url.query}" if request.url.query else ""))
    fault = sandbox.take_fault(path)
    if fault is not None:
        return JSONResponse(fault.body, fault.status, headers=fault.headers)
    if request.headers.get("authorization") != f"Bearer {sandbox.settings.token}":
        return refusal(401, "INVALID_AUTHENTICATION", "Authentication credentials not found.")
    if sandbox.used_requests >= sandbox.settings.daily_requests:
        return refusal(429, "RATE_LIMITS", "You have reached your daily limit.", policyName="DAILY")
    if not sandbox.is_within_interval():
        words, policy = "You have reached your ten_secondly_rolling limit.", "TEN_SECONDLY_ROLLING"
        return refusal(429, "RATE_LIMITS", words, policyName=policy, errorType="RATE_LIMIT")
    sandbox.used_requests += 1
    return None
