"""A sync that invoices what the ERP has delivered: the read-back wakes the order, the next run bills it, and until then it is no discrepancy."""

from decimal import Decimal
from pathlib import Path

import httpx
import pytest

from meshline_dagster.orchestration.components import load_settings
from meshline_dagster.orchestration.sync import build_sync
from meshline_dagster.sandbox.crm import generate
from tests.end_to_end.conftest import ROOT
from tests.end_to_end.test_invoices import net
from tests.end_to_end.test_sync import documents

pytestmark = pytest.mark.slow


@pytest.fixture
def world():
    return generate(11, deals=8, days=10, bad_share=0.0)


@pytest.fixture
def delivering(place):
    """The reference sync, invoicing what is delivered."""
    settings = load_settings(Path(ROOT) / "assets" / "defs" / "crm_to_erp" / "defs.yaml")
    policy = settings.policy.model_validate({"documents": "order_and_invoice", "invoice_trigger": "delivery"})
    defs = build_sync(settings.model_copy(update={"policy": policy}))
    place.definitions = lambda: defs
    return place


def billing_of(place):
    figures = place.status()
    return [figures[name] for name in ("not_invoiced", "wrongly_billed", "billing_unexplained")]


def test_an_order_is_invoiced_by_the_run_after_the_one_that_read_its_delivery_back(delivering):
    place = delivering
    assert place.run().success
    assert net(place) == {}
    assert billing_of(place) == [0, 0, 0]
    order = max((one for one in documents(place) if one["status"] == "open"), key=lambda one: Decimal(one["amount"]))
    everything = {line["line"]: line["quantity"] for line in order["lines"]}
    for lines, worth in ((everything, Decimal(order["amount"])), (dict.fromkeys(everything, "0"), Decimal(0))):
        told = {"external_id": order["external_id"], "lines": lines}
        httpx.post(f"{place.erp_url}/control/deliveries", json=told, timeout=30).raise_for_status()
        before = net(place)
        assert place.run().success
        assert net(place) == before
        assert sum(billing_of(place)[:2]) == 1
        assert billing_of(place)[2] == 0  # the next run bills it
        assert place.run().success
        assert net(place) == {order["external_id"]: worth}
        assert billing_of(place) == [0, 0, 0]
    assert '"due_amount": "0' in place.said("trace", order["order_number"], "--json")
