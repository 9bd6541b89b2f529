"""The simulated ERP: what it holds survives every crash of ours, and it writes a journal that the oracle reads.

Three profiles, as real ERPs differ: one remembers idempotency keys, one refuses a second document with one external id, one takes
everything twice. It knows nothing of our ledger.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Any

from meshline_dagster.core.documents import ACCOUNTING_KINDS, BOOKED_KINDS, MASTER_KINDS, DocumentKind
from meshline_dagster.testing.oracle.records import (
    Bill,
    Content,
    Effect,
    ErpRecords,
    Held,
    Look,
    Price,
    Received,
    Shipped,
)

__all__ = ["KNOWN_SKUS", "SERVICES", "Profile", "Reply", "Request", "SimulatedErp", "Status"]

KNOWN_SKUS = frozenset({"A", "B", "C", "D"})
"""The items that the ERP sells."""

SERVICES = frozenset({"D"})
"""Those of which it never says whether they are delivered."""


class Profile(StrEnum):
    """How the ERP protects itself from a second request."""

    IDEMPOTENT = "idempotent"
    UNIQUE = "unique"
    LOOKUP_ONLY = "lookup_only"


class Status(StrEnum):
    """How a request ended in the ERP."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    TAKEN = "taken"
    REFUSED = "refused"
    FOUND = "found"


@dataclass(frozen=True, slots=True)
class Request:
    """One call to the ERP.

    Attributes:
        action: ``create``, ``draft`` (a document that counts only once it is confirmed), ``confirm``, ``replace``, ``reverse`` (cancel the
            document ``erp_id``), ``find`` or ``show`` (whose ids are the ERP's own).
        sent_at: virtual seconds when it left us.
        process: who sent it: for the oracle, no ERP looks at it.
        late: it reaches the ERP after the time within which the ERP promises to act.
        copy: the network delivers it for the second time.
    """

    action: str
    kind: DocumentKind
    external_ids: tuple[str, ...]
    sent_at: float
    process: str
    key: str = ""
    event_id: str = ""
    payload: Mapping[str, Any] | None = None
    late: bool = False
    copy: bool = False
    erp_id: str | None = None

    @property
    def is_reading(self) -> bool:
        """It changes nothing."""
        return self.action in {"find", "show"}


@dataclass(frozen=True, slots=True)
class Reply:
    """What the ERP says."""

    status: Status
    erp_id: str | None = None
    message: str = ""
    field: str | None = None
    found: Mapping[str, Sequence[Held]] | None = None


_CLOSED = Reply(Status.REFUSED, None, "the period is closed", "invoice_date")


