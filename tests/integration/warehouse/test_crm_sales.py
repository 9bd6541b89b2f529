"""A year of a real seller's pipeline: read over HTTP quarter by quarter, built as it comes in, to the cent."""

from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise

import pytest
from pydantic import SecretStr

from meshline_dagster.core.cursors import Window
from meshline_dagster.crm.salesforce import SalesforceFeed
from meshline_dagster.crm.salesforce_objects import snake_case
from meshline_dagster.crm.salesforce_session import SalesforceSession
from meshline_dagster.landing.rows import fingerprinted
from meshline_dagster.sandbox.crm import CrmSandbox, create_app, crm_sales
from meshline_dagster.sandbox.serve import serve
from tests.integration.warehouse.landed import Project
from tests.shared_data import shared_data

POLLED = [
    datetime(2016, 1, 1, tzinfo=UTC),
    datetime(2017, 6, 1, tzinfo=UTC),
    datetime(2017, 10, 1, tzinfo=UTC),
    datetime(2018, 1, 1, tzinfo=UTC),
]
WON, WON_MONEY = 4238, Decimal(10005534)
MISSPELT, MISSPELT_MONEY = 729, Decimal(3510578)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    sandbox = CrmSandbox(crm_sales(shared_data("crm_sales")))
    project = Project(tmp_path_factory.mktemp("crm_sales"))
    credentials = {"client_id": SecretStr("sandbox-client"), "client_secret": SecretStr("sandbox-secret")}
    with serve(create_app(sandbox)) as base_url, SalesforceSession(base_url=base_url, **credentials) as session:
        for start, end in pairwise(POLLED):
            sandbox.clock.set(end)
            for name in ("Account", "Product2", "Opportunity", "OpportunityLineItem"):
                for table in SalesforceFeed(session, name).read(Window(start, end)):
                    project.land_table(f"salesforce__{snake_case(name)}", fingerprinted(table), observed_at=end)
            project.build(as_of=end)
    return project


def _orders(project):
    [outbox] = project.query(
        "SELECT count(DISTINCT entity_key), count(*), sum(amount) FROM marts.outbox WHERE document_kind = 'sales_order'"
    )
    return outbox


def test_every_won_deal_is_one_order_and_no_other_deal_is(project):
    assert project.query("SELECT count(*), count(DISTINCT entity_key), sum(amount) FROM marts.canonical_events") == [
        (WON, WON, WON_MONEY)
    ]


def test_what_can_be_posted_and_what_cannot_add_up_to_what_was_won(project):
    assert _orders(project) == (WON - MISSPELT, WON - MISSPELT, WON_MONEY - MISSPELT_MONEY)
    assert project.query("SELECT code, count(*), sum(amount) FROM marts.fct_exceptions GROUP BY ALL") == [
        ("product_unmapped", MISSPELT, MISSPELT_MONEY)
    ]


def test_one_decision_makes_all_of_them_postable(project):
    project.map("product", "GTXPro", "GTX Pro")
    result = project.build(as_of=POLLED[-1])
    assert _orders(project) == (WON, WON, WON_MONEY)
    assert result.rows["exceptions"] == 0
    assert sum(row["document_kind"] == "sales_order" for row in project.file(result, "outbox")) == MISSPELT
