"""HTTP as delivery needs it: many requests at once, never a retry of its own, and errors that tell whether anything was sent.

Over aiohttp's connections: httpx's own pool rescans every connection on each request, which costs most of the throughput at 32 in
flight.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import aiohttp
import httpx
from aiohttp.client_middlewares import ClientHandlerType
from yarl import URL

__all__ = ["NETWORK_ERRORS", "HttpClient", "Response", "was_surely_not_sent"]

NETWORK_ERRORS = (httpx.HTTPError, aiohttp.ClientError, OSError, TimeoutError)
"""Everything that a request may raise instead of an answer."""

_IDLE_SECONDS = 4.0
"""Shorter than what servers grant (uvicorn 5, Apache 5), so that a request seldom meets a connection that was just closed."""

_NEVER_CONNECTED = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer, under httpx's names; building ``httpx.Response`` itself takes a tenth of a post's processor time.

    Attributes:
        headers: looked up whatever their case.
        content: the body, decompressed.
    """

    status_code: int
    reason_phrase: str
    headers: Mapping[str, str]
    content: bytes


class HttpClient:
    """Requests in, whole answers out, over aiohttp's connections, for one event loop; close it with ``aclose``.

    It follows no redirects, keeps no cookies and retries nothing. Requests go to aiohttp as they are: ``httpx.AsyncClient`` and its
    request objects would more than double the processor time of a post, which is what bounds a delivery.

    Args:
        base_url: where paths are joined to.
        headers: sent with each request.
        max_in_flight: how many connections it may open.
        request_timeout: seconds without a byte of the answer. connect_timeout: seconds until a connection must stand.
    """

    def __init__(
        self,
        base_url: str,
        *,
        headers: Mapping[str, str],
        max_in_flight: int,
        request_timeout: float,
        connect_timeout: float = 5.0,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._connect_timeout = connect_timeout
        self._timeout = aiohttp.ClientTimeout(sock_connect=connect_timeout, sock_read=request_timeout)
        self._url = lru_cache(maxsize=256)(self._join)
        connector = aiohttp.TCPConnector(
            limit=max_in_flight,
            keepalive_timeout=_IDLE_SECONDS,
            ssl=httpx.create_ssl_context() if self._base_url.startswith("https:") else False,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            headers={"User-Agent": "meshline", **headers},
            cookie_jar=aiohttp.DummyCookieJar(),
            middlewares=[_one_try_only],
            timeout=self._timeout,
        )

    async def request(
        self,
        method: str,
        path: str,
        *,
        content: bytes | None = None,
        json: Any = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - bounds the silence of the other side, not the whole call
    ) -> Response:
        """One request and its whole answer. Raises one of :data:`NETWORK_ERRORS` instead of an answer."""
        limit = (
            self._timeout
            if timeout is None
            else aiohttp.ClientTimeout(sock_connect=self._connect_timeout, sock_read=timeout)
        )
        sent = self._session.request(
            method,
            self._url(path),
            data=content,
            json=json,
            params=params,
            headers=headers,
            timeout=limit,
            allow_redirects=False,
        )
        async with sent as response:
            body = await response.read()
        return Response(response.status, response.reason or "", response.headers, body)

    async def get(self, path: str, **sent: Any) -> Response:
        """See :meth:`request`."""
        return await self.request("GET", path, **sent)

    async def post(self, path: str, **sent: Any) -> Response:
        """See :meth:`request`."""
        return await self.request("POST", path, **sent)

    async def aclose(self) -> None:
        """Give all connections back."""
        await self._session.close()

    def _join(self, path: str) -> URL:
        return URL(self._base_url + path)


def was_surely_not_sent(error: BaseException) -> bool:
    """Whether the connection never stood, so that the other side cannot have done anything.

    Only these errors tell so: a connection that broke later may have carried the request.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, _NEVER_CONNECTED):
            return True
        cause = cause.__cause__
    return False


async def _one_try_only(request: aiohttp.ClientRequest, handler: ClientHandlerType) -> aiohttp.ClientResponse:
    """Keep aiohttp from sending PUT and GET again by itself when a kept connection broke: that is the engine's decision."""
    try:
        return await handler(request)
    except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
        if isinstance(error, _NEVER_CONNECTED):
            raise
        text = f"the connection broke before the answer: {error}"
        raise aiohttp.ClientPayloadError(text) from error
