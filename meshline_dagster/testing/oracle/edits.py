"""Somebody else's work in the ERP: no amendment or cancellation of ours overwrites it unseen.

A change by hand counts as unseen from when it is made until somebody of ours has been told of it (the ERP showed it to a delivery), and has
said that it may be overwritten (a dead posting was retried after that). Excused is only what no client can see: the window of a request, from
the moment at which the ERP answers the look-up that its sender makes right before it, until the ERP acts on it. No kind of ERP here lets a
client say "only if it is still as I saw it". The look-up has to be a fresh one: see ``Truth.looked_within``.

What follows a state that an operator has closed by hand asks for nothing: what stands in the ERP then is his.
"""

from collections.abc import Iterator, Sequence

from meshline_dagster.core.documents import DocumentKind
from meshline_dagster.testing.oracle.records import Content, Effect, ErpRecords
from meshline_dagster.testing.oracle.truth import Truth
from meshline_dagster.testing.oracle.violations import Violation

__all__ = ["check_edits", "standing_edits"]


def check_edits(records: ErpRecords, truth: Truth) -> Iterator[Violation]:
    """Every change by hand that a request of ours overwrote though it was, or had to be, seen before."""
    late = {effect.external_id for effect in records.effects if effect.late}
    edits: dict[str, list[Effect]] = {}
    ours: dict[str, Effect] = {}
    for effect in records.effects:
        if effect.kind is not DocumentKind.SALES_ORDER:
            continue
        if effect.foreign:
            edits.setdefault(effect.erp_id, []).append(effect)
            continue
        before, posted = edits.pop(effect.erp_id, []), ours.get(effect.erp_id)
        ours[effect.erp_id] = effect
        if not before or posted is None or effect.reversal:  # a reversal is approved for what the document says
            continue
        seen = _seen(before, effect, records, truth)
        if seen is None or not _is_lost(seen.content, posted.content, effect.content):
            continue
        if not _is_allowed(seen, posted, effect, records, truth):
            text = f"{seen.content} of {seen.at:.2f} s became {effect.content} at {effect.at:.2f} s"
            yield Violation("overwritten", effect.external_id, text, effect.external_id in late)


def standing_edits(records: ErpRecords) -> set[str]:
    """ERP ids of the documents that stand as somebody has left them."""
    last = {effect.erp_id: effect for effect in records.effects}
    return {erp_id for erp_id, effect in last.items() if effect.foreign}


def _seen(edits: Sequence[Effect], request: Effect, records: ErpRecords, truth: Truth) -> Effect | None:
    """The newest change that the sender of a request had to see before it; None when all were made in the request's window."""
    since = request.sent_at - truth.looked_within
    looked = max(
        (
            look.at
            for look in records.looks
            if look.external_id == request.external_id
            and look.process == request.process
            and since <= look.at <= request.sent_at
        ),
        default=request.sent_at,
    )
    return next((edit for edit in reversed(edits) if edit.at <= looked), None)


def _is_allowed(seen: Effect, posted: Effect, request: Effect, records: ErpRecords, truth: Truth) -> bool:
    closed = truth.closed.get(request.external_id, ())
    if any(posted.at <= at <= request.sent_at for at in closed):
        return True
    looks = [look.at for look in records.looks if look.external_id == request.external_id and look.at >= seen.at]
    retried = truth.retried.get(request.external_id, ())
    return any(look <= at <= request.sent_at for look in looks[:1] for at in retried)


def _is_lost(seen: Content, posted: Content, now: Content) -> bool:
    """Whether a field is neither as it was before the change nor as it is wanted anyway. Of what is cancelled nothing but that counts, and
    what is being cancelled loses whatever was changed.
    """
    if seen.status == "cancelled":
        return "cancelled" not in {posted.status, now.status}
    cancels = now.status == "cancelled"
    return any(
        there != ours and (cancels or there != wanted)
        for there, ours, wanted in zip(*map(_compared, (seen, posted, now)), strict=True)
    )


def _compared(content: Content) -> tuple[object, ...]:
    """Prices follow from quantities and amounts."""
    lines = sorted((sku, quantity, amount) for sku, quantity, _, amount in content.lines)
    return content.currency, content.customer, content.amount, lines
