"""A sync that invoices what it posts, on the sandbox: once, to the cent; what changes later is credited, never edited."""

import json
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

from meshline_dagster.orchestration.components import load_settings
from meshline_dagster.orchestration.sync import build_sync
from meshline_dagster.sandbox.crm import generate
from tests.end_to_end.conftest import ROOT
from tests.end_to_end.test_sync import documents, expected

pytestmark = pytest.mark.slow

HEADERS = {"Authorization": "Bearer sandbox"}


@pytest.fixture
def world():
    return generate(11, deals=30, days=20, bad_share=0.1)


@pytest.fixture
def invoicing(place):
    """The reference sync with ``documents: order_and_invoice``."""
    settings = load_settings(Path(ROOT) / "assets" / "defs" / "crm_to_erp" / "defs.yaml")
    policy = settings.policy.model_validate({"documents": "order_and_invoice"})
    defs = build_sync(settings.model_copy(update={"policy": policy}))
    place.definitions = lambda: defs
    return place


def listed(place, path):
    answer = httpx.get(f"{place.erp_url}/v1/{path}", params={"limit": 1000}, headers=HEADERS, timeout=30)
    return answer.json()["documents"]


def net(place):
    """Order's external id -> what the ERP has invoiced less what it has credited, by its own count."""
    return {
        order: Decimal(one["invoiced"]) - Decimal(one["credited"]) for order, one in place.oracle()["billed"].items()
    }


def test_every_order_is_invoiced_once_and_a_cancellation_becomes_a_credit_note(invoicing):
    place = invoicing
    assert place.run().success
    open_orders = {one["external_id"]: one for one in documents(place) if one["status"] == "open"}
    assert len(open_orders) == len(expected(place))
    assert {order: amount for order, amount in net(place).items() if amount} == {
        order: Decimal(one["amount"]) for order, one in open_orders.items() if Decimal(one["amount"])
    }
    oracle, figures = place.oracle(), place.status()
    assert oracle["duplicates"] == []
    assert figures["invoices"] == oracle["documents"]["invoice open"]
    assert figures["credit_notes"] == oracle["documents"].get("credit_note open", 0)
    assert figures["duplicates_in_erp"] == 0
    assert (figures["not_invoiced"], figures["wrongly_billed"], figures["billing_unexplained"]) == (0, 0, 0)
    assert place.run().success
    assert place.oracle()["journal"] == oracle["journal"]

    [order, other, *_] = sorted(open_orders)
    invoices, deal = listed(place, "invoices"), open_orders[order]["order_number"]
    invoice_again(place, next(one for one in invoices if one["order"] == other))
    place.crm.clock.advance(60)
    place.crm.upsert("Opportunity", {"Id": deal, "StageName": "Closed Lost", "IsWon": False})
    place.crm.clock.advance(60)
    assert place.run().success
    assert net(place)[order] == 0
    assert [one for one in listed(place, "invoices") if one["event_id"] != "by-hand"] == invoices
    *_, note = [one for one in listed(place, "credit-notes") if one["order"] == order]
    assert Decimal(note["amount"]) == Decimal(open_orders[order]["amount"])
    assert note["invoice"] in {one["external_id"] for one in invoices if one["order"] == order}
    traced = place.said("trace", deal, "--json")
    for shown in ('"document_kind": "invoice"', '"document_kind": "credit_note"', '"class": "billed"'):
        assert shown in traced
    assert place.status()["duplicates_in_erp"] == 1
    shown = place.said("exceptions", "list", "--json", "--limit", "0")
    [item] = [one for one in map(json.loads, shown.splitlines()) if one["code"] == "duplicate"]
    assert (item["priority"], item["entity_key"]) == (
        "P1",
        f"salesforce/opportunity/{open_orders[other]['order_number']}",
    )
    assert "by a credit note where it is posted" in item["fix"]
    assert place.said("approvals", "list").strip() == "nothing waits for approval"


def invoice_again(place, invoice):
    """What a clerk may do by hand: the same once more, under the same external id."""
    names = ("external_id", "customer", "currency", "order", "invoice_date", "amount", "lines")
    body = {name: invoice[name] for name in names} | {"event_id": "by-hand"}
    httpx.post(f"{place.erp_url}/v1/invoices", json=body, headers=HEADERS, timeout=30).raise_for_status()
