"""HTTP as delivery needs it: many requests at once, never a retry of its own, and errors that tell whether anything was sent.

httpx's interface over aiohttp's transport: httpx's own pool rescans every connection on each request, which costs most of the
throughput at 32 in flight.
"""

from collections.abc import Mapping

import aiohttp
import httpx
from aiohttp.client_middlewares import ClientHandlerType
from httpx_aiohttp import AiohttpTransport

__all__ = ["NETWORK_ERRORS", "make_client", "was_surely_not_sent"]

NETWORK_ERRORS = (httpx.HTTPError, aiohttp.ClientError, OSError, TimeoutError)
"""Everything that a request may raise instead of an answer."""

_IDLE_SECONDS = 4.0
"""Shorter than what servers grant (uvicorn 5, Apache 5), so that a request seldom meets a connection that was just closed."""

_NEVER_CONNECTED = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)


def make_client(
    base_url: str,
    *,
    headers: Mapping[str, str],
    max_in_flight: int,
    request_timeout: float,
    connect_timeout: float = 5.0,
) -> httpx.AsyncClient:
    """A client for one event loop; close it with ``aclose``. It follows no redirects and keeps no cookies.

    Args:
        base_url: where paths are joined to.
        headers: sent with each request.
        max_in_flight: how many connections it may open.
        request_timeout: seconds without a byte of the answer. connect_timeout: seconds until a connection must stand.
    """

    def session() -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=max_in_flight, keepalive_timeout=_IDLE_SECONDS, ssl=httpx.create_ssl_context()
        )
        return aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), middlewares=[_one_try_only]
        )

    return httpx.AsyncClient(
        base_url=base_url,
        headers=dict(headers),
        transport=AiohttpTransport(client=session),
        timeout=httpx.Timeout(request_timeout, connect=connect_timeout),
    )


def was_surely_not_sent(error: BaseException) -> bool:
    """Whether the connection never stood, so that the other side cannot have done anything.

    Only the transport's own error tells: httpx-aiohttp reports a connection that broke after sending as a ``ConnectTimeout`` too.
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
