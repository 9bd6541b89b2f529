"""What an answer, or a look-up, makes of a posting. Pure: the engine supplies clock and jitter.

No answer is *unknown*, never failed. An unknown is settled only by what the ERP shows; and only an *absent* document that has
outlived the ERP's ``settle_after`` is sent again, because a late commit may still surface until then.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from meshline_dagster.core.backoff import delay
from meshline_dagster.core.documents import (
    ACCOUNTING_KINDS,
    MASTER_KINDS,
    Answer,
    DocumentKind,
    ErpDocument,
    Outcome,
    standing,
)
from meshline_dagster.core.foreign import (
    CHANGED,
    accepted_state,
    cause_of_change,
    changes_text,
    erp_state,
    foreign_changes,
)
from meshline_dagster.core.ledger import PostingState
from meshline_dagster.core.partials import PartialPolicy, compare_half

__all__ = ["Settled", "after_answer", "after_lookup", "difference", "reversed_in_erp"]

_S = PostingState
_LOOKUP_DELAY = 0.2
_MISSING_AGAIN = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Settled:
    """Where a posting goes now.

    Attributes:
        outcome: the attempt's result in one word (``created``, ``exists``, ``exists_with_different_<field>``, ...).
        due_at: when to look at the posting again; None when it is settled or due at once.
        attempts: how many requests count as made; None: as many as were.
        problem: the exception's code when a person has to look, else None.
        cause: why it is in its state, where that is more than the outcome says.
    """

    state: PostingState
    outcome: str
    message: str = ""
    erp_id: str | None = None
    due_at: datetime | None = None
    attempts: int | None = None
    problem: str | None = None
    cause: str | None = None


def after_answer(
    answer: Answer,
    *,
    kind: DocumentKind,
    attempts: int,
    max_attempts: int,
    now: datetime,
    jitter: float,
    begun: bool = False,
) -> Settled:
    """Settle a request by its answer.

    A refused invoice or credit note is dead, not rejected: what follows it, and its order, must wait until somebody has decided. Else
    an order might be invoiced anew while the credit note of its first invoice is still missing.

    Args:
        attempts: counts this one.
        begun: some of the document was there before the request: "not now" leaves it there, so it does not count as never sent.
    """
    outcome = answer.outcome
    if outcome in {Outcome.CREATED, Outcome.UPDATED, Outcome.EXISTS}:
        return Settled(_S.POSTED, outcome.value, answer.message, answer.erp_id)
    if outcome in {Outcome.EXISTS_DIFFERENT, Outcome.CHANGED}:
        return _not_ours(answer)
    if outcome is Outcome.REJECTED:
        state = _S.DEAD if kind in ACCOUNTING_KINDS else _S.REJECTED
        return Settled(state, outcome.value, answer.message, problem="rejected")
    if outcome is Outcome.ABSENT:  # a master that is only looked for: somebody has to make it, so this never wears out
        return Settled(
            _S.RETRY_DUE, outcome.value, answer.message, due_at=now + _MISSING_AGAIN, problem="missing_in_erp"
        )
    if outcome is Outcome.RETRY:
        settled = _not_now(answer, attempts, max_attempts, now, jitter)
        return replace(settled, state=_S.PARTIAL) if begun and settled.state is _S.RETRY_DUE else settled
    return Settled(_S.UNKNOWN, Outcome.UNKNOWN.value, answer.message, due_at=now + timedelta(seconds=_LOOKUP_DELAY))


def _not_ours(answer: Answer) -> Settled:
    """The ERP's document says something else: for a person to look at."""
    name = f"{answer.outcome.value}_{answer.field or 'content'}"
    cause = None
    if answer.outcome is Outcome.CHANGED:
        name, cause = CHANGED, f"{CHANGED}:{answer.raw['state']}"
    return Settled(_S.DEAD, name, answer.message, answer.erp_id, problem=name, cause=cause)


def _not_now(answer: Answer, attempts: int, max_attempts: int, now: datetime, jitter: float) -> Settled:
    if attempts >= max_attempts:
        return Settled(_S.DEAD, "attempts_used_up", answer.message, problem="attempts_used_up")
    due = now + timedelta(seconds=delay(attempts, jitter, retry_after=answer.retry_after))
    return Settled(_S.RETRY_DUE, answer.outcome.value, answer.message, due_at=due)


def after_lookup(
    found: Sequence[ErpDocument],
    *,
    kind: DocumentKind,
    event_id: str,
    payload: Mapping[str, Any],
    previous: Mapping[str, Any] | None,
    sent_at: datetime,
    settle_after: timedelta,
    attempts: int,
    max_attempts: int,
    now: datetime,
    partial: PartialPolicy = PartialPolicy.COMPLETE,
    cause: str = "",
    closed_by_hand: bool = False,
    sent: Mapping[str, Any] | None = None,
) -> Settled:
    """Settle an unknown posting by what the ERP shows under its external id.

    Args:
        previous: the payload that was posted before this one for the same entity; None for a first posting.
        sent_at: until when the last request may have been started: when it was given up, or its sender was found dead.
        attempts: how many requests were made so far.
        now: when the look-up was asked; what the ERP did after that it could not show.
        partial: what is to become of a document that is there in part, where that can be done without a person.
        cause: why the posting is unknown: an operator may have said what it may overwrite.
        sent: the payload without what is the ERP's; None: all of it is ours.
        closed_by_hand: the state before was settled by an operator, so that nobody knows what the ERP should show of it.
    """
    found = standing(found)
    if len(found) > 1:
        text = f"{len(found)} documents carry one external id: {', '.join(document.erp_id for document in found)}"
        return Settled(_S.DEAD, "duplicate", text, found[0].erp_id, problem="duplicate_in_erp")
    settled_at = sent_at + settle_after
    half_done = bool(found) and found[0].status == "partial"
    if half_done and now >= settled_at and attempts < max_attempts:
        return _half_done(found[0], kind, payload, previous, partial)
    if found and not half_done:
        stood_before = (
            previous is not None
            and found[0].event_id != event_id
            and (difference(kind, previous, found[0]) is None or accepted_state(cause) == erp_state(found[0]))
        )
        if (
            stood_before and now < settled_at
        ):  # whatever it asked for, even for no change: the request may still be under way
            return Settled(_S.UNKNOWN, Outcome.UNKNOWN.value, "not there yet", due_at=settled_at)
        settled = _whole(
            found[0], kind, payload=payload, stood_before=stood_before, is_first=previous is None, policy=partial
        )
        if settled is not None:
            compared = None if closed_by_hand or found[0].event_id == event_id else previous
            return _changed(settled, found[0], kind, payload if sent is None else sent, compared)
    if now < settled_at:
        text = "half done, and the rest may still come" if half_done else "not there yet"
        return Settled(_S.UNKNOWN, "partial" if half_done else Outcome.UNKNOWN.value, text, due_at=settled_at)
    return _absent(attempts, max_attempts, left="half of the document" if half_done else "nothing")


