"""What readers of HubSpot lose data to, each as a test, over HTTP against the sandbox portal."""

from datetime import timedelta
from decimal import Decimal

import pytest

from meshline_dagster.core.cursors import Window
from meshline_dagster.core.errors import SourceError, TransientError
from meshline_dagster.crm.hubspot import HubSpotFeed
from meshline_dagster.crm.hubspot_archived import HubSpotArchivedFeed
from meshline_dagster.crm.poll import poll
from meshline_dagster.landing.zone import LandingZone
from meshline_dagster.sandbox.crm.state import Fault
from meshline_dagster.store.engine import open_store
from tests.integration.crm.hubspot_portal import EVER, NOW, rows, served_portal

HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def server():
    with served_portal() as portal:
        yield portal


@pytest.fixture
def portal(server):
    server.empty()
    return server


@pytest.fixture
def session(portal):
    with portal.session() as opened:
        yield opened


@pytest.fixture
def zone(tmp_path):
    store = open_store(f"sqlite:///{tmp_path / 'ops.db'}")
    yield LandingZone(str(tmp_path / "landing"), store)
    store.close()


def run(zone, feed, overlap=timedelta(minutes=10)):
    pace = {"origin": NOW - timedelta(days=30), "overlap": overlap, "lag": timedelta(seconds=3)}
    return poll(zone.store, zone, feed, run_id="run", **pace)


def fill(portal, count, seconds=0):
    made = []
    for number in range(count):
        made.append(portal.sandbox.upsert("products", {"name": f"P{number}"}).id)
        portal.pass_time(seconds=seconds)
    portal.pass_time(seconds=5)
    return made


@pytest.mark.parametrize("seconds", [0, 1], ids=["on one instant", "in one window"])
def test_more_rows_than_a_search_can_reach_come_out_once_each(portal, session, seconds):
    portal.sandbox.settings.search_cap = 10
    made = fill(portal, 23, seconds)
    assert len({len(one) for one in made}) == 2  # ids with a digit more: as texts they are in another order
    read = rows(HubSpotFeed(session, "products", rows_per_page=4))
    assert sorted(row["_id"] for row in read) == sorted(made)


def test_a_change_that_searches_show_late_is_found_by_the_second_read(portal, session, zone):
    feed = HubSpotFeed(session, "products")
    run(zone, feed)
    one = portal.sandbox.upsert("products", {"name": "late"}).id
    portal.sandbox.lags[one] = timedelta(minutes=50)
    portal.pass_time(seconds=30)
    portal.sandbox.upsert("products", {"name": "prompt"})
    portal.pass_time(seconds=30)
    assert run(zone, feed).rows_landed == 1
    portal.pass_time(minutes=20)
    assert run(zone, feed).rows_landed == 0
    portal.pass_time(minutes=35)  # visible now, and beyond the overlap: the first read never sees it
    assert run(zone, feed).rows_landed == 0
    portal.pass_time(minutes=15)
    assert run(zone, feed).rows_landed == 1


def test_every_stamp_is_read_again_at_each_age_and_lands_once(portal, session, zone):
    feed = HubSpotFeed(session, "products", again_after=[HOUR, timedelta(days=1)])
    run(zone, feed, timedelta())
    fill(portal, 3, 60)
    landed, read = 0, 0
    for _ in range(60):
        portal.pass_time(minutes=30)
        result = run(zone, feed, timedelta())
        landed, read = landed + result.rows_landed, read + result.rows_read
    assert (landed, read) == (3, 9)


def test_a_watermark_as_old_as_the_second_read_wants_a_poll_though_nothing_changed(portal, session):
    feed = HubSpotFeed(session, "products")
    [one] = fill(portal, 1)
    assert not feed.peek(NOW + timedelta(seconds=2)).changed
    portal.sandbox.lags[one] = HOUR
    portal.pass_time(hours=1)
    assert feed.peek(NOW + timedelta(seconds=2)).changed


