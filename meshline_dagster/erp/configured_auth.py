"""How a configured ERP knows us: a header that stays, or tokens of an OAuth client (RFC 6749, 4.4)."""

import asyncio
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Protocol
from urllib.parse import urlencode

from pydantic import SecretStr

from meshline_dagster.core.errors import AuthError, MeshlineError, RateLimitedError, TransientError
from meshline_dagster.erp.configured_documents import decode
from meshline_dagster.erp.http import NETWORK_ERRORS, HttpClient, Response
from meshline_dagster.erp.rest_answers import retry_after

__all__ = ["Auth", "FixedHeader", "OAuthClient", "basic"]

_EARLY = 60.0
_UNSAID = 300.0
_OK = 200
_TOO_MANY = 429
_LATER = frozenset({408, 425})
_SAID_LATER = frozenset({"temporarily_unavailable", "server_error", "slow_down"})


class Auth(Protocol):
    """Headers that show who we are."""

    async def headers(self) -> Mapping[str, str]:
        """For the next request. Raises ``AuthError`` or ``TransientError``."""
        ...

    def refused(self) -> None:
        """The ERP did not take the last ones."""
        ...


class FixedHeader:
    """One header with a secret in it: a bearer token, an API key.

    Args:
        prefix: what stands before the secret, with its space.
    """

    def __init__(self, name: str, secret: SecretStr, prefix: str = "") -> None:
        self._name, self._secret, self._prefix = name, secret, prefix

    async def headers(self) -> Mapping[str, str]:
        """Always the same."""
        return {self._name: self._prefix + self._secret.get_secret_value()}

    def refused(self) -> None:
        """There is no other."""


def basic(user: str, password: SecretStr) -> FixedHeader:
    """User and password (RFC 7617)."""
    pair = b64encode(f"{user}:{password.get_secret_value()}".encode()).decode()
    return FixedHeader("Authorization", SecretStr(pair), "Basic ")


class OAuthClient:
    """Client credentials: a token is asked for when it is needed, and again a minute before it ends or when it was refused.

    Args:
        scope: what the token is for; empty says nothing about it.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        token_url: str,
        client_id: str,
        client_secret: SecretStr,
        scope: str = "",
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._token_url, self._client_id, self._client_secret, self._scope = token_url, client_id, client_secret, scope
        self._clock = clock
        self._token: SecretStr | None = None
        self._until = 0.0
        self._asking: tuple[asyncio.AbstractEventLoop, asyncio.Lock] | None = None

    async def headers(self) -> Mapping[str, str]:
        """A bearer token that is still good."""
        async with self._one_at_a_time():
            if self._token is None or self._clock() >= self._until:
                await self._ask()
            assert self._token is not None
            return {"Authorization": f"Bearer {self._token.get_secret_value()}"}

    def _one_at_a_time(self) -> asyncio.Lock:
        """A lock of this event loop: each delivery has a loop of its own."""
        loop = asyncio.get_running_loop()
        if self._asking is None or self._asking[0] is not loop:
            self._asking = (loop, asyncio.Lock())
        return self._asking[1]

    def refused(self) -> None:
        """Ask for another one next time."""
        self._token = None

    async def _ask(self) -> None:
        started = self._clock()
        form = {
            "grant_type": "client_credentials",
            "client_id": self._client_id,
            "client_secret": self._client_secret.get_secret_value(),
        }
        form |= {"scope": self._scope} if self._scope else {}
        response = await self._send(urlencode(form).encode())
        body = decode(response.content)
        if response.status_code != _OK or not isinstance(body, dict) or not isinstance(body.get("access_token"), str):
            word = body.get("error") if isinstance(body, dict) else None
            text = f"{self._token_url} gives no token (HTTP {response.status_code}, {word or 'no reason given'})"
            raise _no_token(response, text, word)
        self._token = SecretStr(body["access_token"])
        self._until = started + max(0.0, _seconds(body.get("expires_in")) - _EARLY)

    async def _send(self, content: bytes) -> Response:
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        client = HttpClient(self._token_url, headers=headers, max_in_flight=1, request_timeout=30.0)
        try:
            return await client.post("", content=content)
        except NETWORK_ERRORS as error:
            raise TransientError(f"{self._token_url} gave no answer: {type(error).__name__}: {error}") from error
        finally:
            await client.aclose()


def _no_token(response: Response, text: str, word: object) -> MeshlineError:
    """Wrong credentials only where the server says so; a busy or broken one is asked again later."""
    status = response.status_code
    if status == _TOO_MANY:
        return RateLimitedError(text, retry_after=retry_after(response))
    if status in range(400, 500) and status not in _LATER and str(word) not in _SAID_LATER:
        return AuthError(f"{text}; check token_url, and client id and secret in the environment")
    return TransientError(text)


def _seconds(told: object) -> float:
    """How long a token lasts; what is no number says nothing."""
    try:
        return float(told)  # type: ignore[arg-type]  # as foreign as it comes
    except (TypeError, ValueError):
        return _UNSAID
