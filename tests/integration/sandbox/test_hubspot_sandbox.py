"""The sandbox portal by itself: it has HubSpot's traps, and the generator's deals."""

from datetime import datetime, timedelta
from decimal import Decimal

import httpx
import pytest

from meshline_dagster.sandbox.crm import generate
from meshline_dagster.sandbox.hubspot import hubspot_world
from meshline_dagster.sandbox.hubspot.state import stamp_text
from meshline_dagster.sandbox.hubspot.translation import hubspot_id
from meshline_dagster.sandbox.serve import serve_process
from tests.integration.crm.hubspot_portal import NOW, served_portal

HEADERS = {"Authorization": "Bearer sandbox-token"}


@pytest.fixture(scope="module")
def server():
    with served_portal() as portal:
        yield portal


@pytest.fixture
def portal(server):
    server.empty()
    return server


@pytest.fixture
def client(portal):
    with httpx.Client(base_url=portal.url, headers=HEADERS) as opened:
        yield opened


def search(client, name="deals", **body):
    return client.post(f"/crm/v3/objects/{name}/search", json=body)


def control(client, path, **body):
    return client.post(f"/sandbox/{path}", json=body).raise_for_status().json()


def test_a_search_ends_at_its_cap_with_an_error(portal, client):
    portal.sandbox.upsert("deals", {"dealname": "D"})
    portal.pass_time(seconds=5)
    assert search(client, limit=200, after="9800").status_code == 200
    refused = search(client, limit=200, after="9801")
    assert (refused.status_code, refused.json()["message"]) == (400, "There was a problem with the request.")
    assert search(client, limit=201).status_code == 400


def test_a_search_compares_stamps_as_milliseconds_and_ids_as_numbers(portal, client):
    made = [portal.sandbox.upsert("deals", {"dealname": "D"}).id for _ in range(12)]
    portal.pass_time(seconds=5)
    behind = {"propertyName": "hs_object_id", "operator": "GT", "value": made[8]}
    order = [{"propertyName": "hs_object_id", "direction": "ASCENDING"}]
    answer = search(client, filterGroups=[{"filters": [behind]}], sorts=order, limit=2).json()
    assert ([one["id"] for one in answer["results"]], answer["total"]) == (made[9:11], 3)
    assert answer["paging"]["next"]["after"] == "2"
    stamp = {"propertyName": "hs_lastmodifieddate", "operator": "GTE", "value": "2026-05-01T12:00:00Z"}
    assert search(client, filterGroups=[{"filters": [stamp]}]).status_code == 400
    milliseconds = stamp | {"value": str(int(NOW.timestamp() * 1000))}
    assert search(client, filterGroups=[{"filters": [milliseconds]}]).json()["total"] == 12
    assert search(client, filterGroups=[{"filters": [stamp | {"propertyName": "nothing"}]}]).status_code == 400


def test_a_list_shows_at_once_what_searches_do_not_show_yet(portal, client):
    control(client, "records", object="deals", properties={"dealname": "D"})
    assert search(client).json()["total"] == 0
    listed = client.get("/crm/v3/objects/deals", params={"limit": 10, "properties": "dealname,amount"}).json()
    assert listed["results"][0]["properties"]["dealname"] == "D"
    assert listed["results"][0]["properties"]["amount"] is None
    control(client, "clock", advance_seconds=1)
    assert search(client).json()["total"] == 1


def test_archiving_moves_no_stamp_and_a_merged_record_is_nowhere(portal, client):
    kept, gone, old = (
        control(client, "records", object="deals", properties={"dealname": name})["id"] for name in "ABC"
    )
    control(client, "clock", advance_seconds=3600)
    control(client, "archive", object="deals", id=old)
    made = control(client, "merge", object="deals", kept=kept, gone=gone)["id"]
    control(client, "clock", advance_seconds=5)
    assert [one["id"] for one in search(client).json()["results"]] == [made]
    assert made not in {kept, gone}
    [archived] = client.get("/crm/v3/objects/deals", params={"archived": "true"}).json()["results"]
    assert (archived["id"], archived["archivedAt"]) == (old, "2026-05-01T13:00:00.000Z")
    assert archived["properties"]["hs_lastmodifieddate"] == "2026-05-01T12:00:00.000Z"
    assert client.post("/sandbox/archive", json={"object": "deals", "id": gone}).status_code == 400


