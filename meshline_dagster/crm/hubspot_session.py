"""One authenticated HTTP session with a HubSpot portal: a private app's token, bounded retries, the pace of searches.

Searches have a limit of their own, and their answers no header that tells what is left of it: they are spaced out here.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Self

import httpx
from pydantic import SecretStr

from meshline_dagster.core.errors import SourceError, TransientError
from meshline_dagster.crm.hubspot_answers import error_of
from meshline_dagster.crm.retry import RetryPolicy

__all__ = ["HubSpotAccount", "HubSpotSession"]

_ACCOUNT = "/account-info/v3/details"
_SEARCHES_PER_SECOND = 4.0  # of 5, which all apps of a portal share


@dataclass(frozen=True, slots=True)
class HubSpotAccount:
    """What rows need to know of the portal.

    Attributes:
        currency: its only currency; None where it has several, and a deal has to name its own.
        time_zone: in which people choose dates.
    """

    currency: str | None
    time_zone: str | None


class HubSpotSession:
    """Requests to one portal. Safe to share between feeds and threads; close it, or use it as a context manager.

    Args:
        token: a private app's access token.
        base_url: where the API is.
        transport: replaces the network, for tests.
        timeout: seconds that one request may take.
        retry: the bounds of repetition.
        searches_per_second: how fast searches may follow each other.
    """

    def __init__(
        self,
        *,
        token: SecretStr,
        base_url: str = "https://api.hubapi.com",
        transport: httpx.BaseTransport | None = None,
        timeout: float = 60.0,
        retry: RetryPolicy | None = None,
        searches_per_second: float = _SEARCHES_PER_SECOND,
    ) -> None:
        self._client = httpx.Client(base_url=base_url, transport=transport, timeout=timeout)
        self._token = token
        self._retry = retry or RetryPolicy()
        self._interval = 1.0 / searches_per_second
        self._next_search = 0.0
        self._lock = threading.Lock()
        self._present: datetime | None = None
        self._account: HubSpotAccount | None = None

    def __repr__(self) -> str:
        return f"HubSpotSession({str(self._client.base_url)!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give all connections back."""
        self._client.close()

    def now(self) -> datetime:
        """The portal's present, from the Date header of a request for its details; a whole second, UTC."""
        self._read_account()
        return self.answered_at

    @property
    def answered_at(self) -> datetime:
        """When the portal gave its last answer, by its own clock.

        Raises:
            SourceError: it has not said.
        """
        if self._present is None:
            raise SourceError("HubSpot answered without a Date header: a window cannot be cut by the source's clock")
        return self._present

    @property
    def account(self) -> HubSpotAccount:
        """The portal's details, asked for once."""
        return self._account or self._read_account()

    def get(self, path: str, params: Mapping[str, str] | None = None) -> Any:
        """The JSON that a path answers with, texts as they are.

        Raises:
            AuthError: the token is refused, or lacks a scope.
            QuotaExhaustedError: the portal's daily limit is used up.
            RateLimitedError, TransientError: still failing after bounded repetition.
            SourceError: any other refusal, or an answer that is no JSON object.
        """
        return self._sent(lambda: self._client.get(path, params=params, headers=self._headers()))

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """The same of a request with a body, which reads only. A search waits for its turn."""
        is_search = path.endswith("/search")

        def send() -> httpx.Response:
            if is_search:
                self._wait_for_turn()
            return self._client.post(path, json=dict(body), headers=self._headers())

        return self._sent(send)

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token.get_secret_value()}"}

    def _read_account(self) -> HubSpotAccount:
        body = self.get(_ACCOUNT)
        currency, others = body.get("companyCurrency"), body.get("additionalCurrencies")
        self._account = HubSpotAccount(None if others else currency, body.get("timeZone"))
        return self._account

    def _wait_for_turn(self) -> None:
        with self._lock:
            now = time.monotonic()
            turn = max(now, self._next_search)
            self._next_search = turn + self._interval
        time.sleep(turn - now)

    def _sent(self, send: Callable[[], httpx.Response]) -> Any:
        response = self._retry.run(lambda: self._checked(send))
        try:
            body = response.json()
        except ValueError as error:
            raise SourceError(f"HubSpot answered no JSON: {response.text[:200]!r}") from error
        if not isinstance(body, dict):
            raise SourceError(f"HubSpot answered no JSON object: {response.text[:200]!r}")
        return body

    def _checked(self, send: Callable[[], httpx.Response]) -> httpx.Response:
        try:
            response = send()
        except httpx.TransportError as error:
            raise TransientError(f"HubSpot did not answer ({type(error).__name__}: {error})") from error
        header = response.headers.get("date")
        if header is not None:
            try:
                self._present = parsedate_to_datetime(header).astimezone(UTC)
            except ValueError as error:
                raise SourceError(f"HubSpot answered with an unreadable Date header: {header!r}") from error
        refusal = error_of(response)
        if refusal is not None:
            raise refusal
        return response
