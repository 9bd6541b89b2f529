"""What somebody approves when he approves writes: a digest over exactly these writes, and what they change in money.

Pure: the same writes have the same digest, wherever and whenever they were listed.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from meshline_dagster.core.documents import REVERSE
from meshline_dagster.core.identity import canonical_texts, sha256_hex
from meshline_dagster.core.money import to_text

__all__ = ["CANCEL", "ApprovalKind", "Total", "Write", "digest", "totals"]

CANCEL = "cancel"


class ApprovalKind(StrEnum):
    """Why writes wait for an approval."""

    REPLAY = "replay"
    REVERSALS = "reversals"
    RESTATEMENT = "restatement"
    REDATED = "redated"

    @property
    def role(self) -> str:
        """Whose word it takes."""
        return "finance" if self in {ApprovalKind.RESTATEMENT, ApprovalKind.REDATED} else "revops"


@dataclass(frozen=True, slots=True)
class Write:
    """One posting that would be sent.

    Attributes:
        key: its idempotency key: destination, event and revision.
        amount: the target state's amount ex tax, in ``currency``; a cancellation, or a reversal, names what it cancels.
    """

    key: str
    operation: str
    fingerprint: str
    external_id: str
    entity_key: str
    amount: Decimal
    currency: str | None


@dataclass(frozen=True, slots=True)
class Total:
    """The money of one currency over whole entities, ex tax: what stands in the ERP now, and what would stand there afterwards."""

    entities: int = 0
    before: Decimal = Decimal(0)
    after: Decimal = Decimal(0)

    def as_json(self) -> dict[str, int | str]:
        """Plain values; money as text."""
        return {"entities": self.entities, "before": to_text(self.before), "after": to_text(self.after)}


def digest(writes: Iterable[Write]) -> str:
    """SHA-256 (64 hexadecimal digits) over the canonical JSON of the sorted ``key, operation, fingerprint, external id``."""
    listed = sorted((one.key, one.operation, one.fingerprint, one.external_id) for one in writes)
    return sha256_hex(canonical_texts([text for one in listed for text in one]))


def totals(writes: Iterable[Write], standing: Mapping[str, tuple[Decimal, str | None]]) -> dict[str, Total]:
    """Currency -> money, the empty text for none. Customers, which are worth nothing, are left out.

    Args:
        writes: in the order in which they would be sent: of several states of one entity the last one stands in the end.
        standing: entity -> amount and currency that stand in the ERP now.
    """
    last = {one.entity_key: one for one in writes}
    found: dict[str, Total] = {}
    for one in last.values():
        if one.currency is None and not one.amount:
            continue
        after = Decimal(0) if one.operation in {CANCEL, REVERSE} else one.amount
        before = one.amount if one.operation == REVERSE else Decimal(0)
        _add(found, one.currency, Total(1, before, after))
        if one.entity_key in standing:
            amount, currency = standing[one.entity_key]
            _add(found, currency, Total(0, amount, Decimal(0)))
    return found


def _add(found: dict[str, Total], currency: str | None, more: Total) -> None:
    have = found.get(currency or "", Total())
    found[currency or ""] = Total(have.entities + more.entities, have.before + more.before, have.after + more.after)
