"""What an ERP can be asked afterwards: its documents, its journal of effects, its log of requests."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, Self

from meshline_dagster.core.documents import ACCOUNTING_KINDS, MASTER_KINDS, DocumentKind

__all__ = ["Bill", "Content", "Effect", "ErpRecords", "Held", "Look", "Price", "Received", "Shipped"]

Price = tuple[str, Decimal]
"""What is sold, by item and unit price."""

_Line = tuple[str, Decimal, Decimal, Decimal]
_BilledLine = tuple[str, str, Decimal, Decimal, Decimal]


@dataclass(frozen=True, slots=True)
class Content:
    """What a document says, in a form that can be compared.

    Attributes:
        customer: an order's customer by external id; a master's own name.
        lines: ``(sku, quantity, unit price, amount)``, sorted: their order means nothing.
        pays: of a payment, the external id of its invoice; else None.
    """

    status: str
    currency: str | None
    customer: str | None
    amount: Decimal
    lines: tuple[_Line, ...] = ()
    pays: str | None = None

    @classmethod
    def of(cls, kind: DocumentKind, payload: Mapping[str, Any]) -> Self:
        """The content that a payload asks for."""
        if kind in MASTER_KINDS:
            return cls("open", payload["currency"], payload["name"], Decimal(0))
        lines = sorted(
            (line["sku"], Decimal(line["quantity"]), Decimal(line["unit_price"]), Decimal(line["amount"]))
            for line in payload.get("lines", ())
        )
        amount = Decimal(payload["amount"])
        pays = payload["invoice"] if kind is DocumentKind.PAYMENT else None
        return cls(payload["status"], payload["currency"], payload["customer"], amount, tuple(lines), pays)

    def __str__(self) -> str:
        lines = " + ".join(f"{quantity} {sku}" for sku, quantity, _, _ in self.lines)
        return f"{self.status} {self.amount} {self.currency} ({lines})"


@dataclass(frozen=True, slots=True)
class Bill:
    """What an invoice or credit note says of its order.

    Attributes:
        order: the order's external id; state: the event that it follows from.
        invoice: of a credit note, the external id of the invoice that it reverses; None for an invoice.
        dated: the accounting date.
        lines: ``(place on the invoice, sku, quantity, unit price, amount)``.
    """

    order: str
    state: str
    invoice: str | None
    dated: date
    lines: tuple[_BilledLine, ...]

    @classmethod
    def of(cls, kind: DocumentKind, payload: Mapping[str, Any]) -> Self | None:
        """What a payload asks for; None for what is no accounting document."""
        if kind not in ACCOUNTING_KINDS:
            return None
        place = "line" if kind is DocumentKind.INVOICE else "invoice_line"
        names = ("quantity", "unit_price", "amount")
        lines = tuple((line[place], line["sku"], *(Decimal(line[name]) for name in names)) for line in payload["lines"])
        dated = date.fromisoformat(payload["invoice_date"])
        return cls(payload["order"], payload["order_event_id"], payload.get("invoice"), dated, lines)


@dataclass(frozen=True, slots=True)
class Held:
    """A document as the ERP holds it. ``draft``: it exists, but does not count yet. ``stamp``: virtual seconds.

    Attributes:
        bill: of an accounting document; else None.
        delivered: of an order, how much of what is shipped in all, less what came back; None: nothing ever was.
    """

    kind: DocumentKind
    external_id: str
    erp_id: str
    event_id: str
    content: Content
    draft: bool
    stamp: float
    bill: Bill | None = None
    delivered: Mapping[Price, Decimal] | None = None

    @property
    def is_live(self) -> bool:
        """Not cancelled."""
        return self.content.status != "cancelled"


@dataclass(frozen=True, slots=True)
class Effect:
    """One change that the ERP made to a document, with what the document said afterwards.

    Attributes:
        at: virtual seconds.
        late: the request came after the time within which the ERP promises to act (``settle_after``).
        copy: the request was the network's second delivery of one that we sent once.
        bill: of an accounting document; else None.
        reversal: the document was cancelled by its ERP id, as one too many.
        foreign: somebody changed it in the ERP, by hand. settles: and closed the event that it is about.
        sent_at, process: when the request left us (virtual seconds), and who sent it.
    """

    at: float
    kind: DocumentKind
    external_id: str
    erp_id: str
    event_id: str
    content: Content
    draft: bool
    late: bool = False
    copy: bool = False
    bill: Bill | None = None
    reversal: bool = False
    foreign: bool = False
    settles: bool = False
    sent_at: float = 0.0
    process: str = ""

    @property
    def entity(self) -> str:
        """The external id of the customer or order that it belongs to."""
        return self.external_id if self.bill is None else self.bill.order


@dataclass(frozen=True, slots=True)
class Received:
    """One writing request as it reached the ERP.

    Attributes:
        at, sent_at: virtual seconds of its arrival, and of its leaving us.
        process: who sent it.
        missing: kind and code of a master that it names and the ERP did not hold; None: it held them all.
        order_known: it held the order that is billed, or is to be changed. invoice_known: and the invoice that is credited.
        copy: the network delivered it for the second time.
        bill: of an accounting document; else None.
    """

    at: float
    sent_at: float
    process: str
    action: str
    kind: DocumentKind
    external_id: str
    event_id: str
    refused: bool
    missing: str | None
    order_known: bool = True
    invoice_known: bool = True
    copy: bool = False
    bill: Bill | None = None

    @property
    def entity(self) -> str:
        """The external id of the customer or order that it belongs to."""
        return self.external_id if self.bill is None else self.bill.order

    @property
    def state(self) -> str:
        """The event that it brings about, or follows from."""
        return self.event_id if self.bill is None else self.bill.state


@dataclass(frozen=True, slots=True)
class Look:
    """A look-up of one external id, as the ERP answered it: at a virtual second, to a process of ours."""

    at: float
    process: str
    external_id: str


@dataclass(frozen=True, slots=True)
class Shipped:
    """What the ERP said at a virtual second of an order's deliveries.

    Attributes:
        delivered: how much is with the customer, in all. services: the items of which it never says anything.
    """

    at: float
    external_id: str
    delivered: Mapping[Price, Decimal]
    services: frozenset[str]


@dataclass(slots=True)
class ErpRecords:
    """Everything that the ERP knows, oldest first."""

    documents: list[Held] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    shipped: list[Shipped] = field(default_factory=list)

    def standing(self) -> dict[str, list[Held]]:
        """The documents that count, by external id: the live ones, else one that is cancelled."""
        found: dict[str, list[Held]] = {}
        for held in self.documents:
            found.setdefault(held.external_id, []).append(held)
        return {name: [one for one in of if one.is_live] or of[:1] for name, of in found.items()}
