"""The deletes of an object as a feed, over HTTP against the sandbox CRM."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from pydantic import SecretStr

from meshline_dagster.core.cursors import Window
from meshline_dagster.core.errors import SourceError, TransientError
from meshline_dagster.crm.protocol import Feed
from meshline_dagster.crm.salesforce import SalesforceFeed
from meshline_dagster.crm.salesforce_deletes import SalesforceDeletesFeed
from meshline_dagster.crm.salesforce_session import RetryPolicy, SalesforceSession
from meshline_dagster.sandbox.crm import CrmSandbox, WorldBuilder, create_app
from meshline_dagster.sandbox.crm.state import Fault
from meshline_dagster.sandbox.serve import serve

NOW = datetime(2026, 5, 1, 12, 0, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def sandbox():
    return CrmSandbox(WorldBuilder().build("empty", NOW))


@pytest.fixture
def session(sandbox):
    credentials = {"client_id": SecretStr("sandbox-client"), "client_secret": SecretStr("sandbox-secret")}
    retry = RetryPolicy(attempts=2, wait_initial=0.001, wait_max=0.01, wait_jitter=0)
    with (
        serve(create_app(sandbox)) as base_url,
        SalesforceSession(base_url=base_url, retry=retry, **credentials) as opened,
    ):
        yield opened


def _deal(sandbox):
    return sandbox.upsert("Opportunity", {"Name": "a deal"}).id


def test_a_purged_record_is_found_only_by_its_delete(session, sandbox):
    one, other = _deal(sandbox), _deal(sandbox)
    sandbox.clock.advance(120)
    sandbox.delete("Opportunity", one, purge=True)
    sandbox.clock.advance(120)
    feed = SalesforceDeletesFeed(session, "Opportunity")
    assert isinstance(feed, Feed)
    assert feed.name == "salesforce/opportunity_deletes"
    [table] = feed.read(Window(NOW, feed.now()))
    assert table.to_pylist()[0]["_id"] == one
    assert table["_deleted"].to_pylist() == [True]
    assert table["_stamp"].to_pylist() == [NOW + 2 * MINUTE]
    changes = pa.concat_tables(SalesforceFeed(session, "Opportunity").read(Window(NOW, NOW + 10 * MINUTE)))
    assert changes["_id"].to_pylist() == [other]


def test_windows_that_cut_a_minute_share_nothing_and_lose_nothing(session, sandbox):
    ids = [_deal(sandbox) for _ in range(6)]
    for one in ids:
        sandbox.clock.advance(7)
        sandbox.delete("Opportunity", one)
    sandbox.clock.advance(180)
    feed = SalesforceDeletesFeed(session, "Opportunity")
    cut, end = NOW + timedelta(seconds=21), NOW + 2 * MINUTE
    [left] = feed.read(Window(NOW, cut))
    [right] = feed.read(Window(cut, end))
    assert len(left) == 2
    assert len(right) == 4
    assert set(left["_id"].to_pylist()) | set(right["_id"].to_pylist()) == set(ids)


def test_an_undeleted_record_is_no_delete(session, sandbox):
    one = _deal(sandbox)
    sandbox.clock.advance(60)
    sandbox.delete("Opportunity", one)
    sandbox.clock.advance(60)
    sandbox.upsert("Opportunity", {"Id": one, "IsDeleted": False})
    sandbox.clock.advance(120)
    feed = SalesforceDeletesFeed(session, "Opportunity")
    assert list(feed.read(Window(NOW, feed.now()))) == []


def test_a_window_that_the_source_no_longer_covers_is_an_error(session):
    feed = SalesforceDeletesFeed(session, "Opportunity")
    with pytest.raises(SourceError, match="no longer lists deletes"):
        list(feed.read(Window(NOW - timedelta(days=20), NOW)))


def test_an_accepted_gap_is_told_and_the_rest_is_read(session, sandbox):
    one = _deal(sandbox)
    sandbox.clock.advance(60)
    sandbox.delete("Opportunity", one)
    sandbox.clock.advance(120)
    feed = SalesforceDeletesFeed(session, "Opportunity", accept_gaps=True)
    [table] = feed.read(Window(NOW - timedelta(days=20), feed.now()))
    assert table["_id"].to_pylist() == [one]
    [gap] = feed.gaps
    assert gap.start == NOW - timedelta(days=20)
    assert NOW - timedelta(days=15) <= gap.end <= NOW - timedelta(days=14)


def test_a_list_purged_earlier_than_promised_is_an_error_too(session, sandbox):
    body = {
        "deletedRecords": [],
        "earliestDateAvailable": "2026-05-01T11:00:00.000+0000",
        "latestDateCovered": "2026-05-01T12:00:00.000+0000",
    }
    sandbox.faults.append(Fault("/deleted", 200, body, times=9))
    feed = SalesforceDeletesFeed(session, "Opportunity")
    with pytest.raises(SourceError, match="no longer lists"):
        list(feed.read(Window(NOW - timedelta(hours=3), NOW - timedelta(minutes=1))))


def test_a_window_beyond_what_is_covered_yields_what_there_is_and_asks_to_come_again(session, sandbox):
    one = _deal(sandbox)
    sandbox.clock.advance(20)
    sandbox.delete("Opportunity", one)
    sandbox.clock.advance(25)
    feed = SalesforceDeletesFeed(session, "Opportunity")
    tables = []
    with pytest.raises(TransientError, match="up to"):  # noqa: PT012 - the tables before the error are the point
        for table in feed.read(Window(NOW, sandbox.clock.now())):
            tables.append(table)  # noqa: PERF402 - as above
    assert [table["_id"].to_pylist() for table in tables] == [[one]]
    assert feed.now() <= sandbox.clock.now()


def test_a_list_that_is_too_long_is_asked_for_in_halves(session, sandbox):
    one = _deal(sandbox)
    sandbox.clock.advance(300)
    sandbox.delete("Opportunity", one)
    sandbox.clock.advance(300)
    too_long = [{"errorCode": "EXCEEDED_ID_LIMIT", "message": "too many ids"}]
    sandbox.faults.append(Fault("/deleted", 400, too_long, times=1))
    [table] = SalesforceDeletesFeed(session, "Opportunity").read(Window(NOW, NOW + 8 * MINUTE))
    assert table["_id"].to_pylist() == [one]
    assert sum("/deleted" in call for call in sandbox.requests) == 3


def test_peek_sees_a_delete_at_the_watermark(session, sandbox):
    feed = SalesforceDeletesFeed(session, "Opportunity")
    assert not feed.peek(None).changed
    one = _deal(sandbox)
    sandbox.clock.advance(60)
    sandbox.delete("Opportunity", one)
    sandbox.clock.advance(90)
    assert feed.peek(None).changed
    assert feed.peek(NOW + MINUTE).changed
    assert not feed.peek(NOW + MINUTE + timedelta(seconds=1)).changed
