"""A re-extract reads change days from the CRM again when asked for by name; a backfill never asks the CRM anything."""

from datetime import UTC, datetime

import duckdb
import pytest

from meshline_dagster.orchestration.modes import MODE_TAG
from meshline_dagster.orchestration.resources import MeshlineResource
from meshline_dagster.store.feeds import feed_state_of
from meshline_dagster.store.manifest import live_files, rows_total

pytestmark = pytest.mark.slow

OLD = ("2026-01-05", "2026-01-31")
LATE = datetime(2026, 1, 20, 10, tzinfo=UTC)


def observations(place):
    """Every landed observation of the CRM's feeds: feed, id, stamp and content hash."""
    meshline, found = MeshlineResource(), set()
    with meshline.store().read() as connection:
        feeds = [feed for feed in rows_total(connection) if feed.startswith("salesforce/")]
        files = {feed: [meshline.zone().absolute(one.path) for one in live_files(connection, feed)] for feed in feeds}
    for feed, paths in files.items():
        query = "SELECT _id, _stamp::VARCHAR, _hash FROM read_parquet(?, union_by_name = true)"
        found |= {(feed, *row) for row in duckdb.connect().execute(query, [paths]).fetchall()}
    meshline.store().close()
    return found


def watermarks(place):
    store = place.store()
    with store.read() as connection:
        feeds = [feed for feed in rows_total(connection) if feed.startswith("salesforce/")]
        found = {feed: feed_state_of(connection, feed) for feed in feeds}
    store.close()
    return found


def metadata(result, *key):
    """What the run told of one asset; it tells each partition of the range the same."""
    made = [one for one in result.get_asset_materialization_events() if one.asset_key.path == [*key]]
    return {name: value.value for name, value in made[0].materialization.metadata.items()}


def postable(place):
    """A deal of ours that is in the ERP, with the stamps of its current version."""
    orders = place.world.ground_truth["orders"]
    deals = place.crm.table("Opportunity")
    for key, order in orders.items():
        stamp = deals.get(key).values["SystemModstamp"] if deals.get(key) else ""
        if (order["class"], order["status"]) == ("post", "open") and OLD[0] < stamp[:10] < OLD[1]:
            return key
    raise AssertionError("the world has no such deal: choose another seed")


def backdated(place, key):
    """A won deal whose stamp lies in the old window, behind every watermark: a late commit, an import that kept its stamps."""
    present = place.crm.clock.now()
    place.crm.clock.set(LATE)
    deal = dict(place.crm.table("Opportunity").get(key).values)
    lines = [
        one.values
        for one in place.crm.tables["OpportunityLineItem"].all_versions()
        if one.values["OpportunityId"] == key
    ]
    current = {line["Id"]: line for line in lines}
    made = place.crm.upsert("Opportunity", {**without_id(deal), "Name": "Late", "PO_Number__c": "PO-LATE"})
    for line in current.values():
        place.crm.upsert("OpportunityLineItem", {**without_id(line), "OpportunityId": made.values["Id"]})
    place.crm.clock.set(present)
    return made.values["Id"], 1 + len(current)


def without_id(values):
    return {name: value for name, value in values.items() if name != "Id"}


def test_a_backfill_asks_the_crm_nothing_and_a_re_extract_adds_what_is_there_and_removes_and_moves_nothing(place):
    assert place.run().success
    key = postable(place)
    first, asked, states = observations(place), len(place.crm.requests), watermarks(place)
    assert asked > 0

    assert place.run(mode=None, days=OLD).success
    assert len(place.crm.requests) == asked
    assert (observations(place), watermarks(place)) == (first, states)

    # The CRM keeps current versions only: this change takes the deal's row out of the old window.
    place.crm.clock.advance(600)
    place.crm.upsert("Opportunity", {"Id": key, "PO_Number__c": "PO-MOVED"})
    place.crm.clock.advance(600)
    late, rows = backdated(place, key)
    posted = place.figures().posted

    again = place.run(mode="re_extract", days=OLD)
    assert again.success
    told = metadata(again, "salesforce", "opportunity")
    assert (told["mode"], told["rows landed"]) == ("re_extract", 1)
    assert told["window"] == "2026-01-05T00:00:00+00:00 .. 2026-02-01T00:00:00+00:00"
    assert told["rows landed before"] == told["rows read"] - 1
    after = observations(place)
    assert first < after
    assert len(after - first) == rows
    assert ("salesforce/opportunity", late) in {row[:2] for row in after - first}
    old = {row for row in first if row[:2] == ("salesforce/opportunity", key)}
    assert old
    assert {row for row in after if row[:2] == ("salesforce/opportunity", key)} == old
    assert watermarks(place) == states
    assert place.figures().posted == posted + 1

    assert place.run(mode="re_extract", days=OLD).success
    assert observations(place) == after
    assert place.run().success  # the poll finds the deal where it has moved to, and what it found before is still there
    moved = {row for row in observations(place) if row[:2] == ("salesforce/opportunity", key)}
    assert len(moved) == len(old) + 1
    assert place.oracle()["duplicates"] == []


def test_the_job_of_that_name_re_extracts_without_a_tag_by_hand_and_leaves_the_build_to_the_sensor(place):
    assert place.run().success
    before, states, journal = observations(place), watermarks(place), place.oracle()["journal"]
    _, rows = backdated(place, postable(place))
    again = place.run("crm_to_erp_re_extract", mode=None, days=OLD)
    assert again.success
    assert again.dagster_run.tags[MODE_TAG] == "re_extract"
    assert {event.asset_key.path[0] for event in again.get_asset_materialization_events()} == {"salesforce"}
    assert len(observations(place) - before) == rows
    assert watermarks(place) == states
    assert place.oracle()["journal"] == journal
    from meshline_dagster.orchestration.components import load_settings
    from meshline_dagster.orchestration.connect import feed_specs
    from meshline_dagster.orchestration.poll_sensor import reasons_to_run
    from tests.end_to_end.conftest import ROOT

    settings = load_settings(ROOT / "assets" / "defs" / "crm_to_erp" / "defs.yaml")
    assert "landed rows wait for a build" in reasons_to_run(
        feed_specs(settings), MeshlineResource(), settings.delivery()
    )
