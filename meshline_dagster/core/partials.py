"""A document of which only some steps are done, line by line against what was meant: whether it may be completed or reversed. Pure."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

from meshline_dagster.core.documents import DocumentKind, ErpDocument
from meshline_dagster.core.money import to_text

__all__ = ["HalfDone", "PartialPolicy", "compare_half", "policy_of"]

_Line = tuple[str, Decimal, Decimal]


class PartialPolicy(StrEnum):
    """What becomes of a document that is there in part."""

    COMPLETE = "complete"
    REVERSE = "reverse"
    ESCALATE = "escalate"


def policy_of(sent_under: str | None, *, was_sent: bool, current: PartialPolicy) -> PartialPolicy:
    """What holds for one posting: the policy under which it was first sent, so that a change of the setting cancels nothing.

    Args:
        sent_under: what the ledger kept; None: nothing. Where it was sent then, a person is asked before anything is cancelled.
    """
    if sent_under is not None:
        return PartialPolicy(sent_under)
    return PartialPolicy.ESCALATE if was_sent and current is PartialPolicy.REVERSE else current


@dataclass(frozen=True, slots=True)
class HalfDone:
    """What is there of a document, and what is not.

    Attributes:
        missing: lines that were meant and are not there. foreign: lines that are there and were not meant.
        other_header: the currency, or the document that it belongs to, is another one.
    """

    kind: DocumentKind
    missing: tuple[_Line, ...]
    foreign: tuple[_Line, ...]
    other_header: bool

    @property
    def is_ours(self) -> bool:
        """Nothing is there that was not meant: whoever completes it overwrites nobody's work."""
        return not self.foreign and not self.other_header

    def may(self, policy: PartialPolicy, *, is_first: bool) -> bool:
        """Whether the policy can be followed without a person.

        Args:
            is_first: nothing stood under this external id before. An order that stood is never cancelled because its amendment got
                stuck, and what belongs in the books is never cancelled at all.
        """
        if policy is PartialPolicy.REVERSE:
            return self.is_ours and is_first and self.kind is DocumentKind.SALES_ORDER
        return policy is PartialPolicy.COMPLETE and self.is_ours

    def __str__(self) -> str:
        """Line by line, for whoever has to decide."""
        parts = ["some steps are done, others are not"]
        parts += [f"missing: {_text(line)}" for line in self.missing]
        parts += [f"not meant: {_text(line)}" for line in self.foreign]
        return "; ".join([*parts, *(["its header is another one"] if self.other_header else [])])


def compare_half(kind: DocumentKind, payload: Mapping[str, Any], document: ErpDocument) -> HalfDone:
    """Compare by sku, quantity and amount. An ERP that shows no lines of its documents has them all missing."""
    meant = Counter(
        (line["sku"], Decimal(line["quantity"]), Decimal(line["amount"])) for line in payload.get("lines", ())
    )
    there = Counter((line.sku, line.quantity, line.amount) for line in document.lines)
    shown = (("currency", document.currency), ("order", document.order), ("invoice", document.reverses))
    return HalfDone(
        kind,
        tuple(sorted((meant - there).elements())),
        tuple(sorted((there - meant).elements())),
        any(value is not None and value != payload.get(name) for name, value in shown),
    )


def _text(line: _Line) -> str:
    sku, quantity, amount = line
    return f"{to_text(quantity)} {sku} at {to_text(amount)} in all"
