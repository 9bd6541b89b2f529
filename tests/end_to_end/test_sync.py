"""One sync of the reference code location, as its users meet it: posted, explained, repeated, paused, refused."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal

import httpx
import pyarrow.parquet as pq
import pytest

from meshline_dagster.store import location
from meshline_dagster.store.builds import last_planned
from meshline_dagster.store.ledger_reports import ledger_counts
from meshline_dagster.store.verdicts import record_verdict
from meshline_dagster.warehouse.publish import published

pytestmark = pytest.mark.slow


def documents(place):
    return httpx.get(
        f"{place.erp_url}/v1/sales-orders",
        params={"limit": 500},
        headers={"Authorization": "Bearer sandbox"},
        timeout=30,
    ).json()["documents"]


def replayed(place):
    """The days that the last planned build recomputed, having touched every won deal of the world."""
    store = place.store()
    with store.read() as connection:
        build = last_planned(connection)
    store.close()
    touched = set(pq.read_table(published(location.published_path()).path("touched"))["entity_key"].to_pylist())
    assert {f"salesforce/opportunity/{order}" for order in expected(place)} <= touched
    return build.replay_from, build.replay_to


def expected(place):
    """Open orders that must be in the ERP by the world's ground truth: id -> (currency, amount)."""
    orders = place.world.ground_truth["orders"]
    return {
        key: (order["currency"], Decimal(order["amount"]))
        for key, order in orders.items()
        if order["class"] == "post" and order["status"] == "open"
    }


def test_what_the_ground_truth_says_is_in_the_erp_and_a_second_run_and_a_replay_write_nothing(place):
    assert place.run().success
    found = {
        document["order_number"]: (document["currency"], Decimal(document["amount"]))
        for document in documents(place)
        if document["status"] == "open"
    }
    assert found == expected(place)
    journal = place.oracle()["journal"]
    figures = json.loads(place.command("status", "--json").stdout)
    assert figures["in_exception"] == sum(
        1 for order in place.world.ground_truth["orders"].values() if order["class"] in {"review", "reject"}
    )
    assert figures["duplicates_in_erp"] == 0
    assert figures["unaccounted"] == 0
    assert figures["drift_by_money"] == 0.0
    assert sum(figures["classes"].values()) == figures["events"]
    assert place.run().success
    asked = len(place.crm.requests)
    assert place.run(mode=None, days=("2026-01-01", "2026-04-05")).success
    assert len(place.crm.requests) == asked  # a replay never calls the CRM
    assert replayed(place) == (date(2026, 1, 1), date(2026, 4, 5))
    assert place.oracle()["journal"] == journal


def test_an_exception_tells_owner_reason_and_fix_and_a_trace_shows_the_way(place):
    assert place.run().success
    listed = place.command("exceptions", "list", "--json", "--limit", "0")
    assert listed.returncode == 0
    assert all(word in listed.stdout for word in ('"owner": "revops"', '"fix":', "product_unmapped"))
    order = next(iter(expected(place)))
    traced = place.command("trace", order, "--json")
    assert traced.returncode == 0, traced.stderr
    for step in ('"changes": [{', '"events": [{', '"postings": [{', '"attempts": [{', '"reconciliation": [{'):
        assert step in traced.stdout
    assert place.command("trace", "no-such-thing").returncode == 1


def test_the_writer_alone_refuses_while_a_verdict_stands_failed_says_which_and_plans_nothing(place):
    assert place.run().success
    journal = place.oracle()["journal"]
    deal = next(iter(expected(place)))
    place.crm.clock.advance(60)
    place.crm.upsert("Opportunity", {"Id": deal, "PO_Number__c": "PO-1"})
    place.crm.clock.advance(60)
    keys = place.definitions().get_repository_def().asset_graph.get_all_asset_keys()
    later = {"sandbox", "int_erp_orders", "stg_erp__sales_orders", "fct_reconciliation", "rpt_status"} | {
        *("stg_erp__accounting_documents", "int_erp_accounting_documents", "fct_billing"),
        *("int_billing_schedule", "int_billing_deliveries", "int_billing_milestones"),
    }
    assert place.run(ops=[list(key.path) for key in keys if key.path[0] not in later]).success
    store = place.store()
    with store.write() as connection:
        before = ledger_counts(connection, "sandbox")
        record_verdict(
            connection,
            "outbox",
            "contract",
            passed=False,
            detail="event_id: Duplicate",
            build_id=None,
            now=datetime.now(UTC),
        )
    result = place.run(mode=None, ops=[["sandbox", "postings"]])
    assert not result.success
    assert "outbox / contract: event_id: Duplicate" in str(result.all_events)
    with store.write() as connection:
        assert ledger_counts(connection, "sandbox") == before
        record_verdict(connection, "outbox", "contract", passed=True, detail="", build_id=None, now=datetime.now(UTC))
    assert place.oracle()["journal"] == journal
    assert place.run(mode=None, ops=[["sandbox", "postings"]]).success
    assert place.oracle()["journal"] != journal
    store.close()


def test_a_pause_plans_and_posts_nothing_until_it_ends(place):
    assert place.command("pause", "--reason", "month end").returncode == 0
    assert place.run().success
    assert place.oracle()["documents"] == {}
    store = place.store()
    with store.read() as connection:
        settled, waiting = ledger_counts(connection, "sandbox")
    store.close()
    assert settled == 0
    assert waiting > 0
    assert place.command("resume").returncode == 0
    assert place.run().success
    assert sum(place.orders().values()) >= len(expected(place))
    assert place.command("audit", "verify").returncode == 0


def test_a_destination_that_loses_answers_still_holds_every_order_once(place):
    place.faults({"fault": "reset_after", "probability": 0.3, "seed": 5, "times": 20, "on": "writes"})
    assert place.run().success
    oracle = place.oracle()
    assert oracle["duplicates"] == []
    found = {document["order_number"] for document in documents(place) if document["status"] == "open"}
    assert found == set(expected(place))
