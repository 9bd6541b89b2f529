"""Tryton's JSON-RPC over HTTP: log in, call, log in again when the session has ended.

``POST /{database}/rpc/`` with ``{"id", "method", "params"}``; the last parameter of a model's method is the context. A session
header costs Tryton 7 ms a call, a password 200 ms.
"""

import asyncio
import base64
import itertools
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from pydantic import SecretStr

from meshline_dagster.core.documents import Outcome
from meshline_dagster.core.errors import ConfigError
from meshline_dagster.erp.http import NETWORK_ERRORS, HttpClient
from meshline_dagster.erp.tryton_json import encode
from meshline_dagster.erp.tryton_replies import Reply, no_reply, read_reply

__all__ = ["TrytonSession"]

_LOGOUT_SECONDS = 5.0
_KNOWN_SECONDS = 60.0
_T = TypeVar("_T")
_LOGIN_PARTS = 2  # user id and token; what follows them is for chat


class TrytonSession:
    """One user's calls to one database. Open it in the event loop that uses it.

    Args:
        base_url: the server's address.
        database: the database's name.
        user: the log-in name.
        password: its password.
        company: the company whose records are seen and made.

    Attributes:
        books: held by whoever posts into the books: Tryton numbers entries without gaps, so a second call at the same time is refused.
    """

    def __init__(self, base_url: str, database: str, user: str, password: SecretStr, company: int) -> None:
        self._base_url = base_url.rstrip("/")
        self._path = f"/{database}/rpc/"
        self._user, self._password = user, password
        self._numbers = itertools.count(1)
        self._client: HttpClient | None = None
        self._header: str | None = None
        self._known: dict[str, tuple[float, Any]] = {}
        self.company = company
        self.books = asyncio.Lock()
        self.context: Mapping[str, Any] = {"company": company, "language": "en"}

    def __repr__(self) -> str:
        return f"TrytonSession({self._base_url + self._path!r}, {self._user!r})"

    def connect(self, *, max_in_flight: int, request_timeout: float) -> None:
        """Make the client; no request is sent."""
        if self._client is None:
            self.books = asyncio.Lock()
            self.forget()
            self._client = HttpClient(
                self._base_url,
                headers={"Content-Type": "application/json"},
                max_in_flight=max_in_flight,
                request_timeout=request_timeout,
            )

    async def aclose(self) -> None:
        """End the session on the server, and give all connections back."""
        client, self._client = self._client, None
        header, self._header = self._header, None
        if client is None:
            return
        if header is not None:
            call = {"id": 0, "method": "common.db.logout", "params": []}
            await _send(client, self._path, header, call, limit=_LOGOUT_SECONDS)
        await client.aclose()

    async def log_in(self) -> Reply:
        """Get a session; the reply holds none of it."""
        secret = {"password": self._password.get_secret_value()}
        reply = await self._post(None, "common.db.login", [self._user, secret, "en"])
        if reply.outcome is not None:
            return reply
        if not isinstance(reply.value, list) or len(reply.value) < _LOGIN_PARTS:
            return Reply(Outcome.RETRY, message="the log-in gave no session", is_login_refused=True)
        user_id, token = reply.value[:_LOGIN_PARTS]
        self._header = "Session " + base64.b64encode(f"{self._user}:{user_id}:{token}".encode()).decode()
        return Reply(None)

    async def tell(self, model: str, method: str, *params: Any, **context: Any) -> Reply:
        """Call a model's method. Never raises for what Tryton or the network did.

        Args:
            model: e.g. ``sale.sale``.
            context: added to the session's own.
        """
        for _ in range(2):
            if self._header is None:
                login = await self.log_in()
                if login.outcome is not None:  # nothing but the log-in was sent
                    return Reply(Outcome.RETRY, None, login.message, login.is_login_refused, login.retry_after)
            header = self._header
            reply = await self._post(header, f"model.{model}.{method}", [*params, {**self.context, **context}])
            if not reply.is_login_refused:
                return reply
            if self._header == header:  # another call may have logged in again in between
                self._header = None
        return reply

    async def ask(self, model: str, method: str, *params: Any, **context: Any) -> Any:
        """Call a method that changes nothing, and return its result.

        Raises:
            AuthError: the credentials are refused.
            TransientError: Tryton did not answer.
            SourceError: Tryton refuses the question.
        """
        reply = await self.tell(model, method, *params, **context)
        if reply.outcome is not None:
            raise reply.as_error()
        return reply.value

    async def rows(self, model: str, domain: list[Any], fields: list[str], **context: Any) -> list[dict[str, Any]]:
        """All records of ``domain``, by id. Raises as :meth:`ask` does."""
        found = await self.ask(model, "search_read", domain, 0, None, [["id", "ASC"]], fields, **context)
        return list(found)

    async def once(self, name: str, ask: Callable[[], Awaitable[_T]]) -> _T:
        """What ``ask`` gives, asked once a minute at most: of what operators keep, and seldom change. Raises as ``ask`` does.

        Args:
            name: of the question; the same everywhere that it is asked.
        """
        now = asyncio.get_running_loop().time()
        if name not in self._known or now - self._known[name][0] > _KNOWN_SECONDS:
            self._known[name] = now, await ask()
        found: _T = self._known[name][1]
        return found

    def forget(self) -> None:
        """Let everything be asked again."""
        self._known.clear()

    async def _post(self, header: str | None, method: str, params: list[Any]) -> Reply:
        if self._client is None:
            raise ConfigError("the writer is not open: call open() before anything else")
        call = {"id": next(self._numbers), "method": method, "params": params}
        return await _send(self._client, self._path, header, call)


async def _send(
    client: HttpClient,
    path: str,
    header: str | None,
    call: Mapping[str, Any],
    *,
    limit: float | None = None,
) -> Reply:
    headers = {"Authorization": header} if header else {}
    try:
        response = await client.post(path, content=encode(call), headers=headers, timeout=limit)
    except NETWORK_ERRORS as error:
        return no_reply(error)
    return read_reply(response)
