"""The guards are real: take one away, and a schedule finds the lost, double or wrong order that it prevents."""

from contextlib import contextmanager
from dataclasses import replace
from unittest.mock import patch

import pytest
from sqlalchemy import select

from meshline_dagster.core import postings as core_postings
from meshline_dagster.core import settle
from meshline_dagster.core.backlog import BacklogLimits
from meshline_dagster.core.ledger import OPEN_STATES, PostingState
from meshline_dagster.core.postings import NewPosting
from meshline_dagster.delivery import engine, gates, plan, recorder, requests, wanted
from meshline_dagster.delivery.holds import Holds
from meshline_dagster.delivery.pace import Pace
from meshline_dagster.delivery.shards import ShardLeases
from meshline_dagster.store import leases, ledger_writes
from meshline_dagster.store.ledger_writes import _CHANGE
from meshline_dagster.store.postings import due_postings, postings_of
from meshline_dagster.store.tables import posting
from meshline_dagster.testing.oracle import Hold
from meshline_dagster.testing.simulator import Profile, crash_points, draw_schedule, run_schedule
from meshline_dagster.testing.simulator.faults import FaultKind, FaultPlan
from meshline_dagster.testing.simulator.operations import Operations
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
    """Neither the leases are proven in the transaction, nor the token of each row."""
    unfenced = _CHANGE._replace(where="posting.id = given.id AND posting.state = given.before_state")
    with patch.object(leases, "check", lambda *_: None), patch.object(ledger_writes, "_CHANGE", unfenced):
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
    with patch.object(gates, "check_plan", lambda *_: None):
        yield


@contextmanager
def with_a_forged_payload_sent():
    with patch.object(wanted, "sha256_hex", _the_hash_that_was_planned):
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
    """A posted event that is derived otherwise today is planned once more, instead of staying as it was posted."""
    plan_entity = core_postings.plan_entity

    def thawed(rows, known, **given):
        rows, known = list(rows), list(known)
        made = plan_entity(rows, known, **given)
        posted = {one.event_id: one for one in known if one.state is PostingState.POSTED}
        again = tuple(
            NewPosting(row, posted[row.event_id].revision + 1, digest, PostingState.PLANNED, "again")
            for row in rows
            if row.event_id in posted
            and (digest := core_postings.fingerprint(row.payload)) != posted[row.event_id].fingerprint
        )
        candidates_out = tuple(one for one in made.insert if one.cause != core_postings.RESTATED)
        return replace(made, insert=candidates_out + again, restatements=())

    with patch.object(plan, "plan_entity", thawed):
        yield


@contextmanager
def without_the_approval_of_a_restatement():
    read_all = Holds.read_all

    def careless(self, connection):
        read_all(self, connection)
        self._awaits_approval = False

    with patch.object(Holds, "read_all", careless):
        yield


@contextmanager
def without_the_sequence():
    def newest_first(connection, destination, shards, **given):
        heads = due_postings(connection, destination, shards, **given)
        return [_newest(connection, row) for row in postings_of(connection, heads)]

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
        return connection.execute(query).scalar_one()

    with patch.object(engine, "due_postings", newest_first):
        yield


@contextmanager
def without_customers_first():
    def all_heads(connection, destination, shards, **given):
        heads = due_postings(connection, destination, shards, **given)
        there = {row.entity_key for row in postings_of(connection, heads)}
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
                first.setdefault(row.entity_key, row.id)
        return [*heads, *first.values()]

    with patch.object(engine, "due_postings", all_heads):
        yield


@contextmanager
def without_a_last_look_at_pauses():
    with patch.object(Holds, "stops", lambda *_: None):
        yield


@contextmanager
def without_the_backlogs_release():
    read_all = Holds.read_all

    def careless(self, connection):
        read_all(self, connection)
        self.backlog = None

    with patch.object(Holds, "read_all", careless):
        yield


@contextmanager
def without_the_rate_limit():
    async def at_once(self):
        return

    with patch.object(Pace, "turn", at_once):
        yield


@contextmanager
def without_the_wait_that_was_asked_for():
    with patch.object(Pace, "is_delayed", False):
        yield


HARMS = {
    *("duplicate", "lost", "out of order", "wrong content", "not frozen", "customer missing"),
    "unknown event",  # an amendment that nobody has approved
    *("write while paused", "write without release", "too fast", "write while asked to wait"),
}
BROKEN = ("TypeError", "AttributeError", "NameError", "ImportError")
"""What no guard prevents: the way in which it was taken away does not fit delivery any more."""

POST = next(point for point in crash_points() if point.startswith("requests.Requests._post await"))
SLOT = next(point for point in crash_points() if point.startswith("requests.Requests._send await self.slots.run"))
RECORD = next(point for point in crash_points() if point.startswith("requests.Requests._record await"))


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
        calm(schedule),
        world=world,
        slots=1,
        timing=replace(schedule.timing, latency=1.0, timeout=8.0),
        runs=[replace(schedule.runs[0], at=1.0, patience=30.0, interruption=None)],
    )


def forged(schedule):
    """Somebody changes a planned posting in the database."""
    return replace(schedule, forged_at=schedule.until * 0.4, forges_sent=False)


