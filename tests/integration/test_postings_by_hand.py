"""The two ways out for a dead posting, from the command line through the next plan and delivery."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from typer.testing import CliRunner

from meshline_dagster.cli import app
from meshline_dagster.core.documents import DocumentKind
from meshline_dagster.core.errors import RefusedError
from meshline_dagster.core.followups import BillingPolicy
from meshline_dagster.delivery.session import utc_now
from meshline_dagster.store import audit
from meshline_dagster.store.exceptions import exceptions
from meshline_dagster.testing.memory_erp import Fault, MemoryErp, MemoryWriter
from tests.integration.test_delivery_engine import OPTIONS, customer, document_of, order, plan_rows, run, states

ONCE = replace(OPTIONS, patience=0.0, max_attempts=1)


def busy_orders(document):
    return Fault.BUSY if document.kind is DocumentKind.SALES_ORDER else None


@pytest.fixture
def meshline(ops, store_url, monkeypatch):
    monkeypatch.setenv("MESHLINE_STORE_URL", store_url)

    def call(*words):
        return CliRunner().invoke(app, ["postings", *words], catch_exceptions=True)

    return call


def dead_order(ops, erp, *rows):
    """Plan the customer and these orders, and let the first one die of a busy ERP."""
    plan_rows(ops, [customer(), *rows])
    erp.faults = busy_orders
    run(ops, MemoryWriter(erp), ONCE)
    erp.faults = lambda _: None


def different_order(ops, erp):
    """An order whose request was lost, while somebody entered another amount under its external id."""
    plan_rows(ops, [customer(), order(1)])
    erp.faults = lambda document: Fault.LOST_REQUEST if document.kind is DocumentKind.SALES_ORDER else None
    run(ops, MemoryWriter(erp), replace(OPTIONS, patience=0.0))
    erp.faults = lambda _: None
    made = erp.build(document_of(replace(order(1, amount="99"), event_id="h" * 64)), "by-hand")
    erp.documents.setdefault(DocumentKind.SALES_ORDER, []).append(made)
    run(ops, MemoryWriter(erp))


def listed(meshline, *words):
    return [json.loads(line) for line in meshline("list", "--json", *words).stdout.splitlines()]


def key_of(meshline):
    [row] = listed(meshline, "--state", "dead")
    return row["key"]


def items(ops):
    with ops.read() as connection:
        return [(one.code, one.status) for one in exceptions(connection, only_open=False) if one.origin == "delivery"]


def audited(ops, action):
    with ops.read() as connection:
        assert audit.first_broken(connection) is None
        rows = connection.exec_driver_sql("select actor, action, subject, detail from audit_entry order by seq").all()
    return [(row.actor[:4], row.subject, json.loads(row.detail)) for row in rows if row.action == action]


def test_what_is_not_settled_is_listed_with_key_state_and_exception(ops, meshline):
    dead_order(ops, MemoryErp(), order(1), order(1, version=2))
    dead, waits = listed(meshline)
    assert (dead["state"], dead["attempts"], dead["message"], dead["amount"]) == ("dead", 1, "busy", "10")
    assert dead["exception"] == f"delivery:memory:{order(1).entity_key}"
    assert waits["state"] == "planned"
    assert [row["state"] for row in listed(meshline, "--state", "posted")] == ["posted"]
    said = meshline("list").stdout
    assert f"    key {dead['key']}" in said
    assert "2 shown of 1 dead, 1 planned" in said
    assert "1 shown of 1 dead, 1 planned" in meshline("list", "--limit", "1").stdout


def test_the_exception_names_the_very_command_that_leads_out(ops, meshline):
    dead_order(ops, MemoryErp(), order(1))
    with ops.read() as connection:
        [item] = exceptions(connection)
    assert f"`meshline postings retry {key_of(meshline)} --reason TEXT`" in item.fix
    assert f"`meshline postings close {key_of(meshline)} --reason TEXT`" in item.fix


def test_a_retried_posting_is_looked_up_then_sent_with_its_attempts_counted_anew(ops, meshline):
    erp = MemoryErp()
    dead_order(ops, erp, order(1), order(1, version=2, amount="20"))
    key = key_of(meshline)
    assert meshline("retry", key, "--reason", "the ERP is well again").exit_code == 0
    [retried] = [row for row in listed(meshline) if row["key"] == key]
    assert (retried["state"], retried["attempts"], retried["cause"]) == ("unknown", 0, "retried")
    assert items(ops) == [("attempts_used_up", "open")]
    assert audited(ops, "posting.retried") == [("cli:", f"posting:{key}", {"reason": "the ERP is well again"})]
    later = lambda: utc_now() + timedelta(minutes=1)  # noqa: E731 - past settle_after for sure
    report = run(ops, MemoryWriter(erp), replace(ONCE, patience=20.0), clock=later)
    assert report.lookups == 2  # the one of the retry, and one before the next state amends it
    assert report.outcomes == {"absent": 1, "created": 1, "updated": 1}
    assert items(ops) == [("attempts_used_up", "resolved")]


def test_a_retried_posting_that_has_arrived_is_found_and_not_sent_again(ops, meshline):
    erp = MemoryErp()
    dead_order(ops, erp, order(1))
    erp.documents.setdefault(DocumentKind.SALES_ORDER, []).append(erp.build(document_of(order(1)), "there"))
    meshline("retry", key_of(meshline), "--reason", "r")
    before = len(erp.writes)
    assert run(ops, MemoryWriter(erp), ONCE).outcomes == {"exists": 1}
    assert len(erp.writes) == before
    assert states(ops) == {"posted": 2}


def test_a_retried_posting_is_not_sent_while_the_erp_may_still_act_on_the_last_request(ops, meshline):
    erp = MemoryErp()
    dead_order(ops, erp, order(1))
    meshline("retry", key_of(meshline), "--reason", "r")
    run(ops, MemoryWriter(erp, settle_after=3600), ONCE)
    assert states(ops) == {"posted": 1, "unknown": 1}
    assert [one.kind for one in erp.writes] == [DocumentKind.CUSTOMER]


def test_a_forged_posting_that_was_never_sent_can_be_retried_and_comes_to_an_end(ops, meshline, without_guards):
    plan_rows(ops, [customer(), order(1)])
    with ops.write() as connection:
        without_guards(connection, "posting")
        connection.exec_driver_sql("update posting set payload = '{}' where document_kind = 'sales_order'")
    erp = MemoryErp()
    run(ops, MemoryWriter(erp), ONCE)
    assert items(ops) == [("fingerprint_conflict", "open")]
    meshline("retry", key_of(meshline), "--reason", "r")
    run(ops, MemoryWriter(erp))
    assert states(ops) == {"posted": 1, "dead": 1}
    assert len(erp.writes) == 1


def test_a_document_that_was_set_right_in_the_erp_is_found_by_a_retry(ops, meshline):
    erp = MemoryErp()
    different_order(ops, erp)
    assert items(ops) == [("exists_with_different_amount", "open")]
    erp.documents[DocumentKind.SALES_ORDER] = [erp.build(document_of(order(1)), "by-hand")]
    meshline("retry", key_of(meshline), "--reason", "amount corrected in the ERP")
    assert run(ops, MemoryWriter(erp)).outcomes == {"exists": 1}
    assert items(ops) == [("exists_with_different_amount", "resolved")]


def test_a_closed_order_is_never_sent_and_its_next_state_amends_the_document(ops, meshline):
    erp = MemoryErp()
    different_order(ops, erp)
    key = key_of(meshline)
    assert meshline("close", key, "--reason", "99 was agreed").exit_code == 0
    assert items(ops) == [("exists_with_different_amount", "resolved")]
    assert audited(ops, "posting.closed") == [
        ("cli:", f"posting:{key}", {"reason": "99 was agreed", "cause": "closed_in_erp"})
    ]
    assert plan_rows(ops, [order(1)]).planned == 0
    assert plan_rows(ops, [order(1, version=0), order(1)]).superseded == 1  # an older state came late
    other = plan_rows(ops, [order(1, amount="12")])
    assert (other.planned, other.restatements) == (0, 1)
    assert plan_rows(ops, [order(1), order(1, version=2, amount="120")]).planned == 1
    assert run(ops, MemoryWriter(erp)).outcomes == {"updated": 1}
    [there] = erp.documents[DocumentKind.SALES_ORDER]
    assert (there.erp_id, str(there.amount)) == ("by-hand", "120")


def test_whoever_closes_an_order_that_the_ledger_knows_nothing_of_says_whether_the_erp_has_it(ops, meshline):
    erp = MemoryErp()
    dead_order(ops, erp, order(1), order(1, version=2, amount="20"))
    key = key_of(meshline)
    refused = meshline("close", key, "--reason", "r")
    assert isinstance(refused.exception, RefusedError)
    assert "`--erp-id ID`" in str(refused.exception)
    assert meshline("close", key, "--reason", "r", "--erp-id", "7", "--not-in-erp").exit_code == 2
    assert states(ops) == {"posted": 1, "dead": 1, "planned": 1}
    assert meshline("close", key, "--reason", "never agreed", "--not-in-erp").exit_code == 0
    assert run(ops, MemoryWriter(erp)).outcomes == {"created": 1}
    assert plan_rows(ops, [order(1), order(1, version=2, amount="20")]).planned == 0


@pytest.mark.parametrize(
    ("how", "told"),
    [(["--not-in-erp"], "the next delivery plans it anew"), (["--erp-id", "INV-7"], "it counts as made in the ERP")],
)
def test_closing_an_invoice_says_what_becomes_of_it(ops, meshline, how, told):
    options = replace(ONCE, billing=BillingPolicy())
    plan_rows(ops, [customer(), order(1)], options)
    erp = MemoryErp(faults=lambda document: Fault.BUSY if document.kind is DocumentKind.INVOICE else None)
    run(ops, MemoryWriter(erp), options)
    assert told in meshline("close", key_of(meshline), "--reason", "r", *how).stdout


def test_a_cancellation_after_a_close_reaches_the_document_that_was_made_by_hand(ops, meshline):
    erp = MemoryErp()
    dead_order(ops, erp, order(1))
    erp.documents.setdefault(DocumentKind.SALES_ORDER, []).append(erp.build(document_of(order(1)), "S-7"))
    assert meshline("close", key_of(meshline), "--reason", "entered by hand", "--erp-id", "S-7").exit_code == 0
    plan_rows(ops, [order(1), order(1, version=2, status="cancelled")])
    assert run(ops, MemoryWriter(erp)).outcomes == {"updated": 1}
    assert [one.status for one in erp.documents[DocumentKind.SALES_ORDER]] == ["cancelled"]
    assert [row["erp_id"] for row in listed(meshline, "--state", "superseded")] == ["S-7"]


def test_closing_settles_the_conflict_about_the_same_event_too(ops, meshline):
    dead_order(ops, MemoryErp(), order(1))
    assert plan_rows(ops, [order(1, amount="11")]).conflicts == 1
    meshline("close", key_of(meshline), "--reason", "r", "--not-in-erp")
    assert sorted(items(ops)) == [("attempts_used_up", "resolved"), ("fingerprint_conflict", "resolved")]


def test_the_exception_stays_open_where_a_newer_state_was_refused(ops, meshline):
    dead_order(ops, MemoryErp(), order(1), order(1, version=2))
    with ops.write() as connection:  # as an operator's change of the ledger's order would leave it
        for state in ("sending", "rejected"):
            connection.exec_driver_sql(
                f"update posting set state = '{state}' where event_id = '{order(1, version=2).event_id}'"
            )
    meshline("close", key_of(meshline), "--reason", "r", "--not-in-erp")
    assert items(ops) == [("attempts_used_up", "open")]


def test_a_customer_is_not_closed_because_its_orders_wait_for_it(ops, meshline):
    erp = MemoryErp(faults=lambda _: Fault.BUSY)
    plan_rows(ops, [customer(), order(1)])
    run(ops, MemoryWriter(erp), ONCE)
    refused = meshline("close", key_of(meshline), "--reason", "r", "--not-in-erp")
    assert f"`meshline postings retry {key_of(meshline)} --reason TEXT`" in str(refused.exception)
    assert states(ops) == {"dead": 1, "planned": 1}


@pytest.mark.parametrize("command", ["retry", "close"])
def test_what_is_not_dead_is_refused_with_what_happens_to_it_instead(ops, meshline, command):
    erp = MemoryErp()
    erp.faults = lambda document: Fault.LOST_REQUEST if document.kind is DocumentKind.SALES_ORDER else None
    plan_rows(ops, [customer(), order(1)])
    run(ops, MemoryWriter(erp), ONCE)
    [unknown] = listed(meshline)
    refused = meshline(command, unknown["key"], "--reason", "r").exception
    assert isinstance(refused, RefusedError)
    assert "is unknown, not dead: the next delivery looks it up by itself" in str(refused)
    [posted] = listed(meshline, "--state", "posted")
    assert "is posted, not dead" in str(meshline(command, posted["key"], "--reason", "r").exception)
    assert "no posting has the key 'nonsense'" in str(meshline(command, "nonsense", "--reason", "r").exception)
    assert meshline(command, posted["key"]).exit_code == 2


def test_a_closed_posting_cannot_be_retried(ops, meshline):
    dead_order(ops, MemoryErp(), order(1))
    key = key_of(meshline)
    meshline("close", key, "--reason", "r", "--not-in-erp")
    assert "is superseded, not dead: it will not be sent" in str(meshline("retry", key, "--reason", "r").exception)
