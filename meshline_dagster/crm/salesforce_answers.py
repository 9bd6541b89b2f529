"""Read a Salesforce answer's status and body as one of our errors, or as none.

Source: REST API Developer Guide, "Status Codes and Error Responses"; the same codes as in recorded exchanges.
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

__all__ = [
    "EXCEEDED_ID_LIMIT",
    "INVALID_QUERY_LOCATOR",
    "INVALID_REPLICATION_DATE",
    "INVALID_SESSION_ID",
    "error_code",
    "error_of",
]

INVALID_SESSION_ID = "INVALID_SESSION_ID"
INVALID_QUERY_LOCATOR = "INVALID_QUERY_LOCATOR"
EXCEEDED_ID_LIMIT = "EXCEEDED_ID_LIMIT"
INVALID_REPLICATION_DATE = "INVALID_REPLICATION_DATE"

_SLOW_DOWN = frozenset({420, 429})
_TRANSIENT_CODES = frozenset({"QUERY_TIMEOUT", "SERVER_UNAVAILABLE", "UNABLE_TO_LOCK_ROW", "UNKNOWN_EXCEPTION"})
_EXCERPT = 300


def error_of(response: httpx.Response) -> MeshlineError | None:
    """The error that an answer stands for; None for a success.

    The error's ``context`` has Salesforce's ``code`` and the HTTP ``status``.
    """
    status = response.status_code
    if status < httpx.codes.BAD_REQUEST:
        return None
    code, words = _code_and_message(response)
    context: dict[str, Any] = {"status": status, "code": code}
    where = f"Salesforce, {response.request.method} {response.request.url.path}"
    if code == "REQUEST_LIMIT_EXCEEDED" and "concurrent" not in words.lower():
        return QuotaExhaustedError(
            f"{where}: {words} What was read is kept; the limit covers the last 24 hours, so poll again later",
            **context,
        )
    if status in _SLOW_DOWN or code == "REQUEST_LIMIT_EXCEEDED":
        return RateLimitedError(f"{where}: {words}", retry_after=_retry_after(response), **context)
    if status >= httpx.codes.INTERNAL_SERVER_ERROR or code in _TRANSIENT_CODES:
        return TransientError(f"{where}: {words}", **context)
    if status in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
        return AuthError(
            f"{where}: {words} Check the connected app's credentials and its user's permissions", **context
        )
    return SourceError(f"{where}: {words}", **context)


def error_code(error: MeshlineError) -> str:
    """Salesforce's own code for the error, or an empty text."""
    return str(error.context.get("code", ""))


def _code_and_message(response: httpx.Response) -> tuple[str, str]:
    """Data calls answer ``[{errorCode, message}]``, the token call ``{error, error_description}``."""
    with contextlib.suppress(ValueError, LookupError, TypeError, AttributeError):
        body = response.json()
        first = body[0] if isinstance(body, list) else body
        code = first.get("errorCode") or first.get("error") or ""
        words = first.get("message") or first.get("error_description") or ""
        return str(code), str(words)[:_EXCERPT]
    return "", f"HTTP {response.status_code}: {response.text[:_EXCERPT]}"


def _retry_after(response: httpx.Response) -> float | None:
    with contextlib.suppress(ValueError):
        return max(0.0, float(response.headers.get("retry-after", "")))
    return None