def test_a_search_tells_no_links_and_rows_have_them_nevertheless(portal, session):
    company = portal.sandbox.upsert("companies", {"name": "C"}).id
    deal = portal.sandbox.upsert("deals", {"dealname": "D"}, linked=[company]).id
    line = portal.sandbox.upsert("line_items", {"name": "L"}, linked=[deal]).id
    loose = portal.sandbox.upsert("line_items", {"name": "of no deal"}).id
    portal.pass_time(seconds=5)
    [read] = rows(HubSpotFeed(session, "deals"))
    assert read["associated_company"] == company
    lines = {row["_id"]: row["associated_deal"] for row in rows(HubSpotFeed(session, "line_items"))}
    assert lines == {line: deal, loose: None}


def test_of_several_companies_the_primary_one_counts_and_links_beyond_a_page_too(portal, session):
    portal.sandbox.settings.links_per_page = 1
    one, other = (portal.sandbox.upsert("companies", {"name": name}).id for name in "AB")
    portal.sandbox.upsert("deals", {"dealname": "D"}, linked=[other, one])
    deals = [portal.sandbox.upsert("deals", {"dealname": name}).id for name in "EF"]
    portal.sandbox.upsert("line_items", {"name": "in two deals"}, linked=deals)
    portal.pass_time(seconds=5)
    assert {row["associated_company"] for row in rows(HubSpotFeed(session, "deals"))} == {other, None}
    [line] = rows(HubSpotFeed(session, "line_items"))
    assert line["associated_deal"] is None
    assert all(deal in line["_payload"] for deal in deals)


def test_a_label_of_the_portals_own_with_the_primary_links_number_is_not_taken_for_it(portal, session):
    portal.sandbox.settings.own_label = 5
    one, other = (portal.sandbox.upsert("companies", {"name": name}).id for name in "AB")
    portal.sandbox.upsert("deals", {"dealname": "D"}, linked=[other, one])
    portal.pass_time(seconds=5)
    [read] = rows(HubSpotFeed(session, "deals"))
    assert read["associated_company"] == other
    assert one in read["_payload"]


def test_a_link_that_is_made_later_and_moves_no_stamp_is_found_by_the_second_read(portal, session, zone):
    feed = HubSpotFeed(session, "deals")
    run(zone, feed)
    deal = portal.sandbox.upsert("deals", {"dealname": "D"}).id
    company = portal.sandbox.upsert("companies", {"name": "C"}).id
    portal.pass_time(minutes=1)
    assert run(zone, feed).rows_landed == 1
    portal.pass_time(minutes=20)
    assert run(zone, feed).rows_landed == 0
    portal.sandbox.associate("deals", deal, [company])
    portal.pass_time(minutes=5)
    assert run(zone, feed).rows_landed == 0
    portal.pass_time(minutes=45)
    assert run(zone, feed).rows_landed == 1
    [read] = rows(feed)
    assert (read["associated_company"], read["_stamp"]) == (company, NOW)


def test_links_that_could_not_be_told_are_no_missing_links(portal, session):
    portal.sandbox.upsert("deals", {"dealname": "D"})
    portal.pass_time(seconds=5)
    lost = {"status": "COMPLETE", "results": [], "errors": [{"subCategory": "INTERNAL", "message": "timed out"}]}
    for body in (lost, {"status": "PROCESSING", "results": []}):
        portal.sandbox.faults.append(Fault("/associations/", 207, body))
        with pytest.raises(TransientError):
            rows(HubSpotFeed(session, "deals"))
    portal.sandbox.faults.append(Fault("/associations/", 200, {"status": "COMPLETE"}))
    with pytest.raises(SourceError):
        rows(HubSpotFeed(session, "deals"))


def test_what_is_archived_is_found_though_its_change_stamp_stands_still(portal, session):
    made = fill(portal, 12)
    portal.pass_time(days=2)
    for one in made[:7]:
        portal.sandbox.archive("products", one)
    portal.pass_time(seconds=5)
    feed = HubSpotArchivedFeed(session, "products", rows_per_page=3)
    assert feed.name == "hubspot/products_archived"
    window = Window(NOW + timedelta(days=1), NOW + timedelta(days=3))
    read = rows(feed, window)
    assert sorted(row["_id"] for row in read) == sorted(made[:7])
    assert all(row["_deleted"] for row in read)
    assert feed.problems() == []
    assert sorted(row["_id"] for row in rows(HubSpotFeed(session, "products"), window)) == []
    assert rows(feed, Window(window.start, NOW + timedelta(days=2))) == []


