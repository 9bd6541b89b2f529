"""One configured ERP on the wire: every request shows who we are, every answer is understood as configured."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urljoin

from meshline_dagster.core.documents import Answer, Outcome
from meshline_dagster.core.errors import AuthError, ConfigError, MeshlineError, SourceError, TransientError
from meshline_dagster.erp.configured_answers import Answers, Reply, as_error
from meshline_dagster.erp.configured_auth import Auth
from meshline_dagster.erp.configured_calls import Sent
from meshline_dagster.erp.http import NETWORK_ERRORS, HttpClient
from meshline_dagster.erp.rest_answers import no_answer

__all__ = ["Session"]

_NOT_THERE = frozenset({404, 410})


class Session:
    """Requests and understood answers, for one event loop at a time.

    Args:
        headers: sent with each request.
    """

    def __init__(
        self,
        base_url: str,
        auth: Auth,
        answers: Answers,
        *,
        headers: Mapping[str, str],
        max_in_flight: int,
        request_timeout: float,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._auth, self._answers = auth, answers
        self._headers = {"Accept": "application/json", **headers}
        self._max_in_flight, self._request_timeout = max_in_flight, request_timeout
        self._client: HttpClient | None = None

    def connect(self) -> None:
        """Have a pool of connections; none is opened yet."""
        if self._client is None:
            self._client = HttpClient(
                self._base_url,
                headers=self._headers,
                max_in_flight=self._max_in_flight,
                request_timeout=self._request_timeout,
            )

    async def aclose(self) -> None:
        """Give all connections back."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def tell(self, sent: Sent) -> Reply | Answer:
        """A writing request. An ``Answer`` when the ERP gave none, or was never asked because nobody vouches for us."""
        try:
            shown = await self._auth.headers()
        except (AuthError, TransientError) as error:
            return Answer(Outcome.RETRY, message=str(error), retry_after=getattr(error, "retry_after", None))
        try:
            return await self._request(sent, shown)
        except NETWORK_ERRORS as error:
            return no_answer(error)

    async def ask(self, sent: Sent, *, absent: bool = False) -> Any:
        """A request that changes nothing in the ERP: the decoded answer. Arguments and errors as of :meth:`answer`."""
        return (await self.answer(sent, absent=absent)).body

    async def answer(self, sent: Sent, *, absent: bool = False) -> Reply:
        """The same with its headers.

        Args:
            absent: that there is no such thing, in JSON, is an answer without a body, and no error.

        Raises:
            TransientError, AuthError, SourceError: there is none.
        """
        try:
            reply = await self._request(sent, await self._auth.headers())
        except NETWORK_ERRORS as error:
            text = f"{self._base_url}{sent.path} gave no answer: {type(error).__name__}: {error}"
            raise TransientError(text) from error
        if absent and reply.status in _NOT_THERE and reply.means == "rejected" and reply.body is not None:
            return replace(reply, body=None)
        failed: MeshlineError | None = as_error(reply, f"{sent.method} {sent.path}")
        if failed is not None:
            raise failed
        if (
            absent and reply.body is None
        ):  # of a gateway, most likely: it says neither what there is nor that there is nothing
            raise TransientError(f"{sent.method} {sent.path} gave an empty answer ({reply.status})")
        return reply

    async def _request(self, sent: Sent, shown: Mapping[str, str]) -> Reply:
        if self._client is None:
            raise ConfigError("the writer is not open: call open() before anything else")
        response = await self._client.request(
            sent.method, sent.path, content=sent.content, params=sent.params, headers={**sent.headers, **shown}
        )
        reply = self._answers.understand(response)
        if reply.means == "credentials":
            self._auth.refused()
        return reply

    def below(self, link: str, path: str) -> str:
        """The path of a link that an answer to ``path`` shows; our secrets go to no other address.

        Raises:
            SourceError: the link leads elsewhere.
        """
        target = urljoin(self._base_url + path, link)
        if not target.startswith(f"{self._base_url}/"):
            raise SourceError(
                f"the ERP's next page is at {link}, which is not below {self._base_url}: correct base_url"
            )
        return target.removeprefix(self._base_url)
