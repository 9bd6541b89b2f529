"""The whole graph, built in Python, into a real Tryton: the deals closed in April 2017, counted and summed by Tryton itself."""

import asyncio
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from meshline_dagster.erp.tryton_rpc import TrytonSession
from meshline_dagster.orchestration.modes import MODE_TAG
from meshline_dagster.orchestration.partitions import today
from meshline_dagster.orchestration.settings import SalesforceSource, SyncSettings, TrytonDestination
from meshline_dagster.orchestration.sync import build_sync
from meshline_dagster.sandbox.crm import crm_sales
from tests.end_to_end.conftest import QUIET
from tests.shared_data import shared_data

pytest_plugins = ["tests.integration.erp.tryton_fixtures"]
pytestmark = [pytest.mark.tryton, pytest.mark.slow]

APRIL = SyncSettings(
    name="april",
    origin=date(2016, 10, 1),
    mode="live",
    effective_from=date(2017, 4, 1),  # Tryton is no sandbox: what was booked before is pre-cutover
    sources=(SalesforceSource(),),
    destination=TrytonDestination(),
)


@pytest.fixture(scope="module")
def company(tryton):
    """A company of its own: everything that it holds is counted."""
    with tryton.company() as made:
        yield made


@pytest.fixture
def world():
    return crm_sales(shared_data("crm_sales"))


def sync(place):
    job = build_sync(APRIL).get_repository_def().get_job("april_sync")
    with place.dagster() as instance:
        done = job.execute_in_process(
            run_config=QUIET, instance=instance, partition_key=today(), tags={MODE_TAG: "poll"}, raise_on_error=False
        )
    assert done.success, [event for event in done.all_events if event.is_failure]


def in_tryton(company):
    """How many confirmed sales Tryton has, and what they are worth before tax, by its own words."""

    async def ask():
        rpc = TrytonSession(company.base_url, company.database, company.user, company.password, 1)
        rpc.connect(max_in_flight=1, request_timeout=60.0)
        try:
            await rpc.log_in()
            states = ["in", ["confirmed", "processing", "done"]]
            return await rpc.rows("sale.sale", [["state", *states]], ["untaxed_amount", "external_id", "sale_date"])
        finally:
            await rpc.aclose()

    rows = asyncio.run(ask())
    assert len({row["external_id"] for row in rows}) == len(rows)
    assert {(row["sale_date"].year, row["sale_date"].month) for row in rows} == {(2017, 4)}
    return len(rows), sum((row["untaxed_amount"] for row in rows), Decimal(0))


def test_the_deals_closed_in_april_2017_are_in_tryton_to_the_cent(place, company, monkeypatch):
    for name in ("base_url", "database", "user"):
        variable = {"base_url": "URL", "database": "DATABASE", "user": "USER"}[name]
        monkeypatch.setenv(f"MESHLINE_TRYTON_{variable}", getattr(company, name))
    monkeypatch.setenv("MESHLINE_TRYTON_PASSWORD", company.password.get_secret_value())
    place.crm.clock.set(datetime(2017, 5, 1, tzinfo=UTC))
    sync(place)
    assert in_tryton(company) == (229, Decimal(449481))
    assert place.command("catalog", "map", "GTXPro", "GTX Pro").returncode == 0
    sync(place)
    assert in_tryton(company) == (285, Decimal(721932))
    sync(place)
    assert in_tryton(company) == (285, Decimal(721932))
    status = place.command("status", "--json", "--destination", "tryton")
    assert '"posted": 285' in status.stdout
    assert '"parity": 1.0' in status.stdout
    assert '"posted_amount": {"USD": "721932"}' in status.stdout
