"""An ERP in memory, for fault injection: it loses answers, commits late, refuses, and counts what it really holds.

It passes the same conformance suite as the real writers (``testing.erp_conformance``), and no faster path exists in the product
for it.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

from meshline_dagster.core.billing import left_of, over_credited
from meshline_dagster.core.documents import (
    ACCOUNTING_KINDS,
    BOOKED_KINDS,
    MASTER_KINDS,
    REVERSE,
    Answer,
    Document,
    DocumentKind,
    ErpDocument,
    ErpLine,
    Outcome,
    standing,
)
from meshline_dagster.erp.protocol import Capabilities

__all__ = ["Fault", "MemoryErp", "MemoryWriter"]


class Fault(StrEnum):
    """What goes wrong with one request."""

    LOST_REQUEST = "lost_request"  # no answer, nothing done
    LOST_ANSWER = "lost_answer"  # done, no answer
    LATE_COMMIT = "late_commit"  # no answer, done later
    BUSY = "busy"  # refused for now
    HALF_DONE = "half_done"  # no answer, and only the header is there
    UNREACHABLE = "unreachable"  # the connection is refused


@dataclass(slots=True)
class MemoryErp:
    """What the ERP holds, with every write it ever made.

    Args:
        unique: refuse a second document with one external id.
        skus: the items that it holds from the start; an order of others is refused until they are created. None accepts any.
        faults: called with each document before it is handled; None means no fault. A coroutine is awaited: what waits for a database
            must, because the delivery that holds it needs the event loop.
        late: seconds until a late commit happens.
        lag: seconds until a look-up shows what was done, as where a search index follows the documents.
        clock: UTC now.
    """

    unique: bool = True
    skus: frozenset[str] | None = None
    faults: Callable[[Document], Fault | Awaitable[Fault | None] | None] = lambda _: None
    late: float = 0.05
    latency: float = 0.0
    lag: float = 0.0
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    documents: dict[DocumentKind, list[ErpDocument]] = field(default_factory=dict)
    delivered: dict[str, dict[str, Decimal]] = field(default_factory=dict)
    writes: list[Document] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Hold the items that it knows."""
        made = [ErpDocument(DocumentKind.ITEM, f"own-{sku}", sku, sku, "open", self.clock()) for sku in self.skus or ()]
        if made:
            self.documents.setdefault(DocumentKind.ITEM, []).extend(made)

    def of(self, kind: DocumentKind, external_id: str) -> list[ErpDocument]:
        """Everything under one external id."""
        return [one for one in self.documents.get(kind, []) if one.external_id == external_id]

    def shown(self, kind: DocumentKind, external_id: str) -> list[ErpDocument]:
        """What a look-up shows of it by now."""
        latest = self.clock() - timedelta(seconds=self.lag)
        return [one for one in self.of(kind, external_id) if not self.lag or one.stamp <= latest]

    def apply(self, document: Document) -> Answer:
        """Do what a document asks for."""
        if document.operation == REVERSE:
            return self._reverse(document)
        have = standing(self.of(document.kind, document.external_id))
        if have and have[0].status == "partial":
            return self._finish(document, have[0])
        if have and self.unique and document.operation == "create":
            return Answer(Outcome.EXISTS, erp_id=have[0].erp_id)
        refused = self._refusal(document)
        if refused is not None:
            return refused
        if document.operation == "create":
            made = self.build(document, f"{document.kind.value}-{len(self.writes) + 1}")
            self.documents.setdefault(document.kind, []).append(made)
            self.writes.append(document)
            return Answer(Outcome.CREATED, erp_id=made.erp_id)
        return self._change(document, have)

    def deliver(self, external_id: str, sku: str, quantity: Decimal) -> None:
        """Say how much of an item of an order is delivered in all, less what came back; of its other items, nothing unless it was said."""
        self.delivered.setdefault(external_id, {})[sku] = quantity
        orders = self.documents[DocumentKind.SALES_ORDER]
        for place, one in enumerate(orders):
            if one.external_id == external_id:
                orders[place] = replace(one, lines=self._told(external_id, one.lines), stamp=self.clock())

    def _told(self, external_id: str, lines: Sequence[ErpLine]) -> tuple[ErpLine, ...]:
        """The lines with what is delivered of each, once anything is; the first of an item first."""
        left = dict(self.delivered.get(external_id, {}))
        if not left:
            return tuple(lines)
        told = []
        for line in lines:
            quantity = min(line.quantity, left.get(line.sku, Decimal(0)))
            left[line.sku] = left.get(line.sku, Decimal(0)) - quantity
            told.append(replace(line, delivered=quantity))
        return tuple(told)

    def half_do(self, document: Document) -> None:
        """Leave a document behind without its lines."""
        header = self.build(replace(document, payload={**document.payload, "lines": []}), f"half-{len(self.writes)}")
        self.documents.setdefault(document.kind, []).append(replace(header, status="partial"))

    def _finish(self, document: Document, half: ErpDocument) -> Answer:
        kept = [one for one in self.documents[document.kind] if one is not half]
        self.documents[document.kind] = [*kept, self.build(document, half.erp_id)]
        self.writes.append(document)
        return Answer(Outcome.UPDATED, erp_id=half.erp_id)

    def _change(self, document: Document, have: Sequence[ErpDocument]) -> Answer:
        if document.kind in BOOKED_KINDS:
            return Answer(Outcome.REJECTED, message=f"a {document.kind.value} is never changed", field="operation")
        if not self.shown(document.kind, document.external_id):
            text, absent = "there is no such document", document.external_id
            return Answer(Outcome.REJECTED, message=text, field="external_id", absent=absent)
        if have[0].event_id == document.event_id:
            return Answer(Outcome.EXISTS, erp_id=have[0].erp_id)
        kept = [one for one in self.documents[document.kind] if one is not have[0]]
        self.documents[document.kind] = [*kept, self.build(document, have[0].erp_id)]
        self.writes.append(document)
        return Answer(Outcome.UPDATED, erp_id=have[0].erp_id)

    def _reverse(self, document: Document) -> Answer:
        """Cancel the document with this id, whatever else carries its external id."""
        for place, one in enumerate(self.documents.get(document.kind, [])):
            if one.erp_id == document.erp_id:
                if one.status == "cancelled":
                    return Answer(Outcome.EXISTS, erp_id=one.erp_id)
                self.documents[document.kind][place] = replace(one, status="cancelled", stamp=self.clock())
                self.writes.append(document)
                return Answer(Outcome.UPDATED, erp_id=one.erp_id)
        return Answer(Outcome.REJECTED, message=f"there is no document {document.erp_id}", field="erp_id")

    def _refusal(self, document: Document) -> Answer | None:
        if document.kind in {DocumentKind.CUSTOMER, DocumentKind.ITEM}:
            return None
        if document.kind is DocumentKind.CREDIT_NOTE:
            return self._credit_refusal(document)
        order = document.payload["order"] if document.kind is DocumentKind.INVOICE else None
        if order is not None and not self.shown(DocumentKind.SALES_ORDER, order):
            return Answer(Outcome.REJECTED, message="unknown order", field="order", absent=order)
        if not self.shown(DocumentKind.CUSTOMER, customer := document.payload["customer"]):
            return Answer(Outcome.REJECTED, message="unknown customer", field="customer", absent=customer)
        return self._unknown_reference(document.payload)

    def _unknown_reference(self, payload: Mapping[str, Any]) -> Answer | None:
        """Of the invoice, the addresses and the items that a document names."""
        if payload.get("invoice") is not None and not self.of(DocumentKind.INVOICE, payload["invoice"]):
            return Answer(Outcome.REJECTED, message=f"unknown invoice {payload['invoice']}", field="invoice")
        for use in ("bill_to", "ship_to"):
            if payload.get(use) is not None and not self.of(DocumentKind.ADDRESS, payload[use]):
                return Answer(Outcome.REJECTED, message=f"unknown address {payload[use]}", field=use)
        for place, line in enumerate(payload.get("lines", ())):
            if self.skus is not None and not self.of(DocumentKind.ITEM, line["sku"]):
                return Answer(Outcome.REJECTED, message=f"unknown item {line['sku']}", field=f"lines[{place}].sku")
        return None

    def _credit_refusal(self, document: Document) -> Answer | None:
        """Against an invoice that is there, and never beyond what is left of it."""
        name = document.payload["invoice"]
        of_kind = {kind: [one for one in self.writes if one.kind is kind] for kind in ACCOUNTING_KINDS}
        invoices = [(name, one.payload) for one in of_kind[DocumentKind.INVOICE] if one.external_id == name]
        if not invoices:
            return Answer(Outcome.REJECTED, message=f"unknown invoice {name}", field="invoice")
        left = left_of(invoices[:1], [one.payload for one in of_kind[DocumentKind.CREDIT_NOTE]])
        place = over_credited(left, document.payload)
        if place is None:
            return None
        return Answer(Outcome.REJECTED, message="more is credited than is left of the invoice", field=place)

    def build(self, document: Document, erp_id: str) -> ErpDocument:
        """The record that a document becomes. Put into ``documents``, it is one that somebody made by hand."""
        payload = document.payload
        base = ErpDocument(
            kind=document.kind,
            erp_id=erp_id,
            external_id=document.external_id,
            number=erp_id.upper(),
            status="open",
            stamp=self.clock(),
            event_id=document.event_id,
        )
        if document.kind in MASTER_KINDS:
            return replace(base, customer=document.payload.get("customer"))
        lines = tuple(
            ErpLine(line["sku"], Decimal(line["quantity"]), Decimal(line["unit_price"]), Decimal(line["amount"]))
            for line in payload.get("lines", ())
        )
        return replace(
            base,
            status=payload["status"],
            customer=payload["customer"],
            currency=payload["currency"],
            amount=Decimal(payload["amount"]),
            lines=self._told(document.external_id, lines) if document.kind is DocumentKind.SALES_ORDER else lines,
            reverses=payload.get("invoice") if document.kind is DocumentKind.CREDIT_NOTE else None,
            pays=payload.get("invoice") if document.kind is DocumentKind.PAYMENT else None,
            order=payload.get("order"),
            po_number=payload["po_number"] or "" if "po_number" in payload else None,
            bill_to=payload["bill_to"] or "" if "bill_to" in payload else None,
            ship_to=payload["ship_to"] or "" if "ship_to" in payload else None,
            order_date=date.fromisoformat(payload["order_date"]) if payload.get("order_date") else None,
        )


