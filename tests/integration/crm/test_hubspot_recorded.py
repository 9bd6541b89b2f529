"""The HubSpot feed on what a real portal once answered."""

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from pydantic import SecretStr

from meshline_dagster.core.cursors import Window
from meshline_dagster.core.errors import SourceError
from meshline_dagster.crm.hubspot import HubSpotFeed
from meshline_dagster.crm.hubspot_session import HubSpotAccount, HubSpotSession
from meshline_dagster.testing.recorded_hubspot import RecordedHubSpot
from tests.shared_data import shared_data

WINDOW = Window(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC))
TYPES = {
    "amount": "number",
    "closedate": "datetime",
    "createdate": "datetime",
    "dealname": "string",
    "dealstage": "enumeration",
    "hs_lastmodifieddate": "datetime",
}
GIVEN = {  # neither of these was recorded
    "/crm/v3/properties/deals": {"results": [{"name": name, "type": kind} for name, kind in TYPES.items()]},
    "/crm/v4/associations/deals/companies/batch/read": {"status": "COMPLETE", "results": []},
}


def _feed(*files, begins=None):
    names = [f"recorded/hubspot/{file}.test.json" for file in ("fetch-account-information", *files)]
    transport = RecordedHubSpot(map(shared_data, names), GIVEN)
    session = HubSpotSession(token=SecretStr("any"), transport=transport, base_url="https://recorded.invalid")
    return HubSpotFeed(session, "deals", properties=tuple(TYPES), begins=begins), session, transport


def test_the_recorded_list_of_deals_comes_out_whole_with_exact_amounts():
    feed, _, transport = _feed("deals", begins=WINDOW.start)
    [table] = feed.read(WINDOW)
    by_id = {row["_id"]: row for row in table.to_pylist()}
    assert len(table) == len(by_id) == 21
    first, priced = by_id["479475667160"], by_id["480202228957"]
    assert first["_stamp"] == datetime(2026, 3, 9, 20, 29, 45, 981000, tzinfo=UTC)
    assert (first["amount"], first["closedate"], priced["amount"]) == (Decimal(3000), None, Decimal(5000))
    assert '"5000.00"' in priced["_payload"]
    assert by_id["493593663734"]["closedate"] == datetime(2026, 12, 31, tzinfo=UTC)
    assert {(row["portal_currency"], row["portal_time_zone"]) for row in by_id.values()} == {("USD", "US/Eastern")}
    assert transport.calls.count("GET /crm/v3/objects/deals") == 1


def test_a_window_has_only_its_own_of_the_recorded_list():
    feed, _, _ = _feed("list-deals", begins=WINDOW.end)
    [table] = feed.read(Window(datetime(2026, 3, 12, tzinfo=UTC), datetime(2026, 3, 12, 7, 34, tzinfo=UTC)))
    assert table["_id"].to_pylist() == ["493556498643", "493549332693"]


def test_a_recorded_search_is_read_behind_its_first_page_though_it_offers_a_cursor():
    feed, _, transport = _feed("search-deals")
    tables = feed.read(WINDOW)
    assert len(next(tables)) == 5
    with pytest.raises(SourceError, match="was not recorded"):  # 16 more rows were promised
        next(tables)
    assert transport.calls.count("POST /crm/v3/objects/deals/search") == 2


def test_a_recorded_peek_counts_all_that_a_search_finds():
    feed, _, _ = _feed("search-deals")
    assert feed.peek(None).hint == "2026-03-09T20:29:45.981Z/21"


def test_no_products_are_no_error():
    files = [shared_data(f"recorded/hubspot/{name}.test.json") for name in ("products", "fetch-account-information")]
    given = {"/crm/v3/properties/products": {"results": [{"name": "hs_lastmodifieddate", "type": "datetime"}]}}
    session = HubSpotSession(token=SecretStr("any"), transport=RecordedHubSpot(files, given))
    assert list(HubSpotFeed(session, "products", properties=(), begins=WINDOW.start).read(WINDOW)) == []


def test_present_and_account_are_the_recorded_ones():
    _, session, _ = _feed("deals")
    assert session.now() == datetime(2026, 3, 12, 7, 35, 5, tzinfo=UTC)
    assert session.account == HubSpotAccount("USD", "US/Eastern")


def test_what_was_cleared_is_recorded_as_an_empty_text():
    recorded = json.loads(shared_data("recorded/hubspot/update-deal-clear-fields.test.json").read_text())
    [exchange] = recorded["api"]["patch"].values()
    assert exchange["response"]["properties"]["closedate"] == ""
