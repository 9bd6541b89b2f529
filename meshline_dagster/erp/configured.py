"""The writer for an ERP with an ordinary REST interface that is described in YAML, not in Python."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta

from meshline_dagster.core.documents import Answer, Document, DocumentKind, ErpDocument
from meshline_dagster.core.errors import ConfigError, PermanentError, SourceError
from meshline_dagster.erp.configured_auth import Auth
from meshline_dagster.erp.configured_calls import Sent
from meshline_dagster.erp.configured_documents import as_text
from meshline_dagster.erp.configured_interface import compile_api
from meshline_dagster.erp.configured_model import ErpApi
from meshline_dagster.erp.configured_posting import bring_about, look_up
from meshline_dagster.erp.configured_session import Session
from meshline_dagster.erp.protocol import Capabilities

__all__ = ["ConfiguredErpWriter"]


class ConfiguredErpWriter:
    """Posts one document a request, as a configuration says; see :class:`~meshline_dagster.erp.protocol.ErpWriter`.

    Args:
        base_url: the ERP's address, below which all paths stand.
        api: what the ERP's interface is like.
        auth: how it knows us.
        name: the destination's name.
        company: the ERP's id of the company that is posted to.

    Raises:
        ConfigError: the configuration does not hold together; the message says where.
    """

    def __init__(self, base_url: str, api: ErpApi, auth: Auth, *, name: str, company: str) -> None:
        try:
            self._interface = compile_api(api)
        except ValueError as error:
            raise ConfigError(str(error)) from error
        self._name, self._company = name, company
        declared = api.capabilities
        self._capabilities = Capabilities(
            native_idempotency=declared.idempotency_key_header is not None,
            unique_external_id=declared.unique_external_id,
            batch_size=1,
            max_in_flight=declared.max_in_flight,
            settle_after=timedelta(seconds=declared.settle_after),
            request_timeout=declared.request_timeout,
            operations=self._interface.operations,
        )
        self._session = Session(
            base_url,
            auth,
            self._interface.answers,
            headers={name: fill(self._fixed) for name, fill in self._interface.headers.items()},
            max_in_flight=declared.max_in_flight,
            request_timeout=declared.request_timeout,
        )

    @property
    def _fixed(self) -> dict[str, str]:
        return {"company": self._company}

    @property
    def name(self) -> str:
        """The destination's name."""
        return self._name

    @property
    def capabilities(self) -> Capabilities:
        """What this ERP can do."""
        return self._capabilities

    async def open(self) -> None:
        """Connect, and show who we are once."""
        self._session.connect()
        try:
            await self.company()
        except PermanentError:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """Give all connections back."""
        await self._session.aclose()

    async def company(self) -> str:
        """The id of the company that the ERP answers for."""
        interface = self._interface
        path = interface.company_path(self._fixed)
        params = {name: fill(self._fixed) for name, fill in interface.company_query.items()}
        found = as_text(interface.company_id(await self._session.ask(Sent("GET", path, params))))
        if not found:
            raise SourceError(f"the answer to GET {path} names no company; correct company.id, or the pinned company")
        return found

    async def post(self, documents: Sequence[Document]) -> list[Answer]:
        """Bring about each document with a request of its own."""
        return [await bring_about(self._session, self._interface, one, self._company) for one in documents]

    async def find(self, kind: DocumentKind, external_ids: Sequence[str]) -> Mapping[str, list[ErpDocument]]:
        """Look documents up by external id."""
        found: dict[str, list[ErpDocument]] = {}
        self._declared(kind)
        for one in await look_up(
            self._session, self._interface, kind, list(dict.fromkeys(external_ids)), self._company
        ):
            found.setdefault(one.external_id, []).append(one)
        return found

    async def show(self, kind: DocumentKind, erp_ids: Sequence[str]) -> Mapping[str, ErpDocument]:
        """Documents by the ERP's own ids, a request each."""
        self._declared(kind)
        lists = self._interface.kinds[kind].lists
        found = {one: await lists.show(self._session, self._fixed, one) for one in dict.fromkeys(erp_ids)}
        return {erp_id: one for erp_id, one in found.items() if one is not None}

    async def read(self, kind: DocumentKind, since: datetime | None) -> AsyncIterator[list[ErpDocument]]:
        """Pages of what changed at or after ``since``, oldest first."""
        self._declared(kind)
        async for page in self._interface.kinds[kind].lists.read(self._session, self._fixed, since):
            yield page

    def _declared(self, kind: DocumentKind) -> None:
        if kind not in self._interface.kinds:
            raise ConfigError(f"{self._name} declares no documents.{kind.value}: add it, or do not ask for it")