class MemoryWriter:
    """The :class:`~meshline_dagster.erp.protocol.ErpWriter` of a :class:`MemoryErp`."""

    def __init__(
        self, erp: MemoryErp, *, name: str = "memory", settle_after: float = 0.2, timeout: float = 5.0, slots: int = 8
    ) -> None:
        self.erp = erp
        self._name = name
        self._late: set[asyncio.Task[None]] = set()
        pairs = {(kind, "create") for kind in DocumentKind}
        pairs |= {
            (kind, how) for kind in (DocumentKind.CUSTOMER, DocumentKind.SALES_ORDER) for how in ("amend", "cancel")
        }
        pairs.add((DocumentKind.SALES_ORDER, REVERSE))
        self._capabilities = Capabilities(
            native_idempotency=False,
            unique_external_id=erp.unique,
            batch_size=1,
            max_in_flight=slots,
            settle_after=timedelta(seconds=settle_after),
            request_timeout=timeout,
            operations=frozenset(pairs),
            tells_deliveries=True,
        )

    @property
    def name(self) -> str:
        """The destination's name."""
        return self._name

    @property
    def capabilities(self) -> Capabilities:
        """What it declares."""
        return self._capabilities

    async def open(self) -> None:
        """Nothing to connect."""

    async def aclose(self) -> None:
        """Let late commits happen, as a server would."""
        if self._late:
            await asyncio.wait(self._late)

    async def company(self) -> str:
        """The only company."""
        return "1"

    async def post(self, documents: Sequence[Document]) -> list[Answer]:
        """Handle each document, or let its fault happen."""
        return [await self._one(document) for document in documents]

    async def _one(self, document: Document) -> Answer:
        await asyncio.sleep(self.erp.latency)
        fault = self.erp.faults(document)
        if isinstance(fault, Awaitable):
            fault = await fault
        if fault is None:
            return self.erp.apply(document)
        if fault in {Fault.BUSY, Fault.UNREACHABLE}:
            return Answer(Outcome.RETRY, message=fault.value)
        if fault is Fault.HALF_DONE:
            self.erp.half_do(document)
        if fault is Fault.LOST_ANSWER:
            self.erp.apply(document)
        if fault is Fault.LATE_COMMIT:
            due = asyncio.get_running_loop().time() + self.erp.late
            task = asyncio.create_task(self._commit_late(document, due))
            self._late.add(task)
            task.add_done_callback(self._late.discard)
        return Answer(Outcome.UNKNOWN, message=fault.value)

    async def _commit_late(self, document: Document, due: float) -> None:
        await asyncio.sleep(due - asyncio.get_running_loop().time())
        self.erp.apply(document)

    async def find(self, kind: DocumentKind, external_ids: Sequence[str]) -> Mapping[str, list[ErpDocument]]:
        """Look up by external id."""
        await asyncio.sleep(self.erp.latency)
        found = {key: self.erp.shown(kind, key) for key in external_ids}
        return {key: documents for key, documents in found.items() if documents}

    async def show(self, kind: DocumentKind, erp_ids: Sequence[str]) -> Mapping[str, ErpDocument]:
        """Look up by the ERP's own id."""
        await asyncio.sleep(self.erp.latency)
        return {one.erp_id: one for one in self.erp.documents.get(kind, []) if one.erp_id in set(erp_ids)}

    async def read(self, kind: DocumentKind, since: datetime | None) -> AsyncIterator[list[ErpDocument]]:
        """Everything changed since, oldest first."""
        found = [one for one in self.erp.documents.get(kind, []) if since is None or one.stamp >= since]
        if found:
            yield sorted(found, key=lambda one: one.stamp)
