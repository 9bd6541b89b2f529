"""HTTP as delivery needs it: many requests at once, never a retry of its own, and errors that tell whether anything was sent.

Over reqwest, whose connections live in a thread that does not hold Python's lock; `docs/decisions/0010-requests-go-over-reqwest.md` says what that
brings and costs.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

import certifi
import orjson
from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import BuilderError, DetailedPyreqwestError, PyreqwestError

from meshline_dagster.erp.deadline import seconds_left

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

_MAY_HAVE_A_BODY = frozenset({"POST", "PUT", "PATCH"})

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

    It follows no redirects, keeps no cookies, knows no proxies and retries nothing that was sent. A request that is cancelled goes on in
    reqwest's hands, so each has an end of its own: that of the call that it belongs to (:func:`~meshline_dagster.erp.deadline.within`).
    For the same reason requests wait for their turn here, where cancelling ends them, and not in reqwest.

    Args:
        base_url: where paths are joined to.
        headers: sent with each request.
        max_in_flight: how many requests are sent at once.
        request_timeout: seconds without a byte of the answer; of a request that may change something, also seconds in all.
        connect_timeout: seconds until a connection must stand.
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
        self._headers = _lowered(headers)
        self._request_timeout = request_timeout
        self._turns = asyncio.Semaphore(max_in_flight)
        self._client = _client(connect_timeout, request_timeout)

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
        named = {**self._headers, **_lowered(headers or {})}
        if json is not None:
            named["content-type"], content = "application/json", orjson.dumps(json)
        if not content and method in _MAY_HAVE_A_BODY:
            named["content-length"] = "0"
        async with self._turns:
            limit = self._limit(method, timeout)
            if limit is not None and limit <= 0:
                raise NoAnswerError("there was no time left to send it", is_surely_unsent=True)
            sent = self._client.request(method, self._base_url + path).headers(named)
            if content:
                sent = sent.body_bytes(content)
            if params:
                sent = sent.query(params)
            if limit is not None:
                sent = sent.timeout(timedelta(seconds=limit))
            try:
                answer = await sent.build().send()
                body = await answer.bytes()
            except PyreqwestError as error:
                raise _no_answer(error) from error
        return Response(answer.status, answer.headers, bytes(body))

    def _limit(self, method: str, given: float | None) -> float | None:
        own = None if method == "GET" else self._request_timeout
        return min((one for one in (given or own, seconds_left()) if one is not None), default=None)

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


def _client(connect_timeout: float, request_timeout: float) -> Client:
    """With the system's certificates (or those that ``SSL_CERT_FILE`` names), and with certifi's where it has none."""

    def builder() -> ClientBuilder:
        return (
            ClientBuilder()
            .user_agent("meshline")
            .http1_only()
            .no_proxy()
            .follow_redirects(False)
            .pool_idle_timeout(_IDLE)
            .connect_timeout(timedelta(seconds=connect_timeout))
            .read_timeout(timedelta(seconds=request_timeout))
        )

    try:
        return builder().build()
    except BuilderError:
        return builder().add_root_certificate_pem(Path(certifi.where()).read_bytes()).build()


def _lowered(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers by names that replace each other whatever their case."""
    return {name.lower(): value for name, value in headers.items()}


def _no_answer(error: PyreqwestError) -> NoAnswerError:
    causes = error.details.get("causes") if isinstance(error, DetailedPyreqwestError) else None
    words = [cause["message"] for cause in causes or []]
    return NoAnswerError(": ".join([error.message, *words[-1:]]), is_surely_unsent=_NO_CONNECTION in words)
