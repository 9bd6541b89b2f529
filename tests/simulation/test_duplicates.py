"""An ERP that takes everything twice and acts later than it promises: what stands twice is detected, and taken back when somebody agrees."""

from contextlib import contextmanager
from dataclasses import replace
from unittest.mock import patch

import pytest

from meshline_dagster.core.documents import Answer, Outcome
from meshline_dagster.delivery import holds, requests, reversing
from meshline_dagster.testing.simulator import Profile, draw_schedule, operators, run_schedule
from meshline_dagster.testing.simulator.faults import FaultKind, FaultPlan
from meshline_dagster.testing.simulator.operations import Operations
from meshline_dagster.testing.simulator.server import SimulatedErp

SEEDS = 8
OTHERS = (FaultKind.RESET_AFTER, FaultKind.TIMEOUT_DONE, FaultKind.BUSY, FaultKind.RESET_LOST, FaultKind.LATE_COMMIT)


def too_late(seed):
    """A schedule in which the ERP acts too late on a third of what it is asked for, and operators approve now and then."""
    drawn = draw_schedule(seed, Profile.LOOKUP_ONLY)
    *outboxes, last = drawn.world.publications
    weights = {FaultKind.TOO_LATE: 1.0} | (dict.fromkeys(OTHERS, 0.2) if seed % 2 else {})
    return replace(
        drawn,
        until=90.0,
        faults=FaultPlan(0.4, weights, (), 90.0),
        max_attempts=30,
        billing=None,
        edits=(),
        world=replace(drawn.world, publications=(*outboxes, replace(last, at=90.0))),
        operations=Operations(approved=(20.0, 40.0, 60.0, 80.0)),
    )


def reversed_orders(outcome):
    return {text.split()[2] for _, text in outcome.trace if text.startswith("erp: reverse") and "updated" in text}


def named(outcome, check):
    return {one.external_id for one in outcome.violations if one.check == check and one.external_id[:3] == "MLO"}


@pytest.mark.slow
def test_every_order_that_stands_twice_is_detected_and_stands_once_when_that_is_approved():
    found = set()
    for seed in range(5 * SEEDS):
        outcome = run_schedule(too_late(seed))
        assert outcome.failures == [], (seed, [str(one) for one in outcome.failures])
        found |= {(seed, name) for name in reversed_orders(outcome)}
        assert not named(outcome, "duplicate")
        lost, overtaken = named(outcome, "lost"), named(outcome, "out of order")
        assert lost & reversed_orders(outcome) <= overtaken  # by a late amendment, which no reversal is about
    assert len(found) > SEEDS


def failures(wanted, **patched):
    """What the oracle says with something taken away, until it has said all that is wanted."""
    [(where, stand_in)] = patched.values()
    name, attribute = where
    found = set()
    with patch.object(name, attribute, stand_in):
        for seed in range(10 * SEEDS):
            found |= {one.check for one in run_schedule(too_late(seed)).failures}
            if wanted <= found:
                break
    return found


def test_without_the_read_back_nobody_would_be_told():
    harms = {"undetected", "no reversal"}
    assert harms <= failures(harms, detection=((operators, "settle_duplicates"), lambda *_, **__: None))


def test_without_the_hold_nobody_would_be_asked():
    harms = {"reversed without approval"}
    assert harms <= failures(harms, hold=((holds, "anything_unapproved"), lambda *_: False))


def test_a_reversal_that_is_said_to_be_done_and_is_not_would_be_found():
    async def nothing(writer, documents):
        return [Answer(Outcome.UPDATED, erp_id=one.erp_id) for one in documents]

    harms = {"no reversal"}
    assert harms <= failures(harms, request=((requests, "reverse"), nothing))


@contextmanager
def kept_document_is_cancelled_by_hand():
    """Just before the first look at both documents."""
    handle, left = SimulatedErp.handle, [True]

    def handled(erp, request, now):
        if request.action == "show" and len(request.external_ids) > 1 and left:
            left.clear()
            [kept] = [one for one in erp.records.documents if one.erp_id == request.external_ids[-1]]
            erp._put(request, kept, replace(kept, content=replace(kept.content, status="cancelled")), now)
        return handle(erp, request, now)

    with patch.object(SimulatedErp, "handle", handled):
        yield


def test_without_the_look_at_the_document_that_is_kept_the_last_one_could_go():
    """Somebody cancels by hand what was to be kept, between the approval and the request."""

    def nobody_looks(external_id, payload, shown):
        return None

    schedule = next(one for one in map(too_late, range(5 * SEEDS)) if reversed_orders(run_schedule(one)))
    for stand_in, last_is_reversed in ((reversing.before_reversal, False), (nobody_looks, True)):
        with patch.object(reversing, "before_reversal", stand_in), kept_document_is_cancelled_by_hand():
            outcome = run_schedule(schedule)
        assert ("reversed the last" in {one.check for one in outcome.violations}) == last_is_reversed