def test_archived_records_that_are_no_longer_listed_are_a_problem_and_not_nothing(portal, session):
    feed = HubSpotArchivedFeed(session, "products")
    window = Window(NOW - timedelta(days=120), NOW)
    assert rows(feed, window) == []
    [problem] = feed.problems()
    assert problem.of_history
    assert (NOW - timedelta(days=120)).isoformat() in problem.detail
    assert (NOW - timedelta(days=90)).isoformat() in problem.detail


def test_a_peek_sees_what_was_archived_and_is_due_after_an_hour(portal, session):
    [one] = fill(portal, 1)
    feed = HubSpotArchivedFeed(session, "products")
    later = NOW + timedelta(seconds=5)
    assert not feed.peek(later).changed
    portal.sandbox.archive("products", one)
    assert feed.peek(later).changed
    assert feed.peek(None).changed
    assert not feed.peek(later + timedelta(seconds=1)).changed
    portal.pass_time(hours=2)
    assert feed.peek(later + timedelta(seconds=1)).changed


@pytest.mark.parametrize("makes_new", [True, False])
def test_a_merged_deal_is_named_by_the_one_that_took_it_in_and_nowhere_else(portal, session, makes_new):
    portal.sandbox.settings.merge_makes_new = makes_new
    kept, gone = (portal.sandbox.upsert("deals", {"dealname": name}).id for name in "AB")
    line = portal.sandbox.upsert("line_items", {"name": "L"}, linked=[gone]).id
    portal.pass_time(days=1)
    made = portal.sandbox.merge("deals", kept, gone).id
    portal.pass_time(seconds=5)
    [read] = rows(HubSpotFeed(session, "deals"))
    assert read["_id"] == made
    assert set(read["hs_merged_object_ids"].split(";")) == {kept, gone, made} - {made}
    assert rows(HubSpotArchivedFeed(session, "deals")) == []
    [moved] = rows(HubSpotFeed(session, "line_items"))
    assert (moved["_id"], moved["associated_deal"], moved["_stamp"]) == (line, made, NOW)


def test_texts_of_floats_become_exact_decimals_and_empty_texts_null(portal, session):
    portal.sandbox.upsert("deals", {"amount": "8.600000000000000477", "closedate": "", "hs_is_closed_won": ""})
    portal.sandbox.upsert("deals", {"amount": "", "closedate": "1796083200000", "hs_is_closed_won": "true"})
    portal.pass_time(seconds=5)
    first, second = rows(HubSpotFeed(session, "deals"))
    assert (first["amount"], first["closedate"], first["hs_is_closed_won"]) == (Decimal("8.6"), None, None)
    assert (second["amount"], second["hs_is_closed_won"]) == (None, True)
    assert second["closedate"].isoformat() == "2026-12-01T00:00:00+00:00"  # milliseconds since 1970
    assert '"8.600000000000000477"' in first["_payload"]


def test_a_list_and_a_search_give_the_same_observation(portal, session, zone):
    company = portal.sandbox.upsert("companies", {"name": "C"}).id
    portal.sandbox.upsert("deals", {"dealname": "D", "amount": "1"}, linked=[company])
    portal.pass_time(seconds=5)
    assert run(zone, HubSpotFeed(session, "deals", begins=NOW)).rows_landed == 1
    assert portal.asked("/objects/deals?") == 1
    again = run(zone, HubSpotFeed(session, "deals"))
    assert (again.rows_read, again.rows_landed) == (1, 0)
    assert portal.asked("/objects/deals/search") >= 1


def test_an_unchanged_portal_lands_nothing_more(portal, session, zone):
    fill(portal, 5)
    feed = HubSpotFeed(session, "products", begins=NOW - timedelta(days=30))
    assert run(zone, feed).rows_landed == 5
    for _ in range(5):
        portal.pass_time(minutes=20)
        assert run(zone, feed).rows_landed == 0


@pytest.mark.parametrize("body", [{}, {"total": 3, "results": []}, {"results": []}, {"total": 0}, []])
def test_an_answer_without_the_rows_that_it_owes_is_not_taken_for_none(portal, session, body):
    fill(portal, 3)
    portal.sandbox.faults.append(Fault("/search", 200, body))
    with pytest.raises((SourceError, TransientError)):
        rows(HubSpotFeed(session, "products"))


