"""The Salesforce feed on what real orgs once answered."""

import json
from datetime import UTC, datetime
from decimal import Decimal

import pyarrow as pa
import pytest
from pydantic import SecretStr

from meshline_dagster.core.cursors import Window
from meshline_dagster.core.errors import SourceError
from meshline_dagster.crm.protocol import FieldType
from meshline_dagster.crm.salesforce import SalesforceFeed
from meshline_dagster.crm.salesforce_describe import described_schema
from meshline_dagster.crm.salesforce_session import SalesforceSession
from meshline_dagster.testing.recorded import RecordedExchanges
from tests.shared_data import shared_data

WINDOW = Window(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC))
ACCOUNT_FIELDS = (
    *("Id", "Name", "AccountNumber", "Industry", "Type", "BillingCity", "BillingState", "BillingCountry", "Phone"),
    *("Website", "CreatedDate", "LastModifiedDate", "SystemModstamp"),
)
OPPORTUNITY_DESCRIBE = {
    "name": "Opportunity",
    "fields": [
        {"name": name, "type": kind}
        for name, kind in {
            "Id": "id",
            "Name": "string",
            "Amount": "currency",
            "StageName": "picklist",
            "CloseDate": "date",
            "OwnerId": "reference",
            "IsDeleted": "boolean",
            "SystemModstamp": "datetime",
        }.items()
    ],
}


def _session(*files, describes=None):
    transport = RecordedExchanges([shared_data(f"recorded/salesforce/{file}") for file in files], describes)
    credentials = {"client_id": SecretStr("any"), "client_secret": SecretStr("any")}
    return SalesforceSession(base_url="https://recorded.invalid", transport=transport, **credentials), transport


def test_all_accounts_over_the_page_tie_come_out_once_each():
    session, transport = _session("accounts.test.json", "describe-sobject.test.json")
    feed = SalesforceFeed(session, "Account", fields=ACCOUNT_FIELDS)
    table = pa.concat_tables(feed.read(WINDOW))
    assert len(table) == len(set(table["_id"].to_pylist())) == 2086
    assert sum("/query" in call for call in transport.calls) == 2


def test_the_recorded_page_end_is_a_tie_whose_ids_are_not_sorted():
    recorded = json.loads(shared_data("recorded/salesforce/accounts.test.json").read_text())
    pages = [exchange["response"]["records"] for exchange in recorded["api"]["get"].values()]
    assert pages[0][-1]["SystemModstamp"] == pages[1][0]["SystemModstamp"]
    keys = [(row["SystemModstamp"], row["Id"]) for page in pages for row in page]
    assert keys != sorted(keys)


def test_all_opportunities_on_one_stamp_come_out_with_exact_amounts_and_unshifted_dates():
    session, _ = _session("opportunities.test.json", describes={"Opportunity": OPPORTUNITY_DESCRIBE})
    fields = [field["name"] for field in OPPORTUNITY_DESCRIBE["fields"]]
    table = pa.concat_tables(SalesforceFeed(session, "Opportunity", fields=fields).read(WINDOW))
    assert len(table) == 31
    assert set(table["_stamp"].to_pylist()) == {datetime(2026, 5, 1, 7, 25, 37, tzinfo=UTC)}
    by_id = {row["_id"]: row for row in table.to_pylist()}
    first = by_id["006dM00000Mw7VtQAJ"]
    assert first["Amount"] == Decimal(15000)
    assert first["CloseDate"].isoformat() == "2026-03-08"
    assert json.loads(first["_payload"])["Name"] == "Dickenson Mobile Generators"
    assert "attributes" not in first["_payload"]


def test_the_recorded_describe_parses_with_types_and_picklists():
    recorded = json.loads(shared_data("recorded/salesforce/describe-sobject.test.json").read_text())
    [exchange] = recorded["api"]["get"].values()
    schema = described_schema("Account", exchange["response"])
    fields = {spec.name: spec for spec in schema.fields}
    assert len(fields) == 70
    assert fields["AnnualRevenue"].type is FieldType.DECIMAL
    assert fields["NumberOfEmployees"].type is FieldType.INTEGER
    assert fields["IsDeleted"].type is FieldType.BOOLEAN
    assert fields["SystemModstamp"].type is FieldType.TIMESTAMP
    assert fields["BillingAddress"].type is FieldType.STRING
    assert "Customer - Direct" in fields["Type"].picklist


def test_a_single_currency_org_lacks_the_currency_field_and_still_syncs():
    session, _ = _session("accounts.test.json", "describe-sobject.test.json")
    feed = SalesforceFeed(session, "Account")
    schema = feed.describe()
    [currency] = [spec for spec in schema.fields if spec.name == "CurrencyIsoCode"]
    assert currency.source_type == "absent"
    table = pa.concat_tables(feed.read(WINDOW))
    assert table["CurrencyIsoCode"].null_count == len(table) == 2086


def test_a_field_that_the_recorded_org_hides_is_named():
    session, _ = _session("describe-sobject.test.json")
    with pytest.raises(SourceError, match="ShoeSize"):
        SalesforceFeed(session, "Account", fields=["Name", "ShoeSize"]).describe()


def test_the_present_is_the_recorded_answers_date():
    session, _ = _session("opportunities.test.json")
    assert session.now() == datetime(2026, 5, 6, 12, 9, 3, tzinfo=UTC)
