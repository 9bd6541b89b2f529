"""What an ERP can be asked afterwards: its documents, its journal of effects, its log of requests."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Self

from meshline_dagster.core.documents import DocumentKind

__all__ = ["Content", "Effect", "ErpRecords", "Held", "Received"]

_Line = tuple[str, Decimal, Decimal, Decimal]


@dataclass(frozen=True, slots=True)
class Content:
    """What a document says, in a form that can be compared.

    Attributes:
        customer: an order's customer by external id; a customer's own name.
        lines: ``(sku, quantity, unit price, amount)``, sorted: their order means nothing.
    """

    status: str
    currency: str | None
    customer: str | None
    amount: Decimal
    lines: tuple[_Line, ...] = ()

    @classmethod
    def of(cls, kind: DocumentKind, payload: Mapping[str, Any]) -> Self:
        """The content that a payload asks for."""
        if kind is DocumentKind.CUSTOMER:
            return cls("open", payload["currency"], payload["name"], Decimal(0))
        lines = sorted(
            (line["sku"], Decimal(line["quantity"]), Decimal(line["unit_price"]), Decimal(line["amount"]))
            for line in payload["lines"]
        )
        amount = Decimal(payload["amount"])
        return cls(payload["status"], payload["currency"], payload["customer"], amount, tuple(lines))

    def __str__(self) -> str:
        lines = " + ".join(f"{quantity} {sku}" for sku, quantity, _, _ in self.lines)
        return f"{self.status} {self.amount} {self.currency} ({lines})"


@dataclass(frozen=True, slots=True)
class Held:
    """A document as the ERP holds it. ``draft``: it exists, but does not count yet. ``stamp``: virtual seconds."""

    kind: DocumentKind
    external_id: str
    erp_id: str
    event_id: str
    content: Content
    draft: bool
    stamp: float


@dataclass(frozen=True, slots=True)
class Effect:
    """One change that the ERP made to a document, with what the document said afterwards.

    Attributes:
        at: virtual seconds.
        late: the request came after the time within which the ERP promises to act (``settle_after``).
        copy: the request was the network's second delivery of one that we sent once.
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


@dataclass(frozen=True, slots=True)
class Received:
    """One writing request as it reached the ERP.

    Attributes:
        at, sent_at: virtual seconds of its arrival, and of its leaving us.
        process: who sent it.
        customer_known: the ERP held the customer that it names.
        copy: the network delivered it for the second time.
    """

    at: float
    sent_at: float
    process: str
    action: str
    kind: DocumentKind
    external_id: str
    event_id: str
    refused: bool
    customer_known: bool
    copy: bool = False


@dataclass(slots=True)
class ErpRecords:
    """Everything that the ERP knows, oldest first."""

    documents: list[Held] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
