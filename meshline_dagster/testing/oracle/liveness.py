"""Liveness: once the faults have stopped, everything that can be posted is posted; the rest is visibly an exception with a cause.

An exception is no excuse by itself: it needs a cause in the ground truth, so that a needless one is found too.
"""

from collections.abc import Collection, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from meshline_dagster.core.documents import ACCOUNTING_KINDS, MASTER_KINDS, DocumentKind
from meshline_dagster.core.duplicates import reversal_key
from meshline_dagster.core.foreign import CHANGED
from meshline_dagster.testing.oracle.billing import Account, accounts, wrongly_billed
from meshline_dagster.testing.oracle.edits import standing_edits
from meshline_dagster.testing.oracle.parts import Parts
from meshline_dagster.testing.oracle.records import ErpRecords, Held
from meshline_dagster.testing.oracle.truth import Derivation, EntityTruth, Truth
from meshline_dagster.testing.oracle.violations import Violation

__all__ = ["check_liveness"]

_PASSING = frozenset({"destination_unavailable", "backlog_waits", "too_many_reversals"})
"""Of the destination as a whole: gone once the faults have stopped."""

_READ_BACK = {DocumentKind.SALES_ORDER, *ACCOUNTING_KINDS}
_STOPPING = frozenset({"rejected", "restatement_candidate"})
"""Exceptions of an order whose newest state is not settled: until it is, nobody looks at its milestones again."""

_OF_MILESTONES = frozenset({"milestones_missing", "milestones_not_whole"})

_BLOCKING = frozenset({"attempts_used_up", CHANGED, "duplicate_in_erp"})


def check_liveness(
    records: ErpRecords,
    truth: Truth,
    open_exceptions: Mapping[str, AbstractSet[str]],
    *,
    ended: float,
    prepared: Collection[str] = (),
) -> list[Violation]:
    """Every order or customer that is neither as it should be nor visibly waiting for somebody with reason.

    Args:
        open_exceptions: codes by entity key, from the operators' queue.
        ended: virtual seconds when the last delivery began.
        prepared: ERP ids of the documents whose reversal waits for somebody.
    """
    shown = records.standing()
    late = {effect.entity for effect in records.effects if effect.late}
    edited, left = {effect.external_id for effect in records.effects if effect.foreign}, standing_edits(records)
    books, refused = accounts(records), {one.entity for one in records.received if one.bill and one.refused}
    by_key = {entity.entity_key: entity for entity in truth.entities.values()}
    found = [
        Violation("stale exception", "", f"{code}, although the destination answers and everything was released")
        for code in sorted(set(open_exceptions.get("", ())) & _PASSING)
    ]
    found += _unnoticed(shown, by_key, open_exceptions, prepared)
    for entity in truth.entities.values():
        there = shown.get(entity.external_id, [])
        codes = set(open_exceptions.get(entity.entity_key, ()))
        if any(
            not shown.get(by_key[master].external_id) or _is_given_up(set(open_exceptions.get(master, ())))
            for master in entity.masters
        ):  # it waits for that, whose own check says whether rightly so
            continue
        account = books.get(entity.external_id, Account())
        undecided = account.shown if "restatement_candidate" in codes else None
        parts = _parts(entity, records, truth)
        stands_edited = any(held.erp_id in left for held in there)
        stopped = undecided is not None or stands_edited
        at = ended if undecided is None or parts is not None else undecided.at
        bill = wrongly_billed(account, entity, truth, at, parts, stopped=stopped)
        if "rejected" in codes and _is_newest_refused(entity, account):
            bill = None
        twice = any(len(shown[one]) > 1 for one in (*account.documents, *[held.external_id for held in there]))
        causes = _Causes(
            late=entity.external_id in late,
            twice=twice,
            bill=bill,
            refused=entity.external_id in refused,
            edited=entity.external_id in edited,
            stands_edited=stands_edited,
            undecided=_undecided(account, parts),
        )
        found += _entity(entity, there, codes, truth, causes)
    return found