def test_an_answer_in_another_order_is_refused(portal, session):
    made = fill(portal, 3)
    records = [{"id": one, "properties": {"hs_lastmodifieddate": "2026-05-01T12:00:00Z"}} for one in reversed(made)]
    portal.sandbox.faults.append(Fault("/search", 200, {"total": 9, "results": records}))
    with pytest.raises(SourceError, match="another order"):
        rows(HubSpotFeed(session, "products"))


def test_a_list_whose_cursor_stands_still_is_refused(portal, session):
    fill(portal, 1)
    answer = {"results": [], "paging": {"next": {"after": "7"}}}
    portal.sandbox.faults.append(Fault("/objects/products", 200, answer, times=9))
    with pytest.raises(SourceError, match="leads back to itself"):
        rows(HubSpotFeed(session, "products", begins=EVER.start))


def test_a_property_that_the_app_may_not_read_is_named_and_an_optional_one_lands_as_nulls(portal, session):
    portal.sandbox.settings.hidden = frozenset({"deals.amount", "deals.po_number"})
    feed = HubSpotFeed(session, "deals")
    with pytest.raises(SourceError, match=r"cannot read amount:.*scope") as caught:
        feed.describe()
    assert "po_number" not in str(caught.value)
    portal.sandbox.settings.hidden = frozenset({"deals.po_number", "deals.deal_currency_code"})
    portal.sandbox.upsert("deals", {"dealname": "D", "po_number": "17"})
    portal.pass_time(seconds=5)
    [row] = rows(feed)
    assert (row["po_number"], row["deal_currency_code"]) == (None, None)
    assert '"po_number"' not in row["_payload"]


def test_properties_are_described_with_types_and_options_and_those_not_read_are_told(portal, session):
    feed = HubSpotFeed(session, "deals")
    fields = {spec.name: spec for spec in feed.describe().fields}
    assert fields["deal_currency_code"].picklist == ("EUR", "GBP", "JPY", "USD")
    types = {name: fields[name].type.value for name in ("amount", "closedate", "hs_is_closed_won", "original_deal_id")}
    assert types == {
        "amount": "decimal",
        "closedate": "timestamp",
        "hs_is_closed_won": "boolean",
        "original_deal_id": "string",
    }
    assert "hs_num_of_associated_line_items" in feed.unread_properties
    before = feed.describe().hash
    portal.sandbox.settings.hidden = frozenset({"deals.po_number"})
    assert feed.describe().hash != before


def test_a_portal_with_one_currency_names_it_and_one_with_several_does_not(portal):
    portal.sandbox.upsert("deals", {"dealname": "D"})
    portal.sandbox.upsert("line_items", {"name": "L"})
    portal.pass_time(seconds=5)
    with portal.session() as session:
        [several] = rows(HubSpotFeed(session, "deals"))
        [line_of_several] = rows(HubSpotFeed(session, "line_items"))
    portal.sandbox.settings.more_currencies = ()
    with portal.session() as session:
        [only] = rows(HubSpotFeed(session, "deals"))
        [line_of_one] = rows(HubSpotFeed(session, "line_items"))
    assert (several["portal_currency"], only["portal_currency"]) == (None, "USD")
    assert (line_of_several["portal_currency"], line_of_one["portal_currency"]) == (None, "USD")
    assert only["portal_time_zone"] == "US/Eastern"


def test_a_record_that_changes_while_its_window_is_read_is_left_to_the_next_one(portal, session):
    made = fill(portal, 9)
    window = Window(NOW - HOUR, NOW + timedelta(seconds=5))
    feed = HubSpotFeed(session, "products", rows_per_page=3)
    tables = feed.read(window)
    read = next(tables)["_id"].to_pylist()
    portal.sandbox.upsert("products", {"name": "new"}, one=made[4])
    read += [one for table in tables for one in table["_id"].to_pylist()]
    assert sorted(read) == sorted(set(made) - {made[4]})
    portal.pass_time(seconds=5)
    assert [row["_id"] for row in rows(feed, Window(window.end, NOW + HOUR))] == [made[4]]
