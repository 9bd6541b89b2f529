"""The HubSpot feed holds the conformance suite, over HTTP against the sandbox portal: by search, and by the list of a first poll."""

from datetime import UTC, datetime

import pytest
from pydantic import SecretStr

from meshline_dagster.crm.hubspot import HubSpotFeed
from meshline_dagster.crm.hubspot_session import HubSpotSession
from meshline_dagster.crm.retry import RetryPolicy
from meshline_dagster.sandbox.hubspot import HubSpotSandbox, HubSpotSettings, create_app, empty_portal
from meshline_dagster.sandbox.serve import serve
from meshline_dagster.testing.feed_conformance import FeedConformance

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
ALWAYS = datetime(9999, 1, 1, tzinfo=UTC)


class SandboxControl:
    can = frozenset({"count_requests"})  # deletes are a feed of their own; cursors and tokens do not expire
    page_size = 4
    decimal_field = "amount"
    date_field = "hs_recurring_billing_start_date"

    def __init__(self, sandbox, session, begins):
        self._sandbox, self._session, self._begins = sandbox, session, begins

    def feed(self):
        return HubSpotFeed(self._session, "line_items", begins=self._begins, rows_per_page=4)

    def put(self, records):
        return [self._put(dict(record)) for record in records]

    def _put(self, record):
        one = record.pop("id", None)
        return self._sandbox.upsert("line_items", {"name": "a line", **record}, one=one).id

    def advance(self, seconds):
        self._sandbox.clock.advance(seconds)

    def requests(self):
        return len(self._sandbox.requests)


@pytest.fixture(scope="module")
def served():
    """One server for all tests; each empties it."""
    sandbox = HubSpotSandbox(empty_portal(NOW), HubSpotSettings(search_cap=8))
    app = create_app(sandbox)
    with serve(app) as url:
        yield app, url


def _control(served, begins):
    app, url = served
    app.state.sandbox = HubSpotSandbox(empty_portal(NOW), HubSpotSettings(search_cap=8))
    session = HubSpotSession(
        base_url=url, token=SecretStr("sandbox-token"), retry=RetryPolicy(attempts=1), searches_per_second=10_000
    )
    return SandboxControl(app.state.sandbox, session, begins), session


class TestHubSpotSearch(FeedConformance):
    @pytest.fixture
    def control(self, served):
        control, session = _control(served, None)
        with session:
            yield control


class TestHubSpotList(FeedConformance):
    @pytest.fixture
    def control(self, served):
        control, session = _control(served, ALWAYS)
        with session:
            yield control
