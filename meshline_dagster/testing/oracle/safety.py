"""Safety: what must never be seen in the ERP, whatever failed. Read from the ERP's own records, never from our ledger."""

from collections.abc import Iterator

from meshline_dagster.core.documents import ACCOUNTING_KINDS
from meshline_dagster.testing.oracle.billing import check_billing
from meshline_dagster.testing.oracle.edits import check_edits
from meshline_dagster.testing.oracle.records import Effect, ErpRecords
from meshline_dagster.testing.oracle.truth import EntityTruth, Truth
from meshline_dagster.testing.oracle.violations import Violation

__all__ = ["check_safety"]

_WRITES = frozenset({"create", "draft", "confirm", "replace"})
_ROUNDING = 1e-5  # seconds: clocks count microseconds


def check_safety(records: ErpRecords, truth: Truth) -> list[Violation]:
    """Every violation, in the order of the checks."""
    late = {effect.external_id for effect in records.effects if effect.late}
    return [
        *_duplicates(records, truth, late),
        *_contents(records, truth),
        *_frozen(records, late),
        *_sequence(records, truth, late),
        *_masters_first(records),
        *check_billing(records, truth),
        *check_edits(records, truth),
        *_shadow(records, truth),
        *_held_back(records, truth),
        *_released(records, truth),
        *_approved(records, truth),
        *_reversals(records, truth),
        *_pace(records, truth),
    ]


def _duplicates(records: ErpRecords, truth: Truth, late: set[str]) -> Iterator[Violation]:
    """No two live documents with one external id."""
    for external_id, found in records.standing().items():
        if len(found) > 1:
            ids = [held.erp_id for held in found]
            beyond = external_id in late and not truth.unique
            yield Violation("duplicate", external_id, f"{len(ids)} documents: {', '.join(ids)}", beyond)


def _contents(records: ErpRecords, truth: Truth) -> Iterator[Violation]:
    """No amount, line, status, currency or customer that was never derived for the event which the document carries."""
    for effect in records.effects:
        if effect.kind in ACCOUNTING_KINDS or effect.reversal or effect.foreign:  # these are derived from no outbox
            continue
        entity = truth.entities.get(effect.external_id)
        if entity is None or entity.position_of(effect.event_id) is None:
            yield Violation("unknown event", effect.external_id, f"{effect.event_id[:8]} was never derived")
        elif effect.content not in entity.contents_of(effect.event_id):
            yield Violation("wrong content", effect.external_id, f"{effect.event_id[:8]} became {effect.content}")


def _frozen(records: ErpRecords, late: set[str]) -> Iterator[Violation]:
    """No event posted with one content and later with another."""
    first: dict[str, Effect] = {}
    for effect in records.effects:
        if effect.reversal or effect.foreign:
            continue
        before = first.setdefault(effect.event_id, effect)
        if effect.draft or before.draft:
            first[effect.event_id] = effect
        elif before.content != effect.content:
            text = f"{effect.event_id[:8]} was {before.content}, then {effect.content}"
            yield Violation("not frozen", effect.external_id, text, effect.external_id in late)


def _sequence(records: ErpRecords, truth: Truth, late: set[str]) -> Iterator[Violation]:
    """No older state after a newer one."""
    reached: dict[str, int] = {}
    for effect in records.effects:
        entity = truth.entities.get(effect.external_id)
        position = None if entity is None else entity.position_of(effect.event_id)
        if position is None or effect.draft or effect.reversal or effect.foreign:
            continue
        newest = reached.setdefault(effect.external_id, position)
        if position < newest:
            text = f"state {position} after state {newest} at {effect.at:.2f} s"
            yield Violation("out of order", effect.external_id, text, effect.external_id in late)
        reached[effect.external_id] = max(newest, position)


def _masters_first(records: ErpRecords) -> Iterator[Violation]:
    """Nothing asked for while the ERP has not got its masters (of an address, its customer), and nothing of an order that it has not got: no
    amendment, no cancellation, no invoice; nor a credit note without its invoice.
    """
    for one in records.received:
        if one.action not in _WRITES:
            continue
        if one.missing is not None:
            kind = one.missing.split()[0]
            yield Violation(f"{kind} missing", one.external_id, f"{one.process} asked at {one.sent_at:.2f} s")
        if not one.order_known:
            yield Violation("order missing", one.external_id, f"{one.process} asked at {one.sent_at:.2f} s")
        if not one.invoice_known:
            yield Violation("invoice missing", one.external_id, f"{one.process} asked at {one.sent_at:.2f} s")


