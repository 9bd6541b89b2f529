"""Reading Tryton back: what changed since a moment, oldest first.

A record that was never written to again has no write date, and Tryton cannot order by "the one or the other"; so ids and stamps are
read first, ordered here, and then the records by pages. Stamps are those of a transaction's start: whoever reads regularly overlaps.
"""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

from meshline_dagster.core.documents import DocumentKind, ErpDocument
from meshline_dagster.erp.tryton_addresses import ADDRESS_FIELDS, address_from_row
from meshline_dagster.erp.tryton_books import INVOICE_FIELDS, document_from_invoice
from meshline_dagster.erp.tryton_documents import PARTY_FIELDS, SALE_FIELDS, customer_from_row, order_from_row
from meshline_dagster.erp.tryton_items import ITEM_FIELDS, item_from_row
from meshline_dagster.erp.tryton_payments import PAYMENT_FIELDS, payment_from_row
from meshline_dagster.erp.tryton_rpc import TrytonSession

__all__ = ["read_pages"]

_INVOICE = ("account.invoice", INVOICE_FIELDS, document_from_invoice)
_READ: dict[DocumentKind, tuple[str, list[str], Callable[[dict[str, Any]], ErpDocument]]] = {
    DocumentKind.CUSTOMER: ("party.party", PARTY_FIELDS, customer_from_row),
    DocumentKind.ADDRESS: ("party.address", ADDRESS_FIELDS, address_from_row),
    DocumentKind.ITEM: ("product.product", ITEM_FIELDS, item_from_row),
    DocumentKind.SALES_ORDER: ("sale.sale", SALE_FIELDS, order_from_row),
    DocumentKind.INVOICE: _INVOICE,
    DocumentKind.CREDIT_NOTE: _INVOICE,
    DocumentKind.PAYMENT: ("account.move", PAYMENT_FIELDS, payment_from_row),
}
_OF_ALL_COMPANIES = frozenset({"party.party", "party.address", "product.product"})
_STAMPS_AT_ONCE = 5_000
_PAGE = 200


async def read_pages(
    session: TrytonSession, kind: DocumentKind, since: datetime | None
) -> AsyncIterator[list[ErpDocument]]:
    """Pages of documents. Raises as :meth:`TrytonSession.ask` does."""
    model, fields, as_document = _READ[kind]
    changed = await _changed(session, model, since)
    for start in range(0, len(changed), _PAGE):
        ids = [record for _, record in changed[start : start + _PAGE]]
        rows = await session.rows(model, [["id", "in", ids]], fields, active_test=False)
        page = [document for row in rows if (document := as_document(row)).kind is kind]
        if page:
            yield sorted(page, key=lambda document: (document.stamp, document.erp_id))


async def _changed(session: TrytonSession, model: str, since: datetime | None) -> list[tuple[datetime, int]]:
    """Stamps and ids, oldest first."""
    domain: list[Any] = [] if model in _OF_ALL_COMPANIES else [["company", "=", session.company]]
    if model == "account.invoice":
        domain.append(["type", "=", "out"])
    if (
        model == "account.move"
    ):  # the books hold more than payments; those that are none of ours do not say that they are some
        domain.append(["external_id", "!=", None])
    if since is not None:
        # an answer's stamps have microseconds, and so have Tryton's own
        moment = since.astimezone(UTC).replace(tzinfo=None)
        never_written = [["write_date", "=", None], ["create_date", ">=", moment]]
        domain.append(["OR", ["write_date", ">=", moment], never_written])
    found: list[tuple[datetime, int]] = []
    last = 0
    while True:
        part = await session.ask(
            model,
            "search_read",
            [*domain, ["id", ">", last]],
            0,
            _STAMPS_AT_ONCE,
            [["id", "ASC"]],
            ["write_date", "create_date"],
            active_test=False,
        )
        found += [(row["write_date"] or row["create_date"], row["id"]) for row in part]
        if len(part) < _STAMPS_AT_ONCE:
            return sorted(found)
        last = part[-1]["id"]