def _whole(
    document: ErpDocument,
    kind: DocumentKind,
    *,
    payload: Mapping[str, Any],
    stood_before: bool,
    is_first: bool,
    policy: PartialPolicy,
) -> Settled | None:
    """None when the ERP shows what stood before, so that this request did nothing.

    A change of what is not compared (an address, the terms, a text) leaves both states alike: where the ERP keeps our event, that of the state before
    tells them apart.
    """
    field = difference(kind, payload, document)
    is_told_apart = stood_before and document.event_id is not None
    if field is None and not is_told_apart:
        return Settled(_S.POSTED, Outcome.EXISTS.value, "", document.erp_id)
    if stood_before:
        return None
    may_be_ours = policy is PartialPolicy.REVERSE and is_first and kind is DocumentKind.SALES_ORDER
    if may_be_ours and document.status == "cancelled":  # nothing of ours ever cancels what belongs in the books
        return reversed_in_erp(document.erp_id)
    name = f"{Outcome.EXISTS_DIFFERENT.value}_{field}"
    return Settled(_S.DEAD, name, "", document.erp_id, problem=name)


def _changed(
    settled: Settled,
    document: ErpDocument,
    kind: DocumentKind,
    payload: Mapping[str, Any],
    previous: Mapping[str, Any] | None,
) -> Settled:
    """An order that differs from what this amendment asks for, and from what stood before: somebody changed it in the ERP."""
    if settled.state is not _S.DEAD or kind is not DocumentKind.SALES_ORDER or previous is None:
        return settled
    changes = foreign_changes(previous, payload, document)
    if not changes:
        return settled
    cause = cause_of_change(document)
    return Settled(_S.DEAD, CHANGED, changes_text(changes), document.erp_id, problem=CHANGED, cause=cause)


def _half_done(
    document: ErpDocument,
    kind: DocumentKind,
    payload: Mapping[str, Any],
    previous: Mapping[str, Any] | None,
    policy: PartialPolicy,
) -> Settled:
    """An amendment that got stuck may still show all of what stood before: that is ours, too."""
    half = compare_half(kind, payload, document)
    if previous is not None and difference(kind, previous, replace(document, status=previous["status"])) is None:
        half = replace(half, foreign=(), other_header=False)
    if half.may(policy, is_first=previous is None):
        return Settled(_S.PARTIAL, "partial", str(half), document.erp_id)
    return Settled(_S.DEAD, "partial", str(half), document.erp_id, problem="partial_in_erp")


def reversed_in_erp(erp_id: str | None) -> Settled:
    """What becomes of a posting whose half-done document was cancelled in the ERP."""
    text = "it was there in part, and is cancelled there now"
    return Settled(_S.REJECTED, "reversed", text, erp_id, problem="partial_reversed")


def _absent(attempts: int, max_attempts: int, *, left: str) -> Settled:
    if attempts < max_attempts:
        return Settled(_S.RETRY_DUE, Outcome.ABSENT.value)
    text = f"{attempts} requests got no answer and left {left} behind"
    return Settled(_S.DEAD, "attempts_used_up", text, problem="attempts_used_up")


def difference(kind: DocumentKind, payload: Mapping[str, Any], document: ErpDocument) -> str | None:
    """The first field in which the ERP's document differs from what was meant; None when they agree.

    Compared for orders, invoices and credit notes (a payment has no lines, and a customer whose it is): status, the order and the invoice that it belongs to, currency, amount and, while
    open, the lines by sku, quantity and amount, as the ERP may split or merge nothing of them. What a master says belongs to the ERP once it exists.
    """
    if kind in MASTER_KINDS:
        return None
    if document.status != payload["status"]:
        return "status"
    if document.status == "cancelled":
        return None
    invoice = document.pays if kind is DocumentKind.PAYMENT else document.reverses
    shown_fields = [("invoice", invoice), ("order", document.order), ("currency", document.currency)]
    if kind is DocumentKind.PAYMENT:
        shown_fields.append(("customer", document.customer))
    for field, shown in shown_fields:
        if shown is not None and shown != payload.get(field):
            return field
    if document.amount != Decimal(payload["amount"]):
        return "amount"
    meant = sorted(
        (line["sku"], Decimal(line["quantity"]), Decimal(line["amount"])) for line in payload.get("lines", ())
    )
    there = sorted((line.sku, line.quantity, line.amount) for line in document.lines)
    return "lines" if document.lines and meant != there else None
