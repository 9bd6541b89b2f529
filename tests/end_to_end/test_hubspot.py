"""A sync whose source is a HubSpot portal: generated deals through the whole graph into the ERP."""

from datetime import date, timedelta
from decimal import Decimal

import httpx
import pytest

from meshline_dagster.orchestration.connect import feed_specs
from meshline_dagster.orchestration.hubspot_settings import HubSpotSource
from meshline_dagster.orchestration.modes import MODE_TAG
from meshline_dagster.orchestration.partitions import today
from meshline_dagster.orchestration.poll_sensor import reasons_to_run
from meshline_dagster.orchestration.resources import MeshlineResource
from meshline_dagster.orchestration.settings import RestDestination, SyncSettings
from meshline_dagster.orchestration.sync import build_sync
from meshline_dagster.sandbox.hubspot import HubSpotSandbox, create_app, hubspot_world
from meshline_dagster.sandbox.serve import serve
from tests.end_to_end.conftest import QUIET

pytestmark = pytest.mark.slow

SETTINGS = SyncSettings(
    name="portal",
    origin=date(2026, 1, 1),
    mode="live",
    sources=(HubSpotSource(base_url="env:MESHLINE_HUBSPOT_URL"),),
    destination=RestDestination(sandbox=True),
)


@pytest.fixture
def portal(place, monkeypatch):
    sandbox = HubSpotSandbox(hubspot_world(place.world))
    with serve(create_app(sandbox)) as url:
        monkeypatch.setenv("MESHLINE_HUBSPOT_URL", url)
        monkeypatch.setenv("MESHLINE_HUBSPOT_TOKEN", "sandbox-token")
        yield sandbox


def sync(place):
    job = build_sync(SETTINGS).get_repository_def().get_job("portal_sync")
    with place.dagster() as instance:
        done = job.execute_in_process(
            run_config=QUIET, instance=instance, partition_key=today(), tags={MODE_TAG: "poll"}, raise_on_error=False
        )
    assert done.success, [event for event in done.all_events if event.is_failure]


def in_erp(place):
    """Open orders by the deal's number: currency, amount, lines."""
    answer = httpx.get(
        f"{place.erp_url}/v1/sales-orders",
        params={"limit": 500},
        headers={"Authorization": "Bearer sandbox"},
        timeout=30,
    )
    return {
        one["order_number"]: (one["currency"], Decimal(one["amount"]), lines_of(one["lines"]))
        for one in answer.json()["documents"]
        if one["status"] == "open"
    }


def lines_of(lines):
    return sorted((line["sku"], Decimal(line["quantity"]), Decimal(line["amount"])) for line in lines)


def expected(portal):
    return {
        key: (order["currency"], Decimal(order["amount"]), lines_of(order["lines"]))
        for key, order in portal.world.ground_truth["orders"].items()
        if order["class"] == "post" and order["status"] == "open"
    }


def test_what_the_ground_truth_says_is_in_the_erp_after_a_first_list_and_a_later_search(place, portal):
    meshline, feeds = MeshlineResource(), feed_specs(SETTINGS)
    portal.clock.set(portal.world.now - timedelta(days=75))
    assert "hubspot/deals changed" in str(reasons_to_run(feeds, meshline, SETTINGS.delivery()))
    sync(place)
    before = in_erp(place)
    assert before
    assert before != expected(portal)
    portal.clock.set(portal.world.now)
    sync(place)
    assert in_erp(place) == expected(portal)
    assert any("/deals/search" in request for request in portal.requests)
    figures = place.status()
    assert figures["in_exception"] == sum(
        1 for order in portal.world.ground_truth["orders"].values() if order["class"] in {"review", "reject"}
    )
    assert (figures["duplicates_in_erp"], figures["unaccounted"], figures["drift_by_money"]) == (0, 0, 0.0)
    assert reasons_to_run(feeds, meshline, SETTINGS.delivery()) == []
