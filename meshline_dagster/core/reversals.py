"""The blast radius: how much of what the ERP holds one run may take back before somebody has to approve it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

__all__ = [
    "FEW",
    "NOTHING_HELD",
    "NO_REVERSAL_LIMITS",
    "Held",
    "Reversal",
    "ReversalLimits",
    "biggest",
    "excess",
    "needs_held",
    "sums",
]

FEW = 9
"""So many reversals are never judged by their share: in a small ledger each one is a large part."""

_SHOWN = 10


@dataclass(frozen=True, slots=True)
class ReversalLimits:
    """The most that one run takes back without an approval. None: any number, any share.

    Attributes:
        count: reversals in one run: cancellations, and credit notes of what is not cancelled.
        share: their part of what stands in the ERP, in [0, 1]: of cancellations that of the open orders, of credit notes that of what is
            invoiced and not credited; by number or by the money of any currency.
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
    """One document that would be taken back, with the money (ex tax) that stands in the ERP for it.

    Attributes:
        is_credit: a credit note takes it back, from what is invoiced; else a cancellation does, from what is open.
    """

    posting_id: int
    entity_key: str
    amount: Decimal
    currency: str | None
    is_credit: bool = False


@dataclass(frozen=True, slots=True)
class Held:
    """What stands in the ERP: how many orders are open, or invoiced, and their money by currency."""

    count: int
    amounts: Mapping[str, Decimal]


NOTHING_HELD = Held(0, {})
"""Nothing stands in the ERP."""


def needs_held(reversals: Sequence[Reversal], limits: ReversalLimits) -> bool:
    """Whether the share of these, all cancellations or all credit notes, counts: to sum up what the ERP holds reads all that was ever posted."""
    return limits.share is not None and len(reversals) > FEW


def excess(
    reversals: Sequence[Reversal], held: Held, limits: ReversalLimits, invoiced: Held = NOTHING_HELD
) -> str | None:
    """Why these are more than goes without an approval; None when they are not.

    Args:
        held: the open orders, only looked at where :func:`needs_held` says so of the cancellations.
        invoiced: the orders that are invoiced, less what is credited; the same of the credit notes.
    """
    count = len(reversals)
    if limits.count is not None and count > limits.count:
        return f"{count} reversals, {limits.count} are allowed"
    cancelled = [one for one in reversals if not one.is_credit]
    credited = [one for one in reversals if one.is_credit]
    return _share(cancelled, held, limits, "reversals", "open") or _share(
        credited, invoiced, limits, "credit notes", "invoiced"
    )


def _share(reversals: Sequence[Reversal], there: Held, limits: ReversalLimits, what: str, where: str) -> str | None:
    """Why these are too large a part of what is there, if they are."""
    if limits.share is None or not needs_held(reversals, limits):
        return None
    if len(reversals) > limits.share * there.count:
        return f"{len(reversals)} {what} of {there.count} {where} documents, {limits.share:.1%} are allowed"
    for currency, amount in sorted(sums(reversals).items()):
        money = there.amounts.get(currency, Decimal(0))
        if amount > limits.share * money:
            return f"{amount:,.2f} of {money:,.2f} {where} {currency}, {limits.share:.1%} is allowed"
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
