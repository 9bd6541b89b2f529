"""Read-back: an ERP's documents as a feed, so that they land like everything else and nothing is special about them.

An ERP's change stamps are no watermark to trust (rows become visible after later stamps), hence the poll's overlap.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

import pyarrow as pa

from meshline_dagster.core.cursors import Window
from meshline_dagster.core.documents import ACCOUNTING_KINDS, DocumentKind, ErpDocument
from meshline_dagster.core.identity import canonical_json
from meshline_dagster.core.money import to_text
from meshline_dagster.crm.protocol import FeedSchema, FieldSpec, FieldType, Peek
from meshline_dagster.erp.protocol import ErpWriter

__all__ = ["ErpFeed", "document_table"]

_SKEW = timedelta(seconds=5)
_MONEY = pa.decimal128(38, 9)
_FIELDS = (
    FieldSpec("external_id", FieldType.STRING, "text"),
    FieldSpec("number", FieldType.STRING, "text"),
    FieldSpec("status", FieldType.STRING, "text"),
    FieldSpec("event_id", FieldType.STRING, "text"),
    FieldSpec("customer", FieldType.STRING, "text"),
    FieldSpec("currency", FieldType.STRING, "text"),
    FieldSpec("amount", FieldType.DECIMAL, "money", precision=38, scale=9),
    FieldSpec("document_date", FieldType.DATE, "date"),
    FieldSpec("lines", FieldType.STRING, "json"),
)
_ACCOUNTING_FIELDS = (
    FieldSpec("order_external_id", FieldType.STRING, "text"),
    FieldSpec("invoice_external_id", FieldType.STRING, "text"),
)
_SCHEMA = pa.schema(
    [
        ("_id", pa.string()),
        ("_stamp", pa.timestamp("us", tz="UTC")),
        ("_deleted", pa.bool_()),
        ("_payload", pa.string()),
        ("external_id", pa.string()),
        ("number", pa.string()),
        ("status", pa.string()),
        ("event_id", pa.string()),
        ("customer", pa.string()),
        ("currency", pa.string()),
        ("amount", _MONEY),
        ("document_date", pa.date32()),
        ("lines", pa.string()),
    ]
)
_ACCOUNTING_SCHEMA = pa.schema([*_SCHEMA, ("order_external_id", pa.string()), ("invoice_external_id", pa.string())])


class ErpFeed:
    """The documents of one kind as a :class:`~meshline_dagster.crm.protocol.Feed`.

    Args:
        heed: called with each page before it lands. A poll that fails after it reads the page again.
    """

    def __init__(
        self,
        writer: ErpWriter,
        kind: DocumentKind = DocumentKind.SALES_ORDER,
        heed: Callable[[Sequence[ErpDocument]], None] = lambda _: None,
    ) -> None:
        self._writer = writer
        self._kind = kind
        self._heed = heed

    @property
    def name(self) -> str:
        """``<destination>/<kind>``."""
        return f"{self._writer.name}/{self._kind.value}"

    def now(self) -> datetime:
        """Our clock plus a little: documents stamped by an ERP that is slightly ahead are read at once."""
        return datetime.now(UTC) + _SKEW

    def describe(self) -> FeedSchema:
        """The columns of a document; they are ours, so they never drift."""
        more = _ACCOUNTING_FIELDS if self._kind in ACCOUNTING_KINDS else ()
        return FeedSchema(self._kind.value, (*_FIELDS, *more))

    def peek(self, since: datetime | None) -> Peek:  # noqa: ARG002 - an ERP is read back after every delivery
        """Always worth reading: an ERP is also changed by its own users."""
        return Peek(changed=True, hint="")

    def read(self, window: Window) -> Iterator[pa.Table]:
        """All documents that changed inside the window, in pages."""
        loop = asyncio.new_event_loop()
        pages = self._pages(window)
        try:
            while True:
                try:
                    page = loop.run_until_complete(anext(pages))
                except StopAsyncIteration:
                    return
                yield document_table(page)
        finally:
            loop.run_until_complete(self._writer.aclose())
            loop.close()

    async def _pages(self, window: Window) -> AsyncIterator[list[ErpDocument]]:
        await self._writer.open()
        async for page in self._writer.read(self._kind, window.start):
            inside = [document for document in page if document.stamp < window.end]
            if inside:
                self._heed(inside)
                yield inside


def document_table(documents: Sequence[ErpDocument]) -> pa.Table:
    """The landing zone's rows of documents of one kind, one or more."""
    schema = _ACCOUNTING_SCHEMA if documents[0].kind in ACCOUNTING_KINDS else _SCHEMA
    rows = sorted(documents, key=lambda document: (document.stamp, document.erp_id))
    return pa.Table.from_pylist([_row(document) for document in rows], schema=schema)


def _row(document: ErpDocument) -> dict[str, object]:
    lines = json.dumps(
        [
            {
                "sku": line.sku,
                "quantity": to_text(line.quantity),
                "unit_price": to_text(line.unit_price),
                "amount": to_text(line.amount),
                **({} if line.delivered is None else {"delivered": to_text(line.delivered)}),
            }
            for line in document.lines
        ]
    )
    values = {
        "external_id": document.external_id,
        "number": document.number,
        "status": document.status,
        "event_id": document.event_id,
        "customer": document.customer,
        "currency": document.currency,
        "document_date": document.document_date,
        "lines": lines,
    }
    if document.kind in ACCOUNTING_KINDS:
        values |= {"order_external_id": document.order, "invoice_external_id": document.reverses}
    payload = {**values, "amount": to_text(document.amount), "id": document.erp_id}
    payload["document_date"] = document.document_date.isoformat() if document.document_date else None
    return {
        "_id": document.erp_id,
        "_stamp": document.stamp,
        "_deleted": False,
        "_payload": canonical_json(payload).decode(),
        "amount": document.amount,
        **values,
    }
