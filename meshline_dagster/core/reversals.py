"""The blast radius: how much of what the ERP holds one run may take back before somebody has to approve it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

__all__ = ["FEW", "NO_REVERSAL_LIMITS", "Held", "Reversal", "ReversalLimits", "biggest", "excess", "needs_held", "sums"]

FEW = 9
"""So many reversals are never judged by their share: in a small ledger each one is a large part."""

_SHOWN = 10


@dataclass(frozen=True, slots=True)
class ReversalLimits:
    """The most that one run takes back without an approval. None: any number, any share.

    Attributes:
        count: reversals in one run: cancellations, and credit notes of what is not cancelled.
        share: their part of what is open in the ERP, by number or by the money of any currency, in [0, 1].
    """

    count: int | None = None
    share: Decimal | None = None

    @property
    def is_set(self) -> bool:
        """Whether there is any limit."""
        return self.count is not None or self.share is not None


NO_REVERSAL_LIMITS = ReversalLimits()
"""Anything may be taken back."""


@dataclass(frozen=True, slots=True)
class Reversal:
    """One document that would be taken back, with the money (ex tax) that stands in the ERP for it."""

    posting_id: int
    entity_key: str
    amount: Decimal
    currency: str | None


@dataclass(frozen=True, slots=True)
class Held:
    """What is open in the ERP: documents, and their money by currency."""

    count: int
    amounts: Mapping[str, Decimal]


def needs_held(reversals: Sequence[Reversal], limits: ReversalLimits) -> bool:
    """Whether their share counts: to sum up what the ERP holds reads all that was ever posted."""
    return limits.share is not None and len(reversals) > FEW


def excess(reversals: Sequence[Reversal], held: Held, limits: ReversalLimits) -> str | None:
    """Why these are more than goes without an approval; None when they are not.

    Args:
        held: only looked at where :func:`needs_held` says so.
    """
    count = len(reversals)
    if limits.count is not None and count > limits.count:
        return f"{count} reversals, {limits.count} are allowed"
    if limits.share is None or count <= FEW:
        return None
    if count > limits.share * held.count:
        return f"{count} reversals of {held.count} open documents, {limits.share:.1%} are allowed"
    for currency, amount in sorted(sums(reversals).items()):
        there = held.amounts.get(currency, Decimal(0))
        if amount > limits.share * there:
            return f"{amount:,.2f} of {there:,.2f} open {currency}, {limits.share:.1%} is allowed"
    return None


def sums(reversals: Iterable[Reversal]) -> dict[str, Decimal]:
    """Money by currency; the empty text for none."""
    found: dict[str, Decimal] = {}
    for one in reversals:
        found[one.currency or ""] = found.get(one.currency or "", Decimal(0)) + one.amount
    return found


def biggest(reversals: Iterable[Reversal]) -> list[Reversal]:
    """The ten with the most money, the largest first."""
    return sorted(reversals, key=lambda one: (-one.amount, one.entity_key))[:_SHOWN]
