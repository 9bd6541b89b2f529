"""A large backlog waits for release, at the writer: counted, told to finance, and let go by one who is named."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from typer.testing import CliRunner

from meshline_dagster.cli import app
from meshline_dagster.core.backlog import BacklogLimits
from meshline_dagster.orchestration.drain_sensor import why_drain
from meshline_dagster.orchestration.settings import RestDestination, SalesforceSource, SyncSettings
from meshline_dagster.store import audit
from meshline_dagster.store.backlogs import release
from meshline_dagster.store.exceptions import exceptions
from meshline_dagster.testing.memory_erp import Fault, MemoryErp, MemoryWriter
from tests.integration.test_delivery_engine import OPTIONS, customer, order, plan_rows, run, states

FIVE = replace(OPTIONS, patience=0.5, backlog=BacklogLimits(count=5))
RICH = replace(OPTIONS, patience=0.5, backlog=BacklogLimits(amounts={"USD": Decimal(100)}))


def backlog(ops):
    with ops.read() as connection:
        return [item for item in exceptions(connection) if item.code == "backlog_waits"]


def let_go(ops):
    with ops.write() as connection:
        return release(connection, "memory", actor="cli:cfo", reason="go-live", now=datetime.now(UTC))


def test_a_backlog_of_as_many_as_allowed_is_posted_and_one_more_waits_whole(ops):
    erp = MemoryErp()
    plan_rows(ops, [customer()] + [order(n) for n in range(4)])
    assert run(ops, MemoryWriter(erp), FIVE).outcomes == {"created": 5}
    plan_rows(ops, [order(n) for n in range(4, 10)])
    report = run(ops, MemoryWriter(erp), FIVE)
    assert (report.outcomes, report.backlog, report.waiting) == ({}, 6, 0)
    [item] = backlog(ops)
    assert (item.owner, item.priority, item.amount, item.currency) == ("finance", "P2", Decimal(60), "USD")
    assert item.detail == "6 postings worth 60 USD are open"
    assert why_drain(ops, FIVE, now=datetime.now(UTC))[0] is False


def test_a_release_lets_go_what_is_open_and_what_is_planned_later_counts_anew(ops):
    erp = MemoryErp()
    plan_rows(ops, [customer()] + [order(n) for n in range(8)])
    run(ops, MemoryWriter(erp), FIVE)
    assert let_go(ops).count == 9
    assert backlog(ops) == []
    plan_rows(ops, [order(n) for n in range(10, 13)])
    assert why_drain(ops, FIVE, now=datetime.now(UTC))[0] is True
    assert run(ops, MemoryWriter(erp), FIVE).outcomes == {"created": 12}
    plan_rows(ops, [order(n) for n in range(20, 26)])
    assert run(ops, MemoryWriter(erp), FIVE).outcomes == {}
    assert [item.status for item in backlog(ops)] == ["reopened"]
    with ops.read() as connection:
        rows = connection.exec_driver_sql("select actor, action, detail from audit_entry order by seq").all()
        assert audit.first_broken(connection) is None
    [entry] = [row for row in rows if row.action == "backlog.released"]
    assert entry.actor == "cli:cfo"
    assert '"postings":"9"' in entry.detail.replace(" ", "")


def test_released_postings_go_on_while_a_later_backlog_waits(ops):
    erp = MemoryErp(faults=lambda _: Fault.BUSY)
    plan_rows(ops, [customer()])
    run(ops, MemoryWriter(erp), replace(FIVE, patience=0.0))
    let_go(ops)
    plan_rows(ops, [order(n) for n in range(6)])
    erp.faults = lambda _: None
    run(ops, MemoryWriter(erp), replace(FIVE, patience=3.0))
    assert states(ops) == {"posted": 1, "planned": 6}


def test_money_is_counted_once_for_each_order_in_its_newest_state_and_per_currency(ops):
    plan_rows(ops, [customer(), order(1, amount="90"), order(1, version=2, amount="100")])
    assert run(ops, MemoryWriter(MemoryErp()), RICH).outcomes == {"created": 2, "updated": 1}
    plan_rows(ops, [order(2, amount="100.01")])
    assert run(ops, MemoryWriter(MemoryErp()), RICH).backlog == 1
    assert backlog(ops)[0].detail == "1 postings worth 100.01 USD are open"
    other = replace(RICH, backlog=BacklogLimits(amounts={"EUR": Decimal(1)}))
    assert run(ops, MemoryWriter(MemoryErp()), other).backlog == 0
    assert backlog(ops) == []


def test_what_may_have_reached_the_erp_is_settled_also_in_a_backlog(ops):
    erp = MemoryErp()
    plan_rows(ops, [customer(), order(1)])
    erp.faults = lambda document: Fault.LOST_ANSWER if document.operation == "create" and len(erp.writes) else None
    run(ops, MemoryWriter(erp), replace(OPTIONS, patience=0.0))
    assert states(ops) == {"posted": 1, "unknown": 1}
    plan_rows(ops, [order(n) for n in range(2, 9)])
    run(ops, MemoryWriter(erp), replace(FIVE, patience=3.0))
    assert states(ops) == {"posted": 2, "planned": 7}


def test_the_command_releases_only_what_waits_and_says_how_much(ops, store_url, monkeypatch):
    monkeypatch.setenv("MESHLINE_STORE_URL", store_url if isinstance(store_url, str) else str(store_url))
    plan_rows(ops, [customer()] + [order(n) for n in range(6)])
    nothing = CliRunner().invoke(app, ["release", "memory", "--reason", "x"])
    assert nothing.exit_code == 1
    assert "no backlog for 'memory' waits" in nothing.stderr
    run(ops, MemoryWriter(MemoryErp()), FIVE)
    done = CliRunner().invoke(app, ["release", "memory", "--reason", "go-live"])
    assert done.output == "released: 7 postings for memory, 60.00 USD; the next run posts them\n"
    with ops.read() as connection:
        [item] = [one for one in exceptions(connection, only_open=False) if one.code == "backlog_waits"]
    assert (item.status, item.resolution) == ("resolved", "released: go-live")


def test_a_sync_has_a_limit_unless_its_settings_take_it_away():
    settings = SyncSettings(sources=(SalesforceSource(),), destination=RestDestination(), origin="2026-01-01")
    assert settings.delivery().backlog == BacklogLimits(10_000)
    free = SyncSettings(**{**settings.model_dump(), "backlog": {"count": None, "amounts": {"EUR": "5e6"}}})
    assert free.delivery().backlog == BacklogLimits(None, {"EUR": Decimal(5_000_000)})
    assert not BacklogLimits().is_set


@pytest.mark.parametrize("limits", [BacklogLimits(), BacklogLimits(count=1000)])
def test_without_a_limit_or_below_it_nothing_waits(ops, limits):
    plan_rows(ops, [customer(), order(1)])
    assert run(ops, MemoryWriter(MemoryErp()), replace(OPTIONS, backlog=limits)).outcomes == {"created": 2}
    assert backlog(ops) == []
