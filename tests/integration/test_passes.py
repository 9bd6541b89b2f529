"""What a pass of a delivery takes on: read block by block, for so long, and no further once the ledger has been planned anew."""

import asyncio
from datetime import UTC, datetime, timedelta

from meshline_dagster.core.errors import PlanChangedError
from meshline_dagster.core.ledger import PostingState
from meshline_dagster.delivery import gates, units
from meshline_dagster.delivery.session import DeliveryReport, Session
from meshline_dagster.delivery.units import Units, Way
from meshline_dagster.store.ledger_writes import Change, change_states
from meshline_dagster.store.postings import due_postings, postings_of
from meshline_dagster.testing.memory_erp import MemoryErp, MemoryWriter
from tests.integration.test_delivery_engine import OPTIONS, customer, order, plan_rows, run, states

NOW = datetime(2026, 3, 1, tzinfo=UTC)


class Clock:
    """A clock that stands."""

    def __init__(self):
        self.now = NOW

    def __call__(self):
        return self.now


def planned(ops, orders, erp=None):
    """The ids of so many orders that are due, and of their customer, who is posted."""
    plan_rows(ops, [customer()])
    run(ops, MemoryWriter(erp or MemoryErp()))
    plan_rows(ops, [order(number) for number in range(orders)])
    with ops.read() as connection:
        return due_postings(connection, "memory", range(OPTIONS.shards), now=datetime.now(UTC), limit=9999)


def units_of(ops, due, clock=lambda: NOW):
    session = Session(ops, MemoryWriter(MemoryErp()), OPTIONS, "run", clock, lambda: 0.5, DeliveryReport())
    return Units(session, due)


def test_a_pass_hands_out_what_is_due_once_in_its_order_and_reads_a_block_at_a_time(ops, monkeypatch):
    due, read = planned(ops, 500), []
    monkeypatch.setattr(
        units, "postings_of", lambda connection, ids: read.append(len(ids)) or postings_of(connection, ids)
    )
    work, found = units_of(ops, due), []
    while unit := work.take():
        assert len(read) == 1 + len(found) // 200
        assert unit.way is Way.SEND
        found += [row.id for row in unit.rows]
    assert found == due
    assert (read, work.given) == ([200, 200, 100], 500)


def test_a_pass_that_has_taken_its_time_hands_out_no_more(ops):
    clock = Clock()
    work = units_of(ops, planned(ops, 3), clock)
    clock.now += timedelta(hours=1)  # the time that it took to begin does not count
    assert work.take()
    clock.now += timedelta(seconds=19)
    assert work.take()
    clock.now += timedelta(seconds=1)
    assert work.take() is None
    assert work.given == 2


def test_what_was_left_sending_is_inherited_what_is_unknown_looked_up_and_what_was_closed_since_left_alone(ops):
    due = planned(ops, 4)
    steps = {
        due[0]: [PostingState.SENDING],
        due[1]: [PostingState.SENDING, PostingState.UNKNOWN],
        due[2]: [PostingState.SUPERSEDED],
    }
    for one, states_to_be in steps.items():
        for state in states_to_be:
            with ops.write() as connection:
                change = Change.of(postings_of(connection, [one])[0], state, 0)
                change_states(connection, [change], actor="test", now=NOW)
    work, found = units_of(ops, due), {}
    while unit := work.take():
        found.setdefault(unit.way, []).extend(row.id for row in unit.rows)
    assert found == {Way.INHERIT: [due[0]], Way.LOOK_UP: [due[1]], Way.SEND: [due[3]]}


def test_a_plan_in_the_middle_of_a_pass_ends_the_pass_and_not_the_delivery(ops, monkeypatch):
    erp = MemoryErp()
    planned(ops, 150, erp)
    refused, check = [], gates.check_plan

    def counted(connection, options, number):
        try:
            check(connection, options, number)
        except PlanChangedError:
            refused.append(number)
            raise

    async def plan_another(_):
        if len(erp.writes) > 5 and not refused:
            await asyncio.to_thread(plan_rows, ops, [order(999)])

    monkeypatch.setattr(gates, "check_plan", counted)
    erp.faults = plan_another
    report = run(ops, MemoryWriter(erp, slots=1))
    assert 0 < len(refused) <= 2 * 3  # rows in progress; an item that spoils its group is written once more
    assert report.outcomes == {"created": 151}
    assert states(ops) == {"posted": 152}
