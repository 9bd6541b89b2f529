"""The writer for Tryton 8.2, over its JSON-RPC. It needs the module ``extref`` (``deploy/tryton/module``) in the company's database."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta

from pydantic import SecretStr

from meshline_dagster.core.documents import (
    ACCOUNTING_KINDS,
    REVERSE,
    Answer,
    Document,
    DocumentKind,
    ErpDocument,
    Outcome,
)
from meshline_dagster.core.errors import ConfigError, MeshlineError, TransientError
from meshline_dagster.erp.protocol import Capabilities
from meshline_dagster.erp.tryton_addresses import addresses_by_external_id, post_addresses
from meshline_dagster.erp.tryton_books import document_from_invoice
from meshline_dagster.erp.tryton_customers import customers_by_code, post_customers
from meshline_dagster.erp.tryton_documents import order_from_row
from meshline_dagster.erp.tryton_invoices import invoices_by_external_id, post_invoices
from meshline_dagster.erp.tryton_items import NewItems, items_by_code, post_items
from meshline_dagster.erp.tryton_payments import payments_by_external_id, post_payments
from meshline_dagster.erp.tryton_readback import read_pages
from meshline_dagster.erp.tryton_reversals import reverse_orders, sales_by_id
from meshline_dagster.erp.tryton_rpc import TrytonSession
from meshline_dagster.erp.tryton_sales import post_orders, sales_by_external_id

__all__ = ["OPERATIONS", "NewItems", "TrytonWriter"]

_CUSTOMER, _ADDRESS, _ITEM, _ORDER = (
    DocumentKind.CUSTOMER,
    DocumentKind.ADDRESS,
    DocumentKind.ITEM,
    DocumentKind.SALES_ORDER,
)
_IDS_AT_ONCE = 500
OPERATIONS = frozenset(
    {
        *((kind, "create") for kind in (_CUSTOMER, _ADDRESS, _ITEM, DocumentKind.PAYMENT)),
        *((_ORDER, how) for how in ("create", "amend", "cancel", REVERSE)),
    }
)
"""What it can do without making invoices."""

_LOOK_UP = {
    _CUSTOMER: customers_by_code,
    _ADDRESS: addresses_by_external_id,
    _ITEM: items_by_code,
    DocumentKind.PAYMENT: payments_by_external_id,
}
_POST = {_CUSTOMER: post_customers, _ADDRESS: post_addresses, **dict.fromkeys(ACCOUNTING_KINDS, post_invoices)}
_INVOICING = frozenset((kind, "create") for kind in ACCOUNTING_KINDS)
_EXTREF_FIELDS = ["external_id", "event_id"]


class TrytonWriter:
    """Posts batches of sales and parties; see :class:`~meshline_dagster.erp.protocol.ErpWriter`.

    Args:
        base_url: the server's address.
        database: the database's name.
        user: one with the groups Sales, Sales Administrator, Sale Amendment and Party Administration, and to make items with the groups Product
            Administration and Account Product Administration.
        password: its password.
        invoices: whether it makes invoices and credit notes; Tryton invoices the sales itself where it does not. Then the user needs the
            group Accounting, too.
        name: the destination's name.
        company: Tryton's id of the company that is posted to.
        batch_size: how many documents go into one transaction; of invoices and credit notes a part that lets all requests in flight end in
            time, since Tryton posts them one after the other.
        max_in_flight: how many requests at once; Tryton works on about as many as it has processors.
        request_timeout: seconds until a request without an answer is unknown.
        settle_after: how long after a request's start Tryton may still commit it; longer than ``[request] timeout`` in its
            configuration.
        new_items: what the CRM does not say of an item that is made.
        payment_method: the name of the payment method whose journal and account payments go to; None: the only one that there is. For them
            the user needs the group Accounting.

    Raises:
        ConfigError: the company is no number.
    """

    def __init__(
        self,
        base_url: str,
        database: str,
        user: str,
        password: SecretStr,
        *,
        name: str = "tryton",
        company: str = "1",
        invoices: bool = False,
        batch_size: int = 100,
        max_in_flight: int = 4,
        request_timeout: float = 120.0,
        settle_after: timedelta = timedelta(seconds=180),
        new_items: NewItems | None = None,
        payment_method: str | None = None,
    ) -> None:
        if not company.isdecimal():
            raise ConfigError(f"a Tryton company is named by its number, e.g. 1, not {company!r}")
        self._name = name
        self._invoices = invoices
        self._payment_method = payment_method
        self._new_items = new_items or NewItems()
        self._session = TrytonSession(base_url, database, user, password, int(company))
        self._capabilities = Capabilities(
            native_idempotency=False,
            unique_external_id=True,
            batch_size=batch_size,
            max_in_flight=max_in_flight,
            settle_after=settle_after,
            request_timeout=request_timeout,
            operations=OPERATIONS | _INVOICING if invoices else OPERATIONS,
            books_batch_size=max(1, batch_size // max_in_flight),
        )

    @property
    def name(self) -> str:
        """The destination's name."""
        return self._name

    @property
    def capabilities(self) -> Capabilities:
        """What Tryton can do."""
        return self._capabilities

    async def open(self) -> None:
        """Connect, log in, and see that the company and the module ``extref`` are there."""
        capabilities = self._capabilities
        self._session.connect(max_in_flight=capabilities.max_in_flight, request_timeout=capabilities.request_timeout)
        try:
            await self._check()
        except MeshlineError as error:
            if not isinstance(error, TransientError):
                await self.aclose()
            raise

    async def _check(self) -> None:
        login = await self._session.log_in()
        if login.outcome is Outcome.REJECTED:
            raise ConfigError(f"Tryton has no such log-in: {login.message}; check the address and the database's name")
        if login.outcome is not None:
            raise login.as_error()
        await self.company()
        fields = await self._session.ask("sale.sale", "fields_get", _EXTREF_FIELDS)
        if not set(_EXTREF_FIELDS) <= set(fields):
            raise ConfigError("this Tryton has no external ids on sales: activate the module extref (deploy/tryton)")

    async def aclose(self) -> None:
        """Log out, and give all connections back."""
        await self._session.aclose()

    async def company(self) -> str:
        """The company that is posted to, as the user sees it."""
        preferences = await self._session.ask("res.user", "get_preferences", True)
        companies = preferences.get("companies") or []
        if self._session.company not in companies:
            raise ConfigError(f"the Tryton user may use the companies {companies}, not {self._session.company}")
        return str(self._session.company)

    async def post(self, documents: Sequence[Document]) -> list[Answer]:
        """Bring about all documents, a transaction a step."""
        declared = self._capabilities.operations
        undeclared = [document for document in documents if (document.kind, document.operation) not in declared]
        if undeclared:
            text = f"this ERP cannot {undeclared[0].operation} a {undeclared[0].kind.value}"
            return [Answer(Outcome.REJECTED, message=text, field="operation")] * len(documents)
        if not documents:
            return []
        kind = documents[0].kind
        if kind is _ORDER:
            return await self._post_orders(documents)
        if kind is DocumentKind.PAYMENT:
            return await post_payments(self._session, documents, self._payment_method)
        if kind is _ITEM:
            return await post_items(self._session, documents, self._new_items)
        return await _POST[kind](self._session, documents)

    async def _post_orders(self, documents: Sequence[Document]) -> list[Answer]:
        """Reversals go by Tryton's id, the rest by external id."""
        reversals = [one for one in documents if one.operation == REVERSE]
        others = [one for one in documents if one.operation != REVERSE]
        reversed_, posted = [], []
        if reversals:
            reversed_ = await reverse_orders(self._session, reversals)
        if others:
            method = "manual" if self._invoices else None
            posted = await post_orders(self._session, others, invoice_method=method)
        answers = {True: iter(reversed_), False: iter(posted)}
        return [next(answers[one.operation == REVERSE]) for one in documents]

    async def show(self, kind: DocumentKind, erp_ids: Sequence[str]) -> Mapping[str, ErpDocument]:
        """Sales by Tryton's own ids; of other kinds, which it cannot reverse, none is shown."""
        rows = await sales_by_id(self._session, erp_ids) if kind is _ORDER else {}
        return {erp_id: order_from_row(row) for erp_id, row in rows.items()}

    async def find(self, kind: DocumentKind, external_ids: Sequence[str]) -> Mapping[str, list[ErpDocument]]:
        """Look documents up by external id, some hundreds in a request."""
        wanted = list(dict.fromkeys(external_ids))
        found: dict[str, list[ErpDocument]] = {}
        for start in range(0, len(wanted), _IDS_AT_ONCE):
            ids = wanted[start : start + _IDS_AT_ONCE]
            if kind in _LOOK_UP:
                found |= await _LOOK_UP[kind](self._session, ids)
            elif kind in ACCOUNTING_KINDS:
                invoices = await invoices_by_external_id(self._session, ids)
                found |= {name: [document_from_invoice(row) for row in rows] for name, rows in invoices.items()}
            else:
                sales = await sales_by_external_id(self._session, ids)
                found |= {external_id: [order_from_row(row) for row in rows] for external_id, rows in sales.items()}
        return found

    async def read(self, kind: DocumentKind, since: datetime | None) -> AsyncIterator[list[ErpDocument]]:
        """Pages of what changed at or after ``since``, oldest first; deletions do not show in Tryton."""
        async for page in read_pages(self._session, kind, since):
            yield page
