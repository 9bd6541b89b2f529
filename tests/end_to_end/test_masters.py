"""A sync that keeps items and addresses, on the sandbox: each is there once, before the orders that name it; without it there are none."""

from pathlib import Path

import pytest

from meshline_dagster.orchestration.components import load_settings
from meshline_dagster.orchestration.sync import build_sync
from meshline_dagster.sandbox.crm import generate
from tests.end_to_end.conftest import ROOT
from tests.end_to_end.test_invoices import listed
from tests.end_to_end.test_sync import documents, expected

pytestmark = pytest.mark.slow


@pytest.fixture
def world():
    return generate(11, deals=12, days=10, bad_share=0.1)


def test_orders_follow_their_items_and_addresses_once_the_sync_keeps_them(place):
    settings = load_settings(Path(ROOT) / "assets" / "defs" / "crm_to_erp" / "defs.yaml")
    policy = settings.policy.model_validate({"missing_item": "create", "missing_address": "create"})
    defs = build_sync(settings.model_copy(update={"policy": policy}))
    place.definitions = lambda: defs
    assert place.run().success
    orders = documents(place)
    assert len([one for one in orders if one["status"] == "open"]) == len(expected(place))
    items, addresses = listed(place, "items"), {one["external_id"]: one for one in listed(place, "addresses")}
    assert {line["sku"] for one in orders for line in one["lines"]} == {one["sku"] for one in items}
    assert {(one["uom"], one["currency"]) for one in items} == {("Seat", "USD")}
    for one in orders:
        assert one["bill_to"] == one["ship_to"]
        assert addresses[one["bill_to"]]["customer"] == one["customer"]
        assert addresses[one["bill_to"]]["street"].endswith(" Market Street")
    oracle = place.oracle()
    assert oracle["duplicates"] == []
    assert place.run().success
    assert place.oracle()["journal"] == oracle["journal"]


def test_no_items_and_addresses_are_made_unless_they_are_asked_for(place):
    assert place.run().success
    assert {name.split()[0] for name in place.oracle()["documents"]} == {"customer", "sales_order"}
    assert not {"bill_to", "ship_to"} & set().union(*documents(place))
