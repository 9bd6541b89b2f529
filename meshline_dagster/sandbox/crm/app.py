"""The sandbox CRM's ASGI application: Salesforce's REST paths, and control paths under ``/sandbox``.

Every answer carries the sandbox clock in its Date header. Data calls need a token and count against the limit.
"""

from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from meshline_dagster.sandbox.crm.control import control_routes
from meshline_dagster.sandbox.crm.rest import data_routes, refusal
from meshline_dagster.sandbox.crm.state import CrmSandbox

__all__ = ["create_app"]

_DATA = "/services/data/"
_UNCOUNTED_SEGMENTS = 3


def create_app(sandbox: CrmSandbox) -> Starlette:
    """The application that serves ``sandbox``; it is also found at ``app.state.sandbox``."""
    app = Starlette(
        routes=[
            Route("/services/oauth2/token", _token, methods=["POST"]),
            Route("/services/data", _versions),
            Route("/services/data/", _versions),
            Mount("/services/data/{version}", routes=data_routes()),
            Mount("/sandbox", routes=control_routes()),
        ]
    )
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
        sandbox: CrmSandbox = request.app.state.sandbox

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                with sandbox.lock:
                    MutableHeaders(scope=message).update(_headers(sandbox, request.url.path))
            await send(message)

        with sandbox.lock:
            refused = _refused(sandbox, request)
        await (refused or self._app)(scope, receive, send_with_headers)


def _headers(sandbox: CrmSandbox, path: str) -> dict[str, str]:
    headers = {"Date": format_datetime(sandbox.clock.now(), usegmt=True)}
    if _counts(path):
        headers["Sforce-Limit-Info"] = f"api-usage={sandbox.used_requests}/{sandbox.settings.daily_requests}"
    return headers


def _counts(path: str) -> bool:
    return path.startswith(_DATA) and len(path.strip("/").split("/")) >= _UNCOUNTED_SEGMENTS


def _refused(sandbox: CrmSandbox, request: Request) -> Response | None:
    """What stands before every Salesforce call: planned faults, the token, the limit."""
    path = request.url.path
    if not path.startswith("/services/"):
        return None
    sandbox.requests.append(str(request.url.path) + (f"?{request.url.query}" if request.url.query else ""))
    fault = sandbox.take_fault(path)
    if fault is not None:
        return JSONResponse(fault.body, fault.status, headers=fault.headers)
    if not _counts(path):
        return None
    token = request.headers.get("authorization", "").removeprefix("Bearer ")
    if not sandbox.token_is_valid(token):
        return refusal(401, "INVALID_SESSION_ID", "Session expired or invalid")
    if sandbox.used_requests >= sandbox.settings.daily_requests:
        return refusal(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
    sandbox.used_requests += 1
    return None


async def _token(request: Request) -> Response:
    sandbox: CrmSandbox = request.app.state.sandbox
    form = _form(await request.body())
    settings = sandbox.settings
    if form.get("grant_type") != "client_credentials":
        return _oauth_error("unsupported_grant_type", "grant type not supported")
    if (form.get("client_id"), form.get("client_secret")) != (settings.client_id, settings.client_secret):
        return _oauth_error("invalid_client", "invalid client credentials")
    with sandbox.lock:
        token = sandbox.issue_token()
        issued = str(int(sandbox.clock.now().timestamp() * 1000))
    base = str(request.base_url).rstrip("/")
    body = {"access_token": token, "instance_url": base, "token_type": "Bearer", "issued_at": issued, "scope": "api"}
    return JSONResponse(body)


def _form(body: bytes) -> dict[str, str]:
    return dict(parse_qsl(body.decode("utf-8", errors="replace")))


def _oauth_error(code: str, words: str) -> Response:
    return JSONResponse({"error": code, "error_description": words}, 400)


async def _versions(_: Request) -> Response:
    versions: list[dict[str, Any]] = [
        {"label": f"Version {number}", "url": f"/services/data/v{number}.0", "version": f"{number}.0"}
        for number in range(58, 64)
    ]
    return JSONResponse(versions)
