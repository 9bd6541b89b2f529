"""Writes that wait for an approval, at the writer: replays, restatements, and reversals beyond the blast radius."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import DBAPIError
from typer.testing import CliRunner

from meshline_dagster.cli import app
from meshline_dagster.core.approvals import digest
from meshline_dagster.core.documents import DocumentKind
from meshline_dagster.core.errors import ConfigError, PermanentError, PlanChangedError
from meshline_dagster.core.reversals import ReversalLimits
from meshline_dagster.delivery.approvals import ReplayScope, writes_of
from meshline_dagster.delivery.gates import IntentGate, plan_number
from meshline_dagster.delivery.options import Mode
from meshline_dagster.delivery.plan import plan
from meshline_dagster.governance.decisions import approve, named, reject
from meshline_dagster.orchestration.drain_sensor import why_drain
from meshline_dagster.orchestration.settings import RestDestination, SalesforceSource, SyncSettings
from meshline_dagster.store import audit
from meshline_dagster.store.approvals import approvals, waiting
from meshline_dagster.store.builds import Replay
from meshline_dagster.store.exceptions import exceptions
from meshline_dagster.store.tables import approval, posting, waiting_posting
from meshline_dagster.testing.memory_erp import MemoryErp, MemoryWriter
from tests.integration.test_delivery_engine import CUSTOMER, OPTIONS, customer, order, plan_rows, run, states

QUICK = replace(OPTIONS, patience=0.0)
FEW = replace(QUICK, reversals=ReversalLimits(count=2))


def replay_rows(ops, rows, *, replayed=None, entities=None, options=QUICK):
    """A plan whose build covers a replay of ``replayed`` (by default all)."""
    touched = sorted({row.entity_key for row in rows})
    asked = Replay(date(2017, 4, 1), date(2017, 4, 30), ("cli:ann",), entities)
    scope = ReplayScope(asked, frozenset(touched if replayed is None else replayed))
    return plan(
        *(ops, rows),
        touched=touched,
        options=options,
        build_id=None,
        actor="run-1",
        now=datetime.now(UTC),
        scope=scope,
    )


def asked_for(ops):
    with ops.read() as connection:
        return approvals(connection)


def decide(ops, one, how=approve, actor="cli:ben"):
    with ops.write() as connection:
        return how(connection, named(connection, one.digest), actor=actor, reason="looked", now=datetime.now(UTC))


def queue(ops, *codes):
    with ops.read() as connection:
        return [item for item in exceptions(connection) if item.code in codes]


def amounts(erp, number):
    found = erp.of(DocumentKind.SALES_ORDER, order(number).external_id)
    return [(one.status, one.amount) for one in found]


def test_what_a_replay_plans_waits_for_its_digest_and_everything_else_goes_on(ops):
    erp = MemoryErp()
    plan_rows(ops, [customer(), order(1)])
    run(ops, MemoryWriter(erp), QUICK)
    replay_rows(ops, [customer(), order(1), order(2, amount="20"), order(3)], replayed=[order(2).entity_key])
    report = run(ops, MemoryWriter(erp), QUICK)
    assert (report.outcomes, report.unapproved, report.waiting) == ({"created": 1}, 1, 0)
    assert why_drain(ops, QUICK, now=datetime.now(UTC))[0] is False
    [one] = asked_for(ops)
    [item] = queue(ops, "replay_waits_for_approval")
    assert (one.kind, one.role, one.requested_by) == ("replay", "revops", "cli:ann")
    assert (item.owner, item.priority, item.amount, item.currency) == ("revops", "P2", Decimal(20), "USD")
    assert "0.00 -> 20.00 USD (1 entities)" in item.detail
    assert f"`meshline approvals approve {one.digest[:16]} --reason ...`" in item.fix
    assert decide(ops, one) == 1
    assert queue(ops, "replay_waits_for_approval") == []
    assert run(ops, MemoryWriter(erp), QUICK).outcomes == {"created": 1}
    assert states(ops) == {"posted": 4}
    with ops.read() as connection:
        rows = connection.exec_driver_sql("select actor, action, detail from audit_entry order by seq").all()
        assert audit.first_broken(connection) is None
    [entry] = [row for row in rows if row.action == "approval.approved"]
    assert (entry.actor, json.loads(entry.detail)) == (
        "cli:ben",
        {"kind": "replay", "role": "revops", "reason": "looked"},
    )


def test_the_digest_is_over_exactly_the_writes_and_covers_no_other(ops):
    replay_rows(ops, [customer(), order(1), order(2)])
    [one] = asked_for(ops)
    with ops.read() as connection:
        rows = waiting(connection, one)
        assert one.digest == digest(writes_of(rows)) == digest(reversed(writes_of(rows)))
    decide(ops, one)
    replay_rows(ops, [customer(), order(1), order(2), order(3)])
    [other] = asked_for(ops)
    assert other.digest != one.digest
    report = run(ops, MemoryWriter(MemoryErp()), QUICK)
    assert (report.outcomes, report.unapproved) == ({"created": 3}, 1)


def test_who_asked_for_a_replay_cannot_approve_it_and_a_decision_stands(ops):
    replay_rows(ops, [customer(), order(1)])
    [one] = asked_for(ops)
    with pytest.raises(PermanentError, match="the approver is not the author"):
        decide(ops, one, actor="cli:ann")
    assert decide(ops, one) == decide(ops, one) == 2
    with pytest.raises(PermanentError, match="was approved by cli:ben"):
        decide(ops, one, reject)
    with pytest.raises(ConfigError, match="nothing that has the digest"), ops.read() as connection:
        named(connection, "0" * 64)
    with pytest.raises(ConfigError, match="at least 8"), ops.read() as connection:
        named(connection, one.digest[:4])


def test_what_is_rejected_is_superseded_and_returns_only_when_a_replay_asks_again(ops):
    erp = MemoryErp()
    plan_rows(ops, [customer()])
    run(ops, MemoryWriter(erp), QUICK)
    replay_rows(ops, [order(1)])
    [one] = asked_for(ops)
    assert decide(ops, one, reject) == 1
    assert states(ops) == {"posted": 1, "superseded": 1}
    assert plan_rows(ops, [order(1)]).planned == 0
    assert run(ops, MemoryWriter(erp), QUICK).outcomes == {}
    assert replay_rows(ops, [order(1)]).planned == 1
    [again] = asked_for(ops)
    assert again.digest != one.digest
    decide(ops, again)
    assert run(ops, MemoryWriter(erp), QUICK).outcomes == {"created": 1}


def test_an_approval_of_which_nothing_is_left_is_void(ops):
    replay_rows(ops, [customer(), order(1)], replayed=[order(1).entity_key])
    plan(
        *(ops, []),
        touched=[order(1).entity_key],
        options=QUICK,
        build_id=None,
        actor="run-2",
        now=datetime.now(UTC),
    )
    assert asked_for(ops) == []
    assert queue(ops, "replay_waits_for_approval") == []
    with ops.read() as connection:
        [one] = approvals(connection, only_open=False)
    assert (one.decision, one.decided_by) == ("void", "run-2")


def test_a_replay_that_is_limited_plans_its_orders_with_their_customers_and_no_others(ops):
    only = frozenset([order(1).entity_key])
    report = replay_rows(ops, [customer(), order(1), order(2)], entities=only)
    assert report.planned == 2
    plan_rows(ops, [order(3)])
    with ops.read() as connection:
        found = connection.execute(select(posting.c.entity_key).order_by(posting.c.id)).scalars().all()
    assert found == [CUSTOMER, order(1).entity_key, order(3).entity_key]


def test_replays_wait_for_nobody_where_the_settings_say_so_and_never_in_shadow(ops):
    replay_rows(ops, [customer(), order(1)], options=replace(QUICK, approve_replays=False))
    replay_rows(ops, [order(2)], options=replace(QUICK, mode=Mode.SHADOW))
    assert asked_for(ops) == []


@pytest.mark.parametrize("table", [approval, waiting_posting])
def test_the_database_refuses_to_change_a_decision_or_what_waits_for_it(ops, table):
    replay_rows(ops, [customer(), order(1)])
    decide(ops, asked_for(ops)[0])
    change = update(approval).values(decision="void") if table is approval else update(table).values(posting_id=1)
    for statement in (change, table.delete()):
        with pytest.raises(DBAPIError, match=r"never|once"), ops.write() as connection:
            connection.execute(statement)


def test_an_approved_restatement_becomes_one_amendment_and_a_second_plan_finds_nothing(ops):
    erp = MemoryErp()
    plan_rows(ops, [customer(), order(1)])
    run(ops, MemoryWriter(erp), QUICK)
    assert plan_rows(ops, [order(1, amount="11")]).restatements == 1
    assert plan_rows(ops, [order(1, amount="11")]).restatements == 0
    report = run(ops, MemoryWriter(erp), QUICK)
    assert (report.outcomes, report.unapproved, amounts(erp, 1)) == ({}, 1, [("open", Decimal(10))])
    [one] = asked_for(ops)
    [item] = queue(ops, "restatement_candidate")
    assert (one.kind, one.role, item.owner, item.event_id) == ("restatement", "finance", "finance", order(1).event_id)
    assert "amount: 10 -> 11" in item.detail
    decide(ops, one)
    assert run(ops, MemoryWriter(erp), QUICK).outcomes == {"updated": 1}
    assert amounts(erp, 1) == [("open", Decimal(11))]
    assert plan_rows(ops, [order(1, amount="11")]).restatements == 0
    with ops.read() as connection:
        cause, event = connection.execute(select(posting.c.cause, posting.c.event_id).where(posting.c.id == 3)).one()
    assert cause == "restated"
    assert event != order(1).event_id
    assert plan_rows(ops, [order(1)]).restatements == 1  # and back again: another amendment
    decide(ops, asked_for(ops)[0])
    assert run(ops, MemoryWriter(erp), QUICK).outcomes == {"updated": 1}
    assert amounts(erp, 1) == [("open", Decimal(10))]


def test_a_refused_restatement_is_remembered_until_the_derivation_changes_again(ops):
    erp = MemoryErp()
    plan_rows(ops, [customer(), order(1)])
    run(ops, MemoryWriter(erp), QUICK)
    plan_rows(ops, [order(1, amount="11")])
    decide(ops, asked_for(ops)[0], reject)
    assert plan_rows(ops, [order(1, amount="11")]).restatements == 0
    assert replay_rows(ops, [order(1, amount="11")]).restatements == 0
    assert queue(ops, "restatement_candidate") == []
    assert plan_rows(ops, [order(1, amount="12")]).restatements == 1
    assert "amount: 10 -> 12" in queue(ops, "restatement_candidate")[0].detail


def test_a_newer_state_takes_the_place_of_a_candidate_that_waits(ops):
    erp = MemoryErp()
    plan_rows(ops, [customer(), order(1)])
    run(ops, MemoryWriter(erp), QUICK)
    plan_rows(ops, [order(1, amount="11")])
    plan_rows(ops, [order(1, amount="11"), order(1, version=2, amount="15")])
    assert asked_for(ops) == []
    assert run(ops, MemoryWriter(erp), QUICK).outcomes == {"updated": 1}
    assert amounts(erp, 1) == [("open", Decimal(15))]


def test_a_candidate_whose_cause_is_gone_is_taken_back_by_itself(ops):
    plan_rows(ops, [customer(), order(1)])
    run(ops, MemoryWriter(MemoryErp()), QUICK)
    plan_rows(ops, [order(1, amount="11")])
    plan_rows(ops, [order(1)])
    assert (asked_for(ops), queue(ops, "restatement_candidate")) == ([], [])
    assert states(ops) == {"posted": 2, "superseded": 1}


def cancelled(*numbers):
    return [
        row for n in numbers for row in (order(n), replace(order(n, version=2, status="cancelled"), operation="cancel"))
    ]


def test_more_reversals_than_allowed_wait_as_a_whole_and_the_rest_goes_on(ops):
    erp = MemoryErp()
    plan_rows(ops, [customer(), *(order(n) for n in range(5))])
    run(ops, MemoryWriter(erp), FEW)
    plan_rows(ops, [*cancelled(0, 1, 2), order(7)])
    report = run(ops, MemoryWriter(erp), FEW)
    assert (report.outcomes, report.unapproved) == ({"created": 1}, 3)
    assert amounts(erp, 0) == [("open", Decimal(10))]
    [one] = asked_for(ops)
    [item] = queue(ops, "too_many_reversals")
    assert (one.kind, one.requested_by, item.priority, item.amount) == ("reversals", "run-1", "P1", Decimal(30))
    assert "3 reversals, 2 are allowed" in item.detail
    assert f"{order(2).entity_key} 10.00 USD" in item.detail
    assert run(ops, MemoryWriter(erp), FEW).outcomes == {}
    assert len(asked_for(ops)) == 1
    decide(ops, one)
    assert run(ops, MemoryWriter(erp), FEW).outcomes == {"updated": 3}
    assert [status for n in range(3) for status, _ in amounts(erp, n)] == ["cancelled"] * 3


def test_as_many_reversals_as_allowed_need_nobody(ops):
    erp = MemoryErp()
    plan_rows(ops, [customer(), *(order(n) for n in range(5))])
    run(ops, MemoryWriter(erp), FEW)
    plan_rows(ops, cancelled(0, 1))
    assert run(ops, MemoryWriter(erp), FEW).outcomes == {"updated": 2}
    assert asked_for(ops) == []


def test_a_first_load_and_going_live_are_no_reversals(ops):
    erp = MemoryErp()
    report = plan_rows(ops, [customer(), *cancelled(0, 1, 2)], replace(QUICK, mode=Mode.SHADOW))
    assert report.shadowed == 7
    plan_rows(ops, [customer(), *cancelled(0, 1, 2)])
    plan_rows(ops, cancelled(3, 4, 5))
    assert run(ops, MemoryWriter(erp), replace(FEW, at_most=7)).outcomes == {"created": 7}
    report = run(ops, MemoryWriter(erp), FEW)  # in a later run, too
    assert (report.outcomes, report.unapproved) == ({"updated": 6}, 0)


def test_reversals_are_counted_over_all_that_one_delivery_does(ops):
    """Another plan in the middle of a delivery gets only what the first left of the allowance."""
    erp, planned = MemoryErp(), []

    async def in_the_middle(document):
        if document.operation == "cancel" and not planned:
            planned.append(await asyncio.to_thread(plan_rows, ops, cancelled(1, 2)))

    plan_rows(ops, [customer(), *(order(n) for n in range(5))])
    run(ops, MemoryWriter(erp), FEW)
    plan_rows(ops, cancelled(0))
    erp.faults = in_the_middle
    report = run(ops, MemoryWriter(erp), FEW)
    assert planned
    assert (report.outcomes, report.unapproved) == ({"updated": 1}, 2)


def test_from_ten_on_their_share_of_what_the_erp_holds_counts(ops):
    share = replace(QUICK, reversals=ReversalLimits(share=Decimal("0.5")))
    erp = MemoryErp()
    plan_rows(ops, [customer(), *(order(n) for n in range(18)), order(20, amount="200")])
    run(ops, MemoryWriter(erp), share)
    plan_rows(ops, cancelled(*range(10)))
    assert run(ops, MemoryWriter(erp), share).unapproved == 10
    assert "10 reversals of 19 open documents, 50.0% are allowed" in queue(ops, "too_many_reversals")[0].detail


def test_the_commands_list_approve_and_reject_what_waits(ops, store_url, monkeypatch):
    monkeypatch.setenv("MESHLINE_STORE_URL", store_url)
    monkeypatch.setenv("LOGNAME", "ben")
    runner = CliRunner()
    assert runner.invoke(app, ["approvals", "list"]).output == "nothing waits for approval\n"
    replay_rows(ops, [customer(), order(1)])
    [one] = asked_for(ops)
    row = json.loads(runner.invoke(app, ["approvals", "list", "--json"]).output)
    assert (row["digest"], row["writes"], row["role"]) == (one.digest, 2, "revops")
    assert row["money"]["USD"] == {"entities": 1, "before": "0", "after": "10"}
    listed = runner.invoke(app, ["approvals", "list"]).output
    assert "2 writes to be sent: 0.00 -> 10.00 USD (1 entities)" in listed
    assert "asked for by cli:ann" in listed
    done = runner.invoke(app, ["approvals", "approve", one.digest[:8], "--reason", "compared"])
    assert done.output == "approved: 2 writes go with the next run (recorded as cli:ben)\n"
    replay_rows(ops, [order(2)])
    done = runner.invoke(app, ["approvals", "reject", asked_for(ops)[0].digest, "--reason", "no"])
    assert done.output == "rejected: 1 write is taken back (recorded as cli:ben)\n"
    assert "rejected by cli:ben" in runner.invoke(app, ["approvals", "list", "--all"]).output


def test_a_sync_asks_for_approvals_unless_its_settings_say_otherwise():
    settings = SyncSettings(sources=(SalesforceSource(),), destination=RestDestination(), origin="2026-01-01")
    options = settings.delivery()
    assert (options.approve_replays, options.reversals) == (True, ReversalLimits(50, Decimal("0.05")))
    free = {"replays": False, "max_reversals": None, "max_reversal_share": None}
    options = SyncSettings(**{**settings.model_dump(), "approvals": free}).delivery()
    assert (options.approve_replays, options.reversals.is_set) == (False, False)


@pytest.mark.parametrize("how", ["held", "rejected"])
def test_who_read_a_row_as_due_before_it_was_held_back_cannot_send_it(ops, how):
    """Its intent is checked against the plan's number in its own transaction, and holding back is a new plan."""
    plan_rows(ops, [customer(), *(order(n) for n in range(5))])
    run(ops, MemoryWriter(MemoryErp()), FEW)
    plan_rows(ops, cancelled(0, 1, 2))
    if how == "rejected":
        replay_rows(ops, [order(9)])
    with ops.read() as connection:
        gate = IntentGate(FEW, plan_number(connection, FEW))
        gate.check(connection, now=datetime.now(UTC))
    if how == "held":
        run(ops, MemoryWriter(MemoryErp()), FEW)
    else:
        decide(ops, asked_for(ops)[0], reject)
    with pytest.raises(PlanChangedError), ops.write() as connection:
        gate.check(connection, now=datetime.now(UTC))