def test_links_are_told_by_their_own_call_and_need_not_change_a_record(portal, client):
    deal = control(client, "records", object="deals", properties={"dealname": "D"})["id"]
    path, inputs = "/crm/v4/associations/deals/companies/batch/read", {"inputs": [{"id": deal}]}
    answer = client.post(path, json=inputs)
    assert (answer.status_code, answer.json()["errors"][0]["subCategory"]) == (
        207,
        "crm.associations.NO_ASSOCIATIONS_FOUND",
    )
    control(client, "associate", object="deals", id=deal, linked=["17"])
    [result] = client.post(path, json=inputs).json()["results"]
    assert result["to"][0]["toObjectId"] == 17
    assert [kind["typeId"] for kind in result["to"][0]["associationTypes"]] == [5, 341]


def test_the_daily_limit_and_the_token_stand_before_every_call(portal, client):
    assert httpx.get(f"{portal.url}/account-info/v3/details").status_code == 401
    control(client, "limits", daily_requests=0)
    refused = client.get("/account-info/v3/details")
    assert (refused.status_code, refused.json()["policyName"]) == (429, "DAILY")
    assert "retry-after" not in refused.headers


def test_the_rolling_limit_is_told_by_lists_and_refuses_without_a_delay(portal, client):
    portal.sandbox.settings.requests_per_interval = 2
    interval = "x-hubspot-ratelimit-interval-milliseconds"
    assert interval not in search(client).headers
    assert client.get("/crm/v3/objects/deals").headers[interval] == "10000"
    refused = client.get("/crm/v3/objects/deals")
    assert (refused.status_code, refused.json()["policyName"]) == (429, "TEN_SECONDLY_ROLLING")
    assert "retry-after" not in refused.headers


def test_a_world_is_the_same_deals_under_other_names():
    ours = generate(3, deals=40, days=20)
    theirs = hubspot_world(ours)
    assert len(theirs.versions["deals"]) == len(ours.versions["Opportunity"])
    truth, known = theirs.ground_truth["orders"], ours.ground_truth["orders"]
    assert {hubspot_id(one): order["amount"] for one, order in known.items()} == {
        one: order["amount"] for one, order in truth.items()
    }
    assert {len(one.id) for one in theirs.versions["deals"]} >= {11, 12}
    texts = [one.values["amount"] for one in theirs.versions["deals"] if one.values["amount"]]
    assert any(len(text) > 20 for text in texts)  # the digits of a float
    assert all(Decimal(text).quantize(Decimal("0.01")) == Decimal(str(float(text))) for text in texts)
    closes = [text for one in theirs.versions["deals"] if (text := one.values["closedate"])]
    midnights = [text for text in closes if text.endswith("T00:00:00Z")]
    assert 0 < len(midnights) < len(closes)
    gone = [one for some in theirs.versions.values() for one in some if one.deleted]
    assert gone
    assert all(one.values["hs_lastmodifieddate"] < stamp_text(one.stamp) for one in gone)


def test_it_runs_as_a_process_of_its_own():
    with serve_process(["-m", "meshline_dagster.sandbox.hubspot", "--deals", "5", "--days", "5"]) as (url, _):
        answer = httpx.get(f"{url}/crm/v3/objects/deals", params={"limit": 100}, headers=HEADERS)
        assert len(answer.json()["results"]) >= 5
        now = datetime.fromisoformat(httpx.get(f"{url}/sandbox/clock").json()["now"])
        assert timedelta(0) < now - datetime.fromisoformat("2026-01-05T00:00:00+00:00") < timedelta(days=90)
        assert httpx.get(f"{url}/sandbox/ground-truth").json()["world"] == "hubspot-generator-0"
