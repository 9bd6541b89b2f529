"""One authenticated HTTP session with a Salesforce org: token, bounded retries, the daily limit.

The OAuth client-credentials flow gives tokens without a refresh token: an expired one (401 ``INVALID_SESSION_ID``) is
replaced once, and the request sent again.
"""

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Self

import httpx
from pydantic import SecretStr

from meshline_dagster.core.errors import AuthError, SourceError, TransientError
from meshline_dagster.crm.retry import RetryPolicy
from meshline_dagster.crm.salesforce_answers import INVALID_SESSION_ID, error_code, error_of

__all__ = ["ApiUsage", "RetryPolicy", "SalesforceSession"]

_USAGE = re.compile(r"api-usage=(\d+)/(\d+)")
_TOKEN_PATH = "/services/oauth2/token"  # noqa: S105 - a path
_VERSIONS_PATH = "/services/data"

_Send = Callable[[], httpx.Response]


@dataclass(frozen=True, slots=True)
class ApiUsage:
    """The org's API calls of the last 24 hours, from the header ``sforce-limit-info``."""

    used: int
    limit: int

    @property
    def remaining(self) -> int:
        """Calls that are left now."""
        return max(0, self.limit - self.used)


class SalesforceSession:
    """Requests to one org. Safe to share between feeds and threads; close it, or use it as a context manager.

    Args:
        base_url: the org's My Domain address, e.g. ``https://example.my.salesforce.com``.
        client_id: consumer key of the connected app.
        client_secret: consumer secret of the connected app.
        api_version: e.g. ``60.0``.
        transport: replaces the network, for tests.
        timeout: seconds that one request may take.
        retry: the bounds of repetition.
    """

    def __init__(
        self,
        *,
        base_url: str,
        client_id: SecretStr,
        client_secret: SecretStr,
        api_version: str = "60.0",
        transport: httpx.BaseTransport | None = None,
        timeout: float = 60.0,
        retry: RetryPolicy | None = None,
    ) -> None:
        self._client = httpx.Client(base_url=base_url, transport=transport, timeout=timeout)
        self._client_id = client_id
        self._client_secret = client_secret
        self._retry = retry or RetryPolicy()
        self._token: SecretStr | None = None
        self._lock = threading.Lock()
        self._usage: ApiUsage | None = None
        self.data_path = f"{_VERSIONS_PATH}/v{api_version.removeprefix('v')}"

    def __repr__(self) -> str:
        return f"SalesforceSession({str(self._client.base_url)!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give all connections back."""
        self._client.close()

    @property
    def usage(self) -> ApiUsage | None:
        """The daily limit as the last answer told it; None before the first."""
        return self._usage

    def now(self) -> datetime:
        """The org's present, from the Date header of a request that needs no token and counts against no limit."""
        header = self._repeated(lambda: self._client.get(_VERSIONS_PATH)).headers.get("date")
        if header is None:
            raise SourceError("Salesforce answered without a Date header: a window cannot be cut by the source's clock")
        try:
            present: datetime = parsedate_to_datetime(header)
            return present.astimezone(UTC)
        except ValueError as error:
            raise SourceError(f"Salesforce answered with an unreadable Date header: {header!r}") from error

    def get(self, path: str, params: Mapping[str, str] | None = None) -> httpx.Response:
        """Ask for ``path``: absolute from ``/services/``, or below the versioned data path.

        Raises:
            AuthError: refused, even after the token was replaced.
            QuotaExhaustedError: the org's daily limit is used up.
            RateLimitedError, TransientError: still failing after bounded repetition.
            SourceError: any other refusal; Salesforce's code is in ``context["code"]``.
        """
        full = path if path.startswith("/services/") else f"{self.data_path}/{path}"
        token = self._token or self._authorize(None)
        try:
            return self._repeated(lambda: self._send(full, params, token))
        except AuthError as error:
            if error_code(error) != INVALID_SESSION_ID:
                raise
        token = self._authorize(token)
        return self._repeated(lambda: self._send(full, params, token))

    def _send(self, path: str, params: Mapping[str, str] | None, token: SecretStr) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token.get_secret_value()}"}
        return self._client.get(path, params=params, headers=headers)

    def _authorize(self, refused: SecretStr | None) -> SecretStr:
        """A token other than ``refused``: another thread's new one, or one asked for now."""
        with self._lock:
            if self._token is not None and self._token is not refused:
                return self._token
            form = {
                "grant_type": "client_credentials",
                "client_id": self._client_id.get_secret_value(),
                "client_secret": self._client_secret.get_secret_value(),
            }
            try:
                response = self._repeated(lambda: self._client.post(_TOKEN_PATH, data=form))
                token = str(response.json()["access_token"])
            except SourceError as error:
                raise AuthError(f"no token for the connected app: {error}") from error
            except (ValueError, KeyError, TypeError) as error:
                raise AuthError("the token endpoint answered without an access_token; check the base URL") from error
            self._token = SecretStr(token)
            return self._token

    def _repeated(self, send: _Send) -> httpx.Response:
        """Send until it succeeds, fails for good, or the attempts are used up."""
        return self._retry.run(lambda: self._checked(send))

    def _checked(self, send: _Send) -> httpx.Response:
        try:
            response = send()
        except httpx.TransportError as error:
            raise TransientError(f"Salesforce did not answer ({type(error).__name__}: {error})") from error
        usage = _USAGE.search(response.headers.get("sforce-limit-info", ""))
        if usage:
            self._usage = ApiUsage(int(usage[1]), int(usage[2]))
        refusal = error_of(response)
        if refusal is not None:
            raise refusal
        return response