def _shadow(records: ErpRecords, truth: Truth) -> Iterator[Violation]:
    """No write by a process in shadow mode."""
    for one in records.received:
        if one.process in truth.shadows:
            yield Violation("write in shadow", one.external_id, f"{one.process} at {one.sent_at:.2f} s")


def _held_back(records: ErpRecords, truth: Truth) -> Iterator[Violation]:
    """No write that left us while a pause or a freeze held its document back."""
    for one in records.received:
        entity = truth.entities.get(one.entity)
        for hold in truth.holds:
            if hold.start + truth.grace < one.sent_at < hold.end and entity is not None and hold.covers(entity):
                yield Violation("write while paused", one.external_id, f"{one.process} at {one.sent_at:.2f} s")


def _released(records: ErpRecords, truth: Truth) -> Iterator[Violation]:
    """No write of an event for which nobody had released what was planned."""
    if truth.released is None:
        return
    for one in records.received:
        planned = truth.planned.get(one.state, 0.0)
        if not any(planned <= released <= one.sent_at for released in truth.released):
            yield Violation("write without release", one.external_id, f"{one.process} at {one.sent_at:.2f} s")


def _approved(records: ErpRecords, truth: Truth) -> Iterator[Violation]:
    """No cancellation of an order that the ledger knew to be there when it was planned, before somebody has approved that."""
    if truth.approved is None or not truth.steady:
        return
    for one in records.received:
        entity, planned = truth.entities.get(one.external_id), truth.planned.get(one.event_id, 0.0)
        if (
            entity is None
            or not _cancels(entity, one.event_id)
            or any(planned <= at <= one.sent_at for at in truth.approved)
        ):
            continue
        others = {other.event_id for other in entity.published} - {one.event_id}
        known = [truth.answered[event] for event in others if event in truth.answered]
        if any(at + truth.recorded_after < planned for at in known):
            yield Violation("reversed without approval", one.external_id, f"{one.process} at {one.sent_at:.2f} s")


def _cancels(entity: EntityTruth, event_id: str) -> bool:
    return any(content.status == "cancelled" for content in entity.contents_of(event_id))


def _reversals(records: ErpRecords, truth: Truth) -> Iterator[Violation]:
    """No document cancelled as one too many that was the only one, or before anybody had approved anything."""
    live: dict[str, set[str]] = {}
    for effect in records.effects:
        there = live.setdefault(effect.external_id, set())
        if effect.content.status == "cancelled":
            there.discard(effect.erp_id)
        else:
            there.add(effect.erp_id)
        if effect.reversal and not there:
            yield Violation("reversed the last", effect.external_id, f"{effect.erp_id} at {effect.at:.2f} s")
    for one in records.received:
        if one.action == "reverse" and not any(at <= one.sent_at for at in truth.decided):
            yield Violation("reversed without approval", one.external_id, f"{one.process} at {one.sent_at:.2f} s")


def _pace(records: ErpRecords, truth: Truth) -> Iterator[Violation]:
    """No more requests in any time than the rate allows, and none while the ERP has asked us to wait."""
    if not truth.steady:
        return
    sent = sorted(
        (one.sent_at, one.external_id) for one in records.received if one.action != "confirm" and not one.copy
    )
    for at, external_id in sent:
        if any(start + truth.delay < at < end - _ROUNDING for start, end in truth.waits):
            yield Violation("write while asked to wait", external_id, f"at {at:.2f} s")
    if truth.rate is None:
        return
    for first, (start, external_id) in enumerate(sent):
        for count, (end, _) in enumerate(sent[first:], start=1):
            if count > truth.burst + truth.rate * (end - start + truth.delay) + _ROUNDING:
                yield Violation(
                    "too fast", external_id, f"{count} requests within {end - start:.2f} s from {start:.2f} s on"
                )
                return