class SimulatedErp:
    """One company's ERP.

    Args:
        closing: ``(virtual seconds, day)``: from then on its books are closed through that day; None: they stay open.
        keeps_items: it sells the items that are among its records, instead of :data:`KNOWN_SKUS`.

    Attributes:
        records: documents, effects and requests, for the oracle.
    """

    def __init__(
        self, profile: Profile, closing: tuple[float, date] | None = None, *, keeps_items: bool = False
    ) -> None:
        self.profile, self._keeps_items = profile, keeps_items
        self._closing = closing
        self.records = ErpRecords()
        self._answers: dict[str, Reply] = {}

    def have(self, kind: DocumentKind, names: Iterable[str]) -> None:
        """Hold masters from the start, as somebody else has made them."""
        for number, external_id in enumerate(names, start=1):
            content = Content("open", None, f"An old {kind.value}", Decimal(0))
            held = Held(kind, external_id, f"old-{kind.value}-{number}", "", content, draft=False, stamp=0.0)
            self.records.documents.append(held)

    def change(self, old: Held, content: Content, now: float) -> None:
        """Somebody who works in the ERP changes a document there."""
        new = replace(old, content=content, stamp=now)
        self.records.documents[self.records.documents.index(old)] = new
        effect = Effect(
            *(now, new.kind, new.external_id, new.erp_id, new.event_id, content, new.draft), bill=new.bill, foreign=True
        )
        self.records.effects.append(effect)

    def ship(self, old: Held, delivered: Mapping[Price, Decimal], now: float) -> None:
        """Say how much of an order's items is with the customer now, in all; of what it had at other prices, as much as before."""
        shipped = {**(old.delivered or {}), **delivered}
        self.records.documents[self.records.documents.index(old)] = replace(old, delivered=shipped, stamp=now)
        self.records.shipped.append(Shipped(now, old.external_id, shipped, SERVICES))

    def enter(
        self,
        kind: DocumentKind,
        external_id: str,
        event_id: str,
        content: Content,
        bill: Bill | None,
        *,
        held: Held | None,
        now: float,
    ) -> Held:
        """An operator enters a document by hand, or changes the one that is there, and so settles an event of ours."""
        if held is None:
            number = f"hand-{kind.value}-{len(self.records.effects) + 1}"
            held = Held(kind, external_id, number, "", content, draft=False, stamp=now, bill=bill)
            self.records.documents.append(held)
        new = replace(held, content=content, stamp=now)
        self.records.documents[self.records.documents.index(held)] = new
        effect = Effect(
            *(now, kind, external_id, new.erp_id, event_id, content, False), bill=bill, foreign=True, settles=True
        )
        self.records.effects.append(effect)
        return new

    def handle(self, request: Request, now: float) -> Reply:
        """Do what is asked for, at once and completely or not at all."""
        if request.action == "find":
            ids = request.external_ids
            found = {one: held for one in ids if (held := self._of(request.kind, one))}
            self.records.looks += [Look(now, request.process, one) for one in ids]
            return Reply(Status.FOUND, found=found)
        if request.action == "show":
            return Reply(
                Status.FOUND, found={one.erp_id: [one] for one in self._with_ids(request, request.external_ids)}
            )
        keyed = self.profile is Profile.IDEMPOTENT
        if keyed and request.key in self._answers:
            reply = replace(self._answers[request.key], status=Status.UNCHANGED)
        else:
            reply = self._write(request, now)
            if keyed and reply.status is not Status.REFUSED:
                self._answers[request.key] = reply
        self._note(request, reply, now)
        return reply

    def _write(self, request: Request, now: float) -> Reply:
        (external_id,) = request.external_ids
        if request.action == "reverse":
            return self._reverse(request, now)
        have = self._of(request.kind, external_id)
        have = [one for one in have if one.is_live] or have
        if request.action == "confirm":
            return self._confirm(request, have, now)
        refusal = self._refusal(request, now)
        if refusal is not None:
            return refusal
        content = Content.of(request.kind, request.payload or {})
        if request.action == "replace":
            return self._replace(request, have, content, now)
        if have and self.profile is Profile.UNIQUE:
            return Reply(Status.TAKEN, have[0].erp_id, "this external id is taken", "external_id", {external_id: have})
        erp_id = f"{request.kind.value}-{len(self.records.effects) + 1}"
        draft = request.action == "draft"
        bill = Bill.of(request.kind, request.payload or {})
        made = Held(request.kind, external_id, erp_id, request.event_id, content, draft, now, bill)
        self.records.documents.append(made)
        self._effect(request, made, now)
        return Reply(Status.CREATED, erp_id)

    def _replace(self, request: Request, have: Sequence[Held], content: Content, now: float) -> Reply:
        if not have:
            return Reply(Status.REFUSED, None, "there is no such document", "external_id")
        old = have[0]
        if old.content == content and old.event_id == request.event_id and not old.draft:
            return Reply(Status.UNCHANGED, old.erp_id)
        if old.kind in BOOKED_KINDS and not old.draft:
            return Reply(Status.REFUSED, None, "what is in the books is never changed", "external_id")
        bill = Bill.of(request.kind, request.payload or {})
        new = replace(old, event_id=request.event_id, content=content, stamp=now, bill=bill)
        self._put(request, old, new, now)
        return Reply(Status.UPDATED, old.erp_id)

    def _reverse(self, request: Request, now: float) -> Reply:
        found = self._with_ids(request, (request.erp_id or "",))
        if not found:
            return Reply(Status.REFUSED, None, "there is no such document", "erp_id")
        [old] = found
        if not old.is_live:
            return Reply(Status.UNCHANGED, old.erp_id)
        content = replace(old.content, status="cancelled")
        self._put(request, old, replace(old, content=content, draft=False, stamp=now), now)
        return Reply(Status.UPDATED, old.erp_id)

    def _with_ids(self, request: Request, erp_ids: Sequence[str]) -> list[Held]:
        return [one for one in self.records.documents if one.kind is request.kind and one.erp_id in erp_ids]

    def _confirm(self, request: Request, have: Sequence[Held], now: float) -> Reply:
        if not have:
            return Reply(Status.REFUSED, None, "there is no such document", "external_id")
        if not have[0].draft:
            return Reply(Status.UNCHANGED, have[0].erp_id)
        if self._is_closed(have[0].bill, now):
            return _CLOSED
        self._put(request, have[0], replace(have[0], draft=False, stamp=now), now)
        return Reply(Status.UPDATED, have[0].erp_id)

    def _refusal(self, request: Request, now: float) -> Reply | None:
        payload = request.payload or {}
        if request.kind in MASTER_KINDS and not payload["name"]:
            return Reply(Status.REFUSED, None, f"a {request.kind.value} has a name", "name")
        missing = next(self._missing(payload), None)
        if missing is not None:
            return Reply(Status.REFUSED, None, f"unknown {missing[0].value} {missing[1]}", missing[0].value)
        if request.kind in MASTER_KINDS:
            return None
        if request.kind is DocumentKind.PAYMENT:
            paid = payload["invoice"]
            known = paid is None or self._counts(DocumentKind.INVOICE, paid)
            return None if known else Reply(Status.REFUSED, None, f"unknown invoice {paid}", "invoice")
        if not self.takes(payload):
            return Reply(Status.REFUSED, None, "unknown item", "lines")
        return self._billing_refusal(request, now)

    def takes(self, payload: Mapping[str, Any]) -> bool:
        """Whether it sells all of these items."""
        return self._keeps_items or all(line["sku"] in KNOWN_SKUS for line in payload["lines"])

    def _missing(self, payload: Mapping[str, Any]) -> Iterator[tuple[DocumentKind, str]]:
        """The masters that a payload names and that are not here, by kind and code."""
        customer, address = DocumentKind.CUSTOMER, DocumentKind.ADDRESS
        named = [(customer, payload.get("customer")), *((address, payload.get(one)) for one in ("bill_to", "ship_to"))]
        if self._keeps_items:
            named += [(DocumentKind.ITEM, line["sku"]) for line in payload.get("lines", ())]
        yield from ((kind, name) for kind, name in named if name is not None and not self._of(kind, name))

    def _billing_refusal(self, request: Request, now: float) -> Reply | None:
        """It takes what is billed or credited too much: to find that is the oracle's business."""
        bill = Bill.of(request.kind, request.payload or {})
        if bill is None:
            return None
        if not self._counts(DocumentKind.SALES_ORDER, bill.order):
            return Reply(Status.REFUSED, None, "unknown order", "order")
        if bill.invoice is not None and not self._counts(DocumentKind.INVOICE, bill.invoice):
            return Reply(Status.REFUSED, None, "unknown invoice", "invoice")
        return _CLOSED if request.action == "create" and self._is_closed(bill, now) else None

    def _is_closed(self, bill: Bill | None, now: float) -> bool:
        return (
            bill is not None
            and self._closing is not None
            and now >= self._closing[0]
            and bill.dated <= self._closing[1]
        )

    def _counts(self, kind: DocumentKind, external_id: str) -> bool:
        return any(not one.draft for one in self._of(kind, external_id))

    def _of(self, kind: DocumentKind, external_id: str) -> list[Held]:
        return [one for one in self.records.documents if one.kind is kind and one.external_id == external_id]

    def _put(self, request: Request, old: Held, new: Held, now: float) -> None:
        documents = self.records.documents
        documents[documents.index(old)] = new
        self._effect(request, new, now)

    def _effect(self, request: Request, held: Held, now: float) -> None:
        self.records.effects.append(
            Effect(
                now,
                held.kind,
                held.external_id,
                held.erp_id,
                held.event_id,
                held.content,
                held.draft,
                request.late,
                request.copy,
                held.bill,
                request.action == "reverse",
                sent_at=request.sent_at,
                process=request.process,
            )
        )

    def _note(self, request: Request, reply: Reply, now: float) -> None:
        missing = next(self._missing(request.payload or {}), None)
        bill = Bill.of(request.kind, request.payload) if request.payload else self._bill_of(request)
        self.records.received.append(
            Received(
                now,
                request.sent_at,
                request.process,
                request.action,
                request.kind,
                request.external_ids[0],
                request.event_id,
                refused=reply.status is Status.REFUSED,
                missing=None if missing is None else f"{missing[0].value} {missing[1]}",
                order_known=self._knows_order(request, bill),
                invoice_known=bill is None or bill.invoice is None or self._counts(DocumentKind.INVOICE, bill.invoice),
                copy=request.copy,
                bill=bill,
            )
        )

    def _knows_order(self, request: Request, bill: Bill | None) -> bool:
        if bill is not None:
            return self._counts(DocumentKind.SALES_ORDER, bill.order)
        return request.action != "replace" or bool(self._of(request.kind, request.external_ids[0]))

    def _bill_of(self, request: Request) -> Bill | None:
        have = self._of(request.kind, request.external_ids[0])
        return have[0].bill if request.kind in ACCOUNTING_KINDS and have else None