def _unnoticed(
    shown: Mapping[str, list[Held]],
    by_key: Mapping[str, EntityTruth],
    open_exceptions: Mapping[str, AbstractSet[str]],
    prepared: Collection[str],
) -> Iterator[Violation]:
    """Every document that stands twice is an exception of its order, and all but one of an order are about to be reversed."""
    keys = {entity.external_id: key for key, entity in by_key.items()}
    for external_id, twice in shown.items():
        if len(twice) == 1 or twice[0].kind not in _READ_BACK:
            continue
        bill = twice[0].bill
        key = keys[external_id if bill is None else bill.order]
        if "duplicate" not in open_exceptions.get(key, ()):
            yield Violation("undetected", external_id, f"{len(twice)} documents and nobody is told")
        left = [held.erp_id for held in twice if held.erp_id not in prepared]
        if bill is None and len(left) != 1:
            yield Violation("no reversal", external_id, f"would leave {', '.join(left) or 'none'}")
        elif bill is None and not all(
            _is_stuck(key, held, open_exceptions) for held in twice if held.erp_id in prepared
        ):
            yield Violation(
                "not taken back", external_id, f"{len(twice)} documents, although every reversal was approved"
            )


def _is_stuck(key: str, held: Held, open_exceptions: Mapping[str, AbstractSet[str]]) -> bool:
    """The ERP gave no answer to its reversal while faults lasted: somebody has to try again."""
    return bool(open_exceptions.get(reversal_key(key, held.erp_id)))


@dataclass(frozen=True, slots=True)
class _Causes:
    """What an exception can come of, beside what was derived.

    Attributes:
        late: the ERP acted later than it promises. twice: it holds two of one of the entity's documents.
        bill: what is wrong with its bill; None: nothing. refused: the ERP has refused an invoice or credit note.
        edited: somebody has changed the order in the ERP by hand; stands_edited: and it stands so.
        undecided: the exception that says why nobody can tell what is to be invoiced; None: that can be told.
    """

    late: bool
    twice: bool
    bill: str | None
    refused: bool
    edited: bool
    stands_edited: bool
    undecided: str | None


def _parts(entity: EntityTruth, records: ErpRecords, truth: Truth) -> Parts | None:
    """What an order is invoiced by, where that is in parts."""
    if truth.billing is None or not truth.billing.in_parts:
        return None
    return Parts.of(entity.external_id, truth.billing, records, truth)


def _undecided(account: Account, parts: Parts | None) -> str | None:
    if parts is None or account.shown is None or not parts.is_undecided(account.shown.content):
        return None
    return "milestones_not_whole" if parts.has_milestones else "milestones_missing"


def _entity(
    entity: EntityTruth, there: list[Held], codes: set[str], truth: Truth, causes: _Causes
) -> Iterator[Violation]:
    is_stopped = bool(codes & _STOPPING) or entity.entity_key in truth.forged
    for code in codes - (_OF_MILESTONES if is_stopped else frozenset()):
        if not _has_cause(code, entity, truth, causes):
            yield Violation("needless exception", entity.external_id, f"{code} without a cause")
    if (entity.entity_key in truth.forged and codes) or (entity.customer is None and len(there) == 1):
        return
    if _is_given_up(codes):
        return
    yield from _newest(entity, there, codes, truth, causes)
    if causes.undecided is not None and not causes.edited and not codes & {causes.undecided, *_STOPPING}:
        text = f"nobody is told {causes.undecided}"
        yield Violation("silent", entity.external_id, text, causes.late)
    if causes.bill is not None:
        yield Violation("wrongly billed", entity.external_id, causes.bill, causes.late)