def calm(schedule):
    """No faults, no operators, nobody dies: what is wrong then is wrong by the guard alone."""
    return replace(
        schedule,
        faults=replace(schedule.faults, rate=0.0, outages=()),
        pauses=(),
        operations=Operations(),
        live_from=0.0,
        runs=[replace(run, interruption=None) for run in schedule.runs],
        plan_interruptions=[None] * len(schedule.plan_interruptions),
    )


def stopped_before_a_request(schedule):
    """A run stands still between intent and request until another has taken over, has waited and has sent the same."""
    timing = replace(schedule.timing, latency=0.1, timeout=1.0, settle_after=0.5)
    still = Interruption(SLOT, 1, 20.0)
    runs = [
        replace(schedule.runs[0], at=at, patience=20.0, interruption=one) for at, one in ((2.0, still), (3.0, None))
    ]
    return replace(
        calm(schedule), until=60.0, world=early(schedule.world), timing=timing, runs=runs, slots=1, two_steps=False
    )


def stopped_before_recording(schedule):
    """A run hears "not now" and stands still before it writes that down, until another has taken over and sends the same, slowly."""
    timing = replace(schedule.timing, latency=0.6, timeout=3.0, settle_after=5.0)
    still = Interruption(RECORD, 1, 21.5 + schedule.seed % 10 * 0.2)
    runs = [
        replace(schedule.runs[0], at=at, patience=40.0, again=0.1, interruption=one)
        for at, one in ((2.0, still), (3.0, None))
    ]
    faults = FaultPlan(0.5, {FaultKind.BUSY_UNTIL: 1.0}, (), 60.0)
    return replace(
        calm(schedule),
        until=60.0,
        world=early(schedule.world),
        timing=timing,
        runs=runs,
        faults=faults,
        two_steps=False,
        commit_seconds=0.005,
        shards=1,
        max_attempts=30,
    )


def slow_to_settle(schedule):
    """The ERP often acts on a request that nobody waits for any more, and needs long for it."""
    faults = FaultPlan(0.5, {FaultKind.LATE_COMMIT: 1.0}, (), schedule.until)
    return replace(calm(schedule), faults=faults, timing=replace(schedule.timing, settle_after=15.0, timeout=1.0))


def early(world):
    """The same with all outboxes in the first second, but for the last."""
    *outboxes, last = world.publications
    outboxes = [replace(one, at=0.1 + 0.1 * place) for place, one in enumerate(outboxes)]
    return replace(world, publications=(*outboxes, replace(last, at=60.0)))


def paused_during_a_long_pass(schedule):
    """One customer is paused while a run works that sends one request at a time."""
    pause = Hold(3.0, 30.0, customer="crm/account/0")
    return replace(planned_during_a_long_pass(schedule), operations=Operations(pauses=(pause,)), two_steps=False)


def waiting_for_release(schedule):
    """Nothing may go before an operator has let it, and that happens late."""
    return replace(calm(schedule), operations=Operations(backlog=BacklogLimits(0), released=(schedule.until * 0.9,)))


def limited(schedule):
    """One request every two seconds."""
    return replace(calm(schedule), operations=Operations(rate=0.5, burst=1), two_steps=False)


def asked_to_wait(schedule):
    """The ERP often says when to come back."""
    faults = FaultPlan(0.5, {FaultKind.BUSY_UNTIL: 1.0}, (), schedule.until)
    return replace(calm(schedule), faults=faults, commit_seconds=0.005, two_steps=False)


GUARDS = [
    (without_the_look_up, [Profile.LOOKUP_ONLY], as_drawn),
    (without_settle_after, [Profile.LOOKUP_ONLY], slow_to_settle),
    (without_the_fence, [Profile.LOOKUP_ONLY], stopped_before_recording),
    (without_waiting_for_the_lease, [Profile.LOOKUP_ONLY], stopped_before_a_request),
    (without_the_fingerprint, list(Profile), as_drawn),
    (with_a_forged_payload_sent, list(Profile), forged),
    (without_the_plan_number, list(Profile), planned_during_a_long_pass),
    (with_the_intent_after_the_request, [Profile.LOOKUP_ONLY], killed_while_posting),
    (with_posted_events_sent_again, list(Profile), as_drawn),
    (without_the_approval_of_a_restatement, list(Profile), as_drawn),
    (without_the_sequence, list(Profile), as_drawn),
    (without_customers_first, list(Profile), as_drawn),
    (without_a_last_look_at_pauses, list(Profile), paused_during_a_long_pass),
    (without_the_backlogs_release, list(Profile), waiting_for_release),
    (without_the_rate_limit, list(Profile), limited),
    (without_the_wait_that_was_asked_for, list(Profile), asked_to_wait),
]
"""Each with the profiles in which its harm can show, and with schedules that lead there.

The breaker is not among them: without it nothing wrong reaches the ERP, there are only more requests that nobody answers.
"""


def harm(guard, profiles, change, most=MOST_SEEDS):
    """The first seed that shows harm without the guard, and the harm."""
    with guard():
        for seed in range(most):
            for profile in profiles:
                outcome = run_schedule(change(draw_schedule(seed, profile)))
                assert not [one for one in outcome.failures if any(name in one.message for name in BROKEN)]
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
