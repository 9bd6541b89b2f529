"""The guards are real: take one away, and a schedule finds the lost, double or wrong order that it prevents."""

from contextlib import contextmanager
from dataclasses import replace
from unittest.mock import patch

import pytest
from sqlalchemy import select

from meshline_dagster.core import postings as core_postings
from meshline_dagster.core import settle
from meshline_dagster.core.ledger import OPEN_STATES, PostingState
from meshline_dagster.core.postings import EntityPlan, NewPosting
from meshline_dagster.delivery import engine, plan, recorder, requests
from meshline_dagster.delivery.shards import ShardLeases
from meshline_dagster.store import leases
from meshline_dagster.store.postings import due_postings, postings_of
from meshline_dagster.store.tables import posting
from meshline_dagster.testing.simulator import Profile, crash_points, draw_schedule, run_schedule
from meshline_dagster.testing.simulator.process import Interruption

MOST_SEEDS = 1_000


@contextmanager
def without_the_look_up():
    def absent(found, **known):
        return settle.Settled(PostingState.RETRY_DUE, "absent")

    with patch.object(requests, "after_lookup", absent):
        yield


@contextmanager
def without_settle_after():
    def at_once(found, **known):
        return settle.after_lookup(found, **{**known, "sent_at": known["sent_at"] - known["settle_after"]})

    with patch.object(requests, "after_lookup", at_once):
        yield


@contextmanager
def without_the_fence():
    with patch.object(leases, "check", lambda *_: None):
        yield


@contextmanager
def without_waiting_for_the_lease():
    with patch.object(ShardLeases, "covers", lambda *_: True):
        yield


@contextmanager
def without_the_fingerprint():
    fingerprint = core_postings.fingerprint
    with patch.object(core_postings, "fingerprint", lambda payload: _Anything(fingerprint(payload))):
        yield


@contextmanager
def with_the_intent_after_the_request():
    intend, settle_one = recorder.Recorder.intend, recorder.Recorder.record

    async def later(self, rows, attempts, now):
        self.unwritten = [*getattr(self, "unwritten", ()), (rows, attempts, now)]

    async def both(self, results, opened=()):
        if not opened:
            unwritten, self.unwritten = getattr(self, "unwritten", []), []
            for rows, attempts, now in unwritten:
                await intend(self, rows, attempts, now)
        await settle_one(self, results, opened)

    with patch.object(recorder.Recorder, "intend", later), patch.object(recorder.Recorder, "record", both):
        yield


@contextmanager
def without_the_plan_number():
    with patch.object(recorder, "check_plan", lambda *_: None):
        yield


@contextmanager
def with_a_forged_payload_sent():
    with patch.object(requests, "sha256_hex", _the_hash_that_was_planned):
        yield


class _Anything(str):
    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other):
        return True

    def __ne__(self, other):
        return False


def _the_hash_that_was_planned(data):
    return _Anything()


@contextmanager
def with_posted_events_sent_again():
    plan_entity = core_postings.plan_entity

    def thawed(rows, known, *, live):
        known = list(known)
        made = plan_entity(rows, known, live=live)
        revisions = {one.event_id: one.revision for one in known}
        again = tuple(
            NewPosting(
                row, revisions[row.event_id] + 1, core_postings.fingerprint(row.payload), PostingState.PLANNED, "again"
            )
            for row in made.restatements
        )
        return EntityPlan(made.insert + again, made.supersede, made.release, (), made.conflicts)

    with patch.object(plan, "plan_entity", thawed):
        yield


@contextmanager
def without_the_sequence():
    def newest_first(connection, destination, shards, *, now, limit):
        heads = due_postings(connection, destination, shards, now=now, limit=limit)
        return [_newest(connection, row) for row in heads]

    def _newest(connection, head):
        query = (
            select(posting.c.id)
            .where(
                posting.c.entity_key == head.entity_key,
                posting.c.state.in_([PostingState.PLANNED.value, head.state.value]),
            )
            .order_by(posting.c.event_time.desc())
            .limit(1)
        )
        return postings_of(connection, [connection.execute(query).scalar_one()])[0]

    with patch.object(engine, "due_postings", newest_first):
        yield


