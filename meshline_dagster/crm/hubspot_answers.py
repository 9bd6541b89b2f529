"""Read a HubSpot answer's status and body as one of our errors, or as none.

Source: HubSpot API usage guidelines ("Rate limits"), error handling; bodies as users of its clients report them. A 429 names its policy,
and a delay only sometimes.
"""

import contextlib
from typing import Any

import httpx

from meshline_dagster.core.errors import (
    AuthError,
    MeshlineError,
    QuotaExhaustedError,
    RateLimitedError,
    SourceError,
    TransientError,
)

__all__ = ["error_of"]

_EXCERPT = 300
_DAILY = "DAILY"
_SECONDLY = 1.0
_INTERVAL = 10.0
_MIGRATING = 477  # the portal moves to another data centre; the answer says for how long


def error_of(response: httpx.Response) -> MeshlineError | None:
    """The error that an answer stands for; None for a success.

    The error's ``context`` has HubSpot's ``code`` (the policy of a limit, else the error's category) and the HTTP ``status``.
    """
    status = response.status_code
    if status < httpx.codes.BAD_REQUEST:
        return None
    code, words = _code_and_message(response)
    context: dict[str, Any] = {"status": status, "code": code}
    where = f"HubSpot, {response.request.method} {response.request.url.path}"
    if status == httpx.codes.TOO_MANY_REQUESTS and code == _DAILY:
        return QuotaExhaustedError(
            f"{where}: {words} What was read is kept; the limit covers a day, so poll again later", **context
        )
    if status in {httpx.codes.TOO_MANY_REQUESTS, _MIGRATING}:
        return RateLimitedError(f"{where}: {words}", retry_after=_delay(response, code), **context)
    if status >= httpx.codes.INTERNAL_SERVER_ERROR or status == httpx.codes.LOCKED:
        return TransientError(f"{where}: {words}", **context)
    if status in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
        return AuthError(f"{where}: {words} Check the private app's token and its scopes", **context)
    return SourceError(f"{where}: {words}", **context)


def _code_and_message(response: httpx.Response) -> tuple[str, str]:
    with contextlib.suppress(ValueError, AttributeError):
        body = response.json()
        code = body.get("policyName") or body.get("category") or body.get("errorType") or ""
        return str(code), str(body.get("message") or "")[:_EXCERPT]
    return "", f"HTTP {response.status_code}: {response.text[:_EXCERPT]}"


def _delay(response: httpx.Response, policy: str) -> float:
    """Seconds to wait: what the answer says, else the interval in its headers, else the one that the policy's name tells."""
    with contextlib.suppress(ValueError):
        return max(0.0, float(response.headers.get("retry-after", "")))
    if policy == "SECONDLY":
        return _SECONDLY
    with contextlib.suppress(ValueError):
        return max(0.0, float(response.headers.get("x-hubspot-ratelimit-interval-milliseconds", "")) / 1000)
    return _INTERVAL
