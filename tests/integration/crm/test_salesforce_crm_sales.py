"""The Salesforce feed over HTTP against the recorded pipeline of a real seller."""

from datetime import UTC, datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pydantic import SecretStr

from meshline_dagster.core.cursors import Window
from meshline_dagster.crm.salesforce import SalesforceFeed
from meshline_dagster.crm.salesforce_session import SalesforceSession
from meshline_dagster.sandbox.crm import CrmSandbox, create_app, crm_sales
from meshline_dagster.sandbox.serve import serve
from tests.shared_data import shared_data

EVER = datetime(2016, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def session():
    app = create_app(CrmSandbox(crm_sales(shared_data("crm_sales"))))
    credentials = {"client_id": SecretStr("sandbox-client"), "client_secret": SecretStr("sandbox-secret")}
    with serve(app) as base_url, SalesforceSession(base_url=base_url, **credentials) as opened:
        yield opened


def _all(session, object_name):
    feed = SalesforceFeed(session, object_name)
    return pa.concat_tables(feed.read(Window(EVER, feed.now())))


def test_every_opportunity_is_read_once_and_the_won_ones_sum_to_the_cent(session):
    table = _all(session, "Opportunity")
    won = table.filter(table["IsWon"])
    assert len(table) == len(set(table["_id"].to_pylist())) == 8800
    assert len(won) == 4238
    assert pc.sum(won["Amount"]).as_py() == Decimal(10005534)


def test_every_won_opportunity_has_one_line_of_the_same_amount(session):
    opportunities = _all(session, "Opportunity")
    lines = _all(session, "OpportunityLineItem")
    won = opportunities.filter(opportunities["IsWon"])
    amounts = dict(zip(won["Id"].to_pylist(), won["Amount"].to_pylist(), strict=True))
    assert dict(zip(lines["OpportunityId"].to_pylist(), lines["TotalPrice"].to_pylist(), strict=True)) == amounts


def test_the_product_that_the_catalog_spells_differently_is_on_729_lines(session):
    lines = _all(session, "OpportunityLineItem")
    misspelt = lines.filter(pc.equal(lines["ProductCode"], "GTXPro"))
    assert len(misspelt) == 729
    assert pc.sum(misspelt["TotalPrice"]).as_py() == Decimal(3510578)
    assert misspelt["Product2Id"].null_count == 729
    assert lines["Product2Id"].null_count == 729


def test_earlier_in_the_year_only_what_was_known_then_is_shown():
    sandbox = CrmSandbox(crm_sales(shared_data("crm_sales")))
    sandbox.clock.set(datetime(2017, 5, 1, tzinfo=UTC))
    shown = list(sandbox.table("Opportunity").between(None, None))
    assert 0 < len(shown) < 8800
    assert all(version.values["SystemModstamp"] < "2017-05-01" for version in shown)
    assert any(version.values["StageName"] == "Engaging" for version in shown)