@contextmanager
def without_customers_first():
    def all_heads(connection, destination, shards, *, now, limit):
        heads = due_postings(connection, destination, shards, now=now, limit=limit)
        there = {row.entity_key for row in heads}
        query = (
            select(posting.c.id)
            .where(
                posting.c.shard.in_(shards),
                posting.c.state.in_([state.value for state in OPEN_STATES]),
                posting.c.due_at.is_(None),
            )
            .order_by(posting.c.event_time)
        )
        first = {}
        for row in postings_of(connection, list(connection.execute(query).scalars())):
            if row.entity_key not in there:
                first.setdefault(row.entity_key, row)
        return [*heads, *first.values()]

    with patch.object(engine, "due_postings", all_heads):
        yield


HARMS = {"duplicate", "lost", "out of order", "wrong content", "not frozen", "customer missing"}
POST = next(point for point in crash_points() if point.startswith("requests.Requests._post await"))


def as_drawn(schedule):
    return schedule


def killed_while_posting(schedule):
    """Each run, between its second request and the outcome."""
    return replace(schedule, runs=[replace(run, interruption=Interruption(POST, 2)) for run in schedule.runs])


def planned_during_a_long_pass(schedule):
    """One run that sends one request at a time, each taking long, while the outboxes come one after the other."""
    first, *later = schedule.world.publications[:-1]
    outboxes = [replace(first, at=0.5), *(replace(one, at=2.0 + 2 * place) for place, one in enumerate(later))]
    world = replace(schedule.world, publications=(*outboxes, schedule.world.publications[-1]))
    return replace(
        schedule,
        world=world,
        slots=1,
        timing=replace(schedule.timing, latency=1.0, timeout=8.0),
        faults=replace(schedule.faults, rate=0.0, outages=()),
        runs=[replace(schedule.runs[0], at=1.0, patience=30.0, interruption=None)],
    )


def forged(schedule):
    """Somebody changes a planned posting in the database."""
    return replace(schedule, forged_at=schedule.until * 0.4)


GUARDS = [
    (without_the_look_up, [Profile.LOOKUP_ONLY], as_drawn),
    (without_settle_after, [Profile.LOOKUP_ONLY], as_drawn),
    (without_the_fingerprint, list(Profile), as_drawn),
    (with_a_forged_payload_sent, list(Profile), forged),
    (without_the_plan_number, list(Profile), planned_during_a_long_pass),
    (with_the_intent_after_the_request, [Profile.LOOKUP_ONLY], killed_while_posting),
    (with_posted_events_sent_again, list(Profile), as_drawn),
    (without_the_sequence, list(Profile), as_drawn),
    (without_customers_first, list(Profile), as_drawn),
]
"""Each with the profiles in which its harm can show, and with schedules that lead there."""


def harm(guard, profiles, change, most=MOST_SEEDS):
    """The first seed that shows harm without the guard, and the harm."""
    with guard():
        for seed in range(most):
            for profile in profiles:
                outcome = run_schedule(change(draw_schedule(seed, profile)))
                found = [one for one in outcome.failures if one.check in HARMS]
                if found:
                    return seed, profile, str(found[0])
    return None


@pytest.mark.slow
@pytest.mark.parametrize(("guard", "profiles", "change"), GUARDS, ids=[guard.__name__ for guard, _, _ in GUARDS])
def test_a_schedule_finds_the_harm_that_a_guard_prevents(guard, profiles, change):
    found = harm(guard, profiles, change)
    assert found is not None
    seed, profile, _ = found
    assert run_schedule(change(draw_schedule(seed, profile))).failures == []  # with the guard, the same story ends well
