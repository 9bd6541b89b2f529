"""A sync that invoices by milestones: an order waits for them with an exception that says so, and what is reached is billed by the next run."""

from decimal import Decimal
from pathlib import Path

import pytest

from meshline_dagster.orchestration.components import load_settings
from meshline_dagster.orchestration.sync import build_sync
from meshline_dagster.sandbox.crm import generate
from tests.end_to_end.conftest import ROOT
from tests.end_to_end.test_invoices import net
from tests.end_to_end.test_invoices_as_delivered import billing_of
from tests.end_to_end.test_sync import documents

pytestmark = pytest.mark.slow


@pytest.fixture
def world():
    return generate(11, deals=6, days=10, bad_share=0.0)


@pytest.fixture
def by_milestones(place):
    """The reference sync, invoicing by milestones."""
    settings = load_settings(Path(ROOT) / "assets" / "defs" / "crm_to_erp" / "defs.yaml")
    policy = settings.policy.model_validate({"documents": "order_and_invoice", "invoice_trigger": "milestone"})
    defs = build_sync(settings.model_copy(update={"policy": policy}))
    place.definitions = lambda: defs
    return place


def test_an_order_waits_for_its_milestones_and_is_billed_as_they_are_reached(by_milestones):
    place = by_milestones
    assert place.run().success
    worth = [one for one in documents(place) if one["status"] == "open" and Decimal(one["amount"])]
    assert net(place) == {}
    assert billing_of(place) == [len(worth), 0, 0]
    order = max(worth, key=lambda one: Decimal(one["amount"]))
    deal = order["order_number"]
    assert "no milestones are planned" in place.said("trace", deal)
    planned = place.command("milestones", "plan", deal, "--name", "design", "--percent", "50")
    assert planned.returncode == 0, planned.stderr
    place.said("milestones", "plan", deal, "--name", "build", "--percent", "50")
    assert place.command("milestones", "reach", deal, "design", "--on", "2026-01-31").returncode == 0
    assert place.run().success
    assert billing_of(place) == [len(worth) - 1, 0, 0]
    assert abs(net(place)[order["external_id"]] - Decimal(order["amount"]) / 2) <= Decimal("0.01") * len(order["lines"])
    place.said("milestones", "reach", deal, "build", "--on", "2026-02-28")
    assert place.run().success
    assert net(place) == {order["external_id"]: Decimal(order["amount"])}
    assert billing_of(place) == [len(worth) - 1, 0, 0]