def _newest(
    entity: EntityTruth, there: list[Held], codes: set[str], truth: Truth, causes: _Causes
) -> Iterator[Violation]:
    """Whether the newest state is shown, or said to be refused."""
    late = causes.late
    newest = max(entity.final, key=lambda one: one.position, default=None)
    if newest is None or ("restatement_candidate" in codes and _is_frozen(newest, there)):
        return
    if _is_withdrawn(entity, newest, there) or (newest.content.status == "cancelled" and not there):
        return
    if not newest.accepted and "rejected" not in codes:
        yield Violation("silent", entity.external_id, "the ERP refuses its newest state and nobody is told", late)
    if truth.coalesces and not newest.accepted:  # it made the states before it step aside, and then was refused
        return
    wanted = max((one for one in entity.final if one.accepted), key=lambda one: one.position, default=None)
    if wanted is None or ("restatement_candidate" in codes and _is_frozen(wanted, there)):
        return
    if causes.stands_edited and _is_frozen(wanted, there):  # it was posted, and is somebody else's since
        return
    if wanted.event_id in truth.settled and _is_left_to_people(entity, wanted, there, causes):
        return
    if not _shows(entity, wanted, there):
        text = f"should show {wanted.content}, shows {[str(held.content) for held in there] or 'nothing'}"
        yield Violation("lost", entity.external_id, text, late)


def _is_left_to_people(entity: EntityTruth, closed: Derivation, there: list[Held], causes: _Causes) -> bool:
    """An operator has closed the state: nothing is there, or what he or somebody else has left there."""
    return not there or (
        len(there) == 1 and (causes.stands_edited or there[0].content in entity.contents_of(closed.event_id))
    )


def _is_newest_refused(entity: EntityTruth, account: Account) -> bool:
    """The ERP refuses a state that is newer than what it shows: until somebody has decided, nothing more is billed."""
    shown = None if account.shown is None else entity.position_of(account.shown.event_id)
    return any(not one.accepted and (shown is None or one.position > shown) for one in entity.published)


def _is_given_up(codes: AbstractSet[str]) -> bool:
    """A person has to look before anything of this customer or order is sent again."""
    return bool(codes & _BLOCKING) or any(code.startswith("exists_with_different") for code in codes)


def _is_frozen(wanted: Derivation, there: list[Held]) -> bool:
    """The event was posted as it was derived then; safety has checked that it was derived so."""
    return len(there) == 1 and there[0].event_id == wanted.event_id


def _shows(entity: EntityTruth, wanted: Derivation, there: list[Held]) -> bool:
    if not there:
        return wanted.content.status == "cancelled"
    held = there[0]
    if len(there) > 1 or held.draft:
        return False
    if held.kind in MASTER_KINDS:  # created once; whatever changes later belongs to the ERP's owners
        return True
    if held.content == wanted.content or (held.content.status == wanted.content.status == "cancelled"):
        return True
    return _is_withdrawn(entity, wanted, there)


def _is_withdrawn(entity: EntityTruth, wanted: Derivation, there: list[Held]) -> bool:
    """What is shown was posted, and taken back in the CRM afterwards: posted is frozen."""
    if len(there) != 1 or there[0].event_id in {one.event_id for one in entity.final}:
        return False
    position = entity.position_of(there[0].event_id)
    return position is not None and position > wanted.position


def _has_cause(code: str, entity: EntityTruth, truth: Truth, causes: _Causes) -> bool:
    if code == "rejected":
        return any(not one.accepted for one in entity.published) or (causes.refused and causes.bill is not None)
    if code in {"restatement_candidate", "fingerprint_conflict"}:
        rederived = any(len(entity.contents_of(one.event_id)) > 1 for one in entity.published)
        return rederived or entity.entity_key in truth.forged
    if code == "attempts_used_up":
        return truth.failed.get(entity.external_id, 0) >= truth.max_attempts
    if code in {"duplicate", "duplicate_in_erp"}:
        return causes.twice
    if code == CHANGED or code.startswith("exists_with_different"):
        return causes.edited or causes.late
    return causes.late or code == causes.undecided
