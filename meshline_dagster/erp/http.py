"""HTTP as delivery needs it: many requests at once, never a retry of its own, and errors that tell whether anything was sent.

Over reqwest, whose connections live in a thread that does not hold Python's lock: a post costs a third of the processor time that it costs
over aiohttp, and answers do not wait for each other (`docs/decisions/0010-requests-go-over-reqwest.md`).
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

import orjson
from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import DetailedPyreqwestError, PyreqwestError

__all__ = ["NETWORK_ERRORS", "HttpClient", "NoAnswerError", "Response", "was_surely_not_sent"]


class NoAnswerError(Exception):
    """A request got no whole answer.

    Attributes:
        is_surely_unsent: the connection never stood, so that the other side cannot have done anything.
    """

    def __init__(self, text: str, *, is_surely_unsent: bool) -> None:
        super().__init__(text)
        self.is_surely_unsent = is_surely_unsent


NETWORK_ERRORS = (NoAnswerError, OSError, TimeoutError)
"""Everything that a request may raise instead of an answer."""

_IDLE = timedelta(seconds=4)
"""Shorter than what servers grant (uvicorn 5, Apache 5), so that a request seldom meets a connection that was just closed."""

_NO_CONNECTION = "client error (Connect)"
"""How reqwest says that there was no connection to send anything over. The library's own classes do not tell: its ``ConnectError`` is also
a connection that broke after the request was sent.
"""


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer.

    Attributes:
        headers: looked up whatever their case.
        content: the body, decompressed.
    """

    status_code: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def reason_phrase(self) -> str:
        """What the status means, in words; empty where it is none that HTTP knows."""
        return HTTPStatus(self.status_code).phrase if self.status_code in _STATUSES else ""


_STATUSES = frozenset(HTTPStatus)


class HttpClient:
    """Requests in, whole answers out, for one event loop; close it with ``aclose``.

    It follows no redirects, keeps no cookies, knows no proxies and retries nothing that was sent.

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
        self._headers = dict(headers)
        builder = (
            ClientBuilder()
            .user_agent("meshline")
            .http1_only()
            .no_proxy()
            .follow_redirects(False)
            .max_connections(max_in_flight)
            .pool_idle_timeout(_IDLE)
            .connect_timeout(timedelta(seconds=connect_timeout))
            .read_timeout(timedelta(seconds=request_timeout))
        )
        if own := os.environ.get("SSL_CERT_FILE"):
            builder = builder.add_root_certificate_pem(Path(own).read_bytes())
        self._client: Client = builder.build()

    async def request(
        self,
        method: str,
        path: str,
        *,
        content: bytes | None = None,
        json: Any = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - the client's, which tells what was sent
    ) -> Response:
        """One request and its whole answer. Raises one of :data:`NETWORK_ERRORS` instead of an answer.

        Args:
            timeout: seconds until it is given up, whatever came.
        """
        sent = self._client.request(method, self._base_url + path).headers({**self._headers, **(headers or {})})
        if json is not None:
            sent = sent.header("Content-Type", "application/json")
            content = orjson.dumps(json)
        if content is not None:
            sent = sent.body_bytes(content)
        if params:
            sent = sent.query(params)
        if timeout is not None:
            sent = sent.timeout(timedelta(seconds=timeout))
        try:
            answer = await sent.build().send()
            body = await answer.bytes()
        except PyreqwestError as error:
            raise _no_answer(error) from error
        return Response(answer.status, answer.headers, bytes(body))

    async def get(self, path: str, **sent: Any) -> Response:
        """See :meth:`request`."""
        return await self.request("GET", path, **sent)

    async def post(self, path: str, **sent: Any) -> Response:
        """See :meth:`request`."""
        return await self.request("POST", path, **sent)

    async def aclose(self) -> None:
        """Give all connections back."""
        await self._client.close()


def was_surely_not_sent(error: BaseException) -> bool:
    """Whether the connection never stood, so that the other side cannot have done anything.

    A connection that broke later may have carried the request.
    """
    return isinstance(error, NoAnswerError) and error.is_surely_unsent


def _no_answer(error: PyreqwestError) -> NoAnswerError:
    causes = error.details.get("causes") if isinstance(error, DetailedPyreqwestError) else None
    words = [cause["message"] for cause in causes or []]
    return NoAnswerError(": ".join([error.message, *words[-1:]]), is_surely_unsent=_NO_CONNECTION in words)
