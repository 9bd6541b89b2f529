"""The writer for an ERP with a plain REST interface, as the sandbox ERP has it."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from pydantic import SecretStr

from meshline_dagster.core.documents import (
    REVERSE,
    Answer,
    Document,
    DocumentKind,
    ErpDocument,
    Outcome,
    standing,
)
from meshline_dagster.core.errors import ConfigError, MeshlineError, SourceError, TransientError
from meshline_dagster.erp.http import NETWORK_ERRORS, HttpClient
from meshline_dagster.erp.protocol import Capabilities
from meshline_dagster.erp.rest_answers import as_answer, as_error, is_done, no_answer, read_json
from meshline_dagster.erp.rest_documents import PATHS, from_page, request_body

__all__ = ["OPERATIONS", "PROFILES", "RestErpWriter"]

PROFILES = ("idempotent", "unique", "lookup_only")
"""How an ERP protects itself from a second request: by our key, by the external id, or not at all."""

_IDS_AT_ONCE = 200
_NOT_FOUND = 404
_PAGE = 500
OPERATIONS = frozenset(
    {(kind, "create") for kind in PATHS}
    | {(kind, "amend") for kind in (DocumentKind.CUSTOMER, DocumentKind.SALES_ORDER)}
    | {(DocumentKind.SALES_ORDER, "cancel"), (DocumentKind.SALES_ORDER, REVERSE)}
)
"""What it can do."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """The request that brings a document about, or the answer that makes one needless."""

    method: str = ""
    path: str = ""
    answer: Answer | None = None


class RestErpWriter:
    """Posts one document a request; see :class:`~meshline_dagster.erp.protocol.ErpWriter`.

    Args:
        base_url: the ERP's address, without ``/v1``.
        token: its bearer token.
        name: the destination's name.
        profile: one of :data:`PROFILES`.
        request_timeout: seconds until a request without an answer is unknown.
        settle_after: how long after a request's start the ERP may still commit it.
    """

    def __init__(
        self,
        base_url: str,
        token: SecretStr,
        *,
        name: str = "sandbox",
        profile: str = "idempotent",
        max_in_flight: int = 32,
        request_timeout: float = 30.0,
        settle_after: timedelta = timedelta(seconds=5),
    ) -> None:
        if profile not in PROFILES:
            raise ConfigError(f"the ERP's profile is one of {', '.join(PROFILES)}, not {profile!r}")
        self._base_url = base_url.rstrip("/")
        self._token = token
        self._name = name
        self._capabilities = Capabilities(
            native_idempotency=profile == "idempotent",
            unique_external_id=profile == "unique",
            batch_size=1,
            max_in_flight=max_in_flight,
            settle_after=settle_after,
            request_timeout=request_timeout,
            operations=OPERATIONS,
            tells_deliveries=True,
        )
        self._open_client: HttpClient | None = None

    @property
    def name(self) -> str:
        """The destination's name."""
        return self._name

    @property
    def capabilities(self) -> Capabilities:
        """What this ERP can do."""
        return self._capabilities

    async def open(self) -> None:
        """Connect, and show the token once."""
        if self._open_client is None:
            self._open_client = HttpClient(
                self._base_url,
                headers={"Authorization": f"Bearer {self._token.get_secret_value()}"},
                max_in_flight=self._capabilities.max_in_flight,
                request_timeout=self._capabilities.request_timeout,
            )
        await self.company()

    async def aclose(self) -> None:
        """Give all connections back."""
        client, self._open_client = self._open_client, None
        if client is not None:
            await client.aclose()

    async def company(self) -> str:
        """The id of the ERP's company."""
        body = await self._ask("GET", "/v1/company")
        if not body.get("id"):
            raise SourceError(f"{self._base_url}/v1/company names no company; check the ERP's address")
        return str(body["id"])

    async def post(self, documents: Sequence[Document]) -> list[Answer]:
        """Bring about each document with a request of its own."""
        return [await self._post(document) for document in documents]

    async def _post(self, document: Document) -> Answer:
        if (document.kind, document.operation) not in OPERATIONS:
            text = f"this ERP cannot {document.operation} a {document.kind.value}"
            return Answer(Outcome.REJECTED, message=text, field="operation")
        asked = await self._request(document)
        if asked.answer is not None:
            return asked.answer
        headers = {"Idempotency-Key": document.key, "Content-Type": "application/json"}
        content = request_body(document)
        try:
            response = await self._client.request(asked.method, asked.path, content=content, headers=headers)
        except NETWORK_ERRORS as error:
            return no_answer(error)
        return as_answer(document, response)

    async def _request(self, document: Document) -> _Asked:
        """Creations go to the collection; the rest to the document, whose id is looked up first where it is not given."""
        base = PATHS[document.kind]
        if document.operation in {"create", REVERSE}:
            is_new = document.operation == "create"
            return _Asked("POST", base if is_new else f"{base}/{quote(document.erp_id or '', safe='')}/cancel")
        try:
            found = (await self.find(document.kind, [document.external_id])).get(document.external_id, [])
            found = list(standing(found))
        except MeshlineError as error:  # only a look-up was sent: the ERP surely did nothing
            return _Asked(answer=Answer(Outcome.RETRY, message=str(error)))
        if len(found) != 1:
            text = "there is no such document" if not found else f"{len(found)} documents carry this external id"
            absent = None if found else document.external_id
            return _Asked(answer=Answer(Outcome.REJECTED, message=text, field="external_id", absent=absent))
        have = found[0]
        if is_done(document, have):
            return _Asked(answer=Answer(Outcome.EXISTS, erp_id=have.erp_id))
        if document.operation == "cancel":
            return _Asked("POST", f"{base}/{have.erp_id}/cancel")
        return _Asked("PUT", f"{base}/{have.erp_id}")

    async def find(self, kind: DocumentKind, external_ids: Sequence[str]) -> Mapping[str, list[ErpDocument]]:
        """Look documents up by external id, some hundreds in a request."""
        wanted = list(dict.fromkeys(external_ids))
        found: dict[str, list[ErpDocument]] = {}
        for start in range(0, len(wanted), _IDS_AT_ONCE):
            ids = wanted[start : start + _IDS_AT_ONCE]
            body = await self._ask("POST", f"{PATHS[kind]}/lookup", json={"external_ids": ids})
            for document in from_page(kind, body):
                if document.external_id not in ids:  # a search that knows no upper and lower case
                    continue
                found.setdefault(document.external_id, []).append(document)
        return found

    async def show(self, kind: DocumentKind, erp_ids: Sequence[str]) -> Mapping[str, ErpDocument]:
        """Documents by the ERP's own ids, a request each."""
        found = {erp_id: await self._show(kind, erp_id) for erp_id in dict.fromkeys(erp_ids)}
        return {erp_id: one for erp_id, one in found.items() if one is not None}

    async def _show(self, kind: DocumentKind, erp_id: str) -> ErpDocument | None:
        body = await self._ask("GET", f"{PATHS[kind]}/{quote(erp_id, safe='')}", absent=True)
        return from_page(kind, {"documents": [body]})[0] if body else None

    async def read(self, kind: DocumentKind, since: datetime | None) -> AsyncIterator[list[ErpDocument]]:
        """Pages of what changed at or after ``since``, oldest first."""
        asked: dict[str, str] = {"limit": str(_PAGE)}
        if since is not None:
            asked["updated_since"] = since.astimezone(UTC).isoformat()
        while True:
            body = await self._ask("GET", PATHS[kind], params=asked)
            documents = from_page(kind, body)
            if documents:
                yield documents
            cursor = body.get("next_cursor")
            if not cursor:
                return
            asked["cursor"] = str(cursor)

    async def _ask(self, method: str, path: str, *, absent: bool = False, **sent: Any) -> Mapping[str, Any]:
        """A request that changes nothing in the ERP. Raises ``TransientError``, ``AuthError`` or ``SourceError``.

        Args:
            absent: what is not there is an empty answer.
        """
        try:
            response = await self._client.request(method, path, **sent)
        except NETWORK_ERRORS as error:
            text = f"{self._base_url}{path} gave no answer: {type(error).__name__}: {error}"
            raise TransientError(text) from error
        if absent and response.status_code == _NOT_FOUND:
            return {}
        error_of = as_error(response)
        if error_of is not None:
            raise error_of
        return read_json(response)

    @property
    def _client(self) -> HttpClient:
        if self._open_client is None:
            raise ConfigError("the writer is not open: call open() before anything else")
        return self._open_client
