"""Two documents under one external id: which one is kept, and what takes the others back. Pure.

An ERP that neither knows our keys nor refuses a second document, and that acts later than it promises, can end with two documents however
careful its client is. Read-back shows them. Each one too many is reversed by the ERP's own id of it, never by the external id that it
shares with the one that is kept, and only when somebody has approved exactly that.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from meshline_dagster.core.documents import REVERSE, Answer, DocumentKind, ErpDocument, Outcome
from meshline_dagster.core.identity import canonical_texts, sha256_hex
from meshline_dagster.core.ledger import PostingState
from meshline_dagster.core.money import to_text
from meshline_dagster.core.postings import OutboxRow
from meshline_dagster.core.settle import Settled

__all__ = [
    "NEEDLESS",
    "Choice",
    "Doubled",
    "Standing",
    "after_reversal_lookup",
    "before_reversal",
    "choose",
    "reversal_key",
    "reversal_row",
]

NEEDLESS = "needless"
"""What a reversal is called, by its outcome and by the field of its answer, that is not sent because the ERP shows something else than what
was approved.
"""

_CANCELLED = "cancelled"
_S = PostingState


@dataclass(frozen=True, slots=True)
class Standing:
    """A live document as read-back shows it.

    Attributes:
        amount: ex tax, in ``currency``.
        stamp: when it last changed in the ERP, UTC: what was changed since is another document to approve.
    """

    erp_id: str
    number: str
    amount: Decimal
    currency: str | None
    stamp: datetime


@dataclass(frozen=True, slots=True)
class Doubled:
    """More than one live document under one external id.

    Attributes:
        entity_key: the order that they are for; None: no order of ours.
    """

    kind: DocumentKind
    external_id: str
    entity_key: str | None
    documents: tuple[Standing, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """Which document is kept, and which are too many, by their ids."""

    kept: Standing
    extra: tuple[Standing, ...]


def choose(documents: Sequence[Standing], known: Sequence[str]) -> Choice:
    """Keep the document that the ledger knows, else the one with the lowest id. The order of ``documents`` means nothing.

    Args:
        known: ERP ids that the ledger has for it, the newest first.
    """
    ordered = sorted(documents, key=lambda one: _by_number(one.erp_id))
    there = {one.erp_id: one for one in ordered}
    kept = next((there[erp_id] for erp_id in known if erp_id in there), ordered[0])
    return Choice(kept, tuple(one for one in ordered if one.erp_id != kept.erp_id))


def _by_number(erp_id: str) -> list[tuple[int, int, str]]:
    """``o9`` comes before ``o10``."""
    parts = re.findall(r"[0-9]+|[^0-9]+", erp_id)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]


def reversal_key(entity_key: str, erp_id: str) -> str:
    """The entity of a reversal: one of its own, so that it waits for nothing of its order, not even for what is dead."""
    return f"{entity_key}/reversal/{erp_id}"


def reversal_row(doubled: Doubled, choice: Choice, extra: Standing, entity_key: str, *, now: datetime) -> OutboxRow:
    """What reverses one document: the same documents give the same event id, a document that changed since another.

    Args:
        entity_key: the order's.
    """
    stamp = extra.stamp.astimezone(UTC).isoformat()
    texts = ["reversal", doubled.kind.value, doubled.external_id, extra.erp_id, stamp, choice.kept.erp_id]
    payload = {
        "status": _CANCELLED,
        "erp_id": extra.erp_id,
        "number": extra.number,
        "amount": to_text(extra.amount),
        "currency": extra.currency,
        "stamp": stamp,
        "kept": choice.kept.erp_id,
    }
    return OutboxRow(
        event_id=sha256_hex(canonical_texts(texts)),
        entity_key=reversal_key(entity_key, extra.erp_id),
        document_kind=doubled.kind,
        external_id=doubled.external_id,
        event_time=now,
        operation=REVERSE,
        depends_on=(),
        amount=extra.amount,
        currency=extra.currency,
        document_date=None,
        payload=payload,
    )


def before_reversal(external_id: str, payload: Mapping[str, Any], shown: Mapping[str, ErpDocument]) -> Answer | None:
    """The answer that makes the request needless, or forbids it; None when it is to be sent.

    The document must be there as it was approved, and the one that is kept must stand: else the last one would be taken back.

    Args:
        shown: both documents, by ERP id, as the ERP shows them now.
    """
    erp_id, kept = payload["erp_id"], payload["kept"]
    target, other = shown.get(erp_id), shown.get(kept)
    if target is not None and target.status == _CANCELLED:
        return Answer(Outcome.EXISTS, erp_id=erp_id)
    problem = None
    if target is None:
        problem = f"the ERP shows no document {erp_id}"
    elif other is None or other.status == _CANCELLED or other.external_id != external_id:
        problem = f"{kept}, which was to be kept, does not stand any more: {erp_id} is not cancelled"
    elif (target.external_id, target.amount, target.currency) != (
        external_id,
        Decimal(payload["amount"]),
        payload["currency"],
    ):
        problem = f"{erp_id} is not what was approved any more"
    return None if problem is None else Answer(Outcome.REJECTED, erp_id=erp_id, message=problem, field=NEEDLESS)


def after_reversal_lookup(
    shown: ErpDocument | None,
    *,
    sent_at: datetime,
    settle_after: timedelta,
    attempts: int,
    max_attempts: int,
    now: datetime,
) -> Settled:
    """Settle an unknown reversal by the document with its id; arguments as of :func:`~meshline_dagster.core.settle.after_lookup`."""
    if shown is None:
        return Settled(_S.REJECTED, Outcome.REJECTED.value, "the ERP shows no such document", problem="rejected")
    if shown.status == _CANCELLED:
        return Settled(_S.POSTED, Outcome.EXISTS.value, "", shown.erp_id)
    if now < sent_at + settle_after:
        return Settled(_S.UNKNOWN, Outcome.UNKNOWN.value, "not cancelled yet", due_at=sent_at + settle_after)
    if attempts < max_attempts:
        return Settled(_S.RETRY_DUE, Outcome.ABSENT.value)
    text = f"{attempts} requests got no answer and did not cancel the document"
    return Settled(_S.DEAD, "attempts_used_up", text, problem="attempts_used_up")
