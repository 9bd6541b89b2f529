"""Token, limits, retries and refusals of HubSpot, over HTTP against the sandbox portal."""

import logging
import time
from datetime import datetime

import httpx
import pytest
from pydantic import SecretStr

from meshline_dagster.core.errors import AuthError, QuotaExhaustedError, RateLimitedError, SourceError, TransientError
from meshline_dagster.crm.hubspot import HubSpotFeed
from meshline_dagster.crm.hubspot_session import HubSpotSession
from meshline_dagster.crm.retry import RetryPolicy
from meshline_dagster.sandbox.crm.state import Fault
from tests.integration.crm.hubspot_portal import EVER, NOW, QUICK, served_portal

DETAILS = "/account-info/v3/details"


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


def limited(policy, **headers):
    body = {"status": "error", "message": "You have reached your limit.", "errorType": "RATE_LIMIT"}
    return Fault("/details", 429, body | {"policyName": policy}, headers=headers, times=1)


def test_a_wrong_token_is_refused_without_showing_it(portal, caplog):
    with caplog.at_level(logging.DEBUG), portal.session("quite-wrong-token") as session:
        with pytest.raises(AuthError, match="token and its scopes") as caught:
            session.now()
        assert "quite-wrong-token" not in str(caught.value) + repr(session) + caplog.text
    assert portal.asked("/details") == 1


def test_a_missing_scope_is_told(portal, session):
    body = {
        "status": "error",
        "message": "This app hasn't been granted all required scopes",
        "category": "MISSING_SCOPES",
    }
    portal.sandbox.faults.append(Fault("/details", 403, body))
    with pytest.raises(AuthError, match="MISSING_SCOPES"):
        session.now()


def test_the_present_is_the_portals(portal, session):
    portal.pass_time(days=3)
    assert session.now() - NOW == portal.sandbox.clock.now() - NOW


def test_a_short_retry_after_is_waited_for_and_a_long_one_handed_on(portal, session):
    portal.sandbox.faults.append(limited("TEN_SECONDLY_ROLLING", **{"Retry-After": "0.02"}))
    assert isinstance(session.now(), datetime)
    portal.sandbox.faults.append(limited("TEN_SECONDLY_ROLLING", **{"Retry-After": "3600"}))
    with pytest.raises(RateLimitedError) as caught:
        session.now()
    assert caught.value.retry_after == 3600


def test_without_a_retry_after_the_interval_of_the_headers_is_waited(portal, session):
    header = "X-HubSpot-RateLimit-Interval-Milliseconds"
    portal.sandbox.faults.append(limited("TEN_SECONDLY_ROLLING", **{header: "20"}))
    session.now()
    assert portal.asked("/details") == 2
    portal.sandbox.faults.append(limited("TEN_SECONDLY_ROLLING", **{header: "7000"}))
    with pytest.raises(RateLimitedError) as caught:
        session.now()
    assert caught.value.retry_after == 7


@pytest.mark.parametrize(("policy", "delay"), [("SECONDLY", 1.0), ("TEN_SECONDLY_ROLLING", 10.0)])
def test_without_any_delay_the_policys_name_tells_it(portal, session, policy, delay):
    portal.sandbox.faults.append(limited(policy))
    with pytest.raises(RateLimitedError) as caught:
        session.now()
    assert caught.value.retry_after == delay


def test_a_daily_limit_stops_cleanly_and_what_was_read_is_kept(portal, session):
    made = [portal.sandbox.upsert("products", {"name": "P"}).id for _ in range(9)]
    portal.pass_time(seconds=5)
    feed = HubSpotFeed(session, "products", rows_per_page=3)
    feed.describe()
    portal.sandbox.settings.daily_requests = portal.sandbox.used_requests + 2
    read = []
    with pytest.raises(QuotaExhaustedError, match="covers a day"):  # noqa: PT012 - the tables before the error are the point
        for table in feed.read(EVER):
            read += table["_id"].to_pylist()
    assert read == made[:6]
    assert portal.asked("/search") == 3


@pytest.mark.parametrize("status", [423, 500, 502, 504])
def test_a_passing_fault_is_repeated_until_it_is_over(portal, session, status):
    portal.sandbox.faults.append(Fault("/details", status, times=2))
    session.now()
    assert portal.asked("/details") == 3


def test_a_lasting_fault_is_given_up_after_bounded_attempts(portal, session):
    portal.sandbox.faults.append(Fault("/details", 503, times=99))
    with pytest.raises(TransientError):
        session.now()
    assert portal.asked("/details") == QUICK.attempts


def test_searches_keep_their_pace(portal):
    with portal.session(searches_per_second=50) as session:
        feed = HubSpotFeed(session, "products")
        began = time.monotonic()
        for _ in range(4):
            feed.peek(None)
        assert time.monotonic() - began >= 3 / 50


@pytest.mark.parametrize("answer", [httpx.Response(200, text=""), httpx.Response(200, json=[])])
def test_an_answer_that_is_no_object_is_an_error(answer):
    transport = httpx.MockTransport(lambda _: answer)
    retry = RetryPolicy(attempts=1)
    with (
        HubSpotSession(token=SecretStr("t"), transport=transport, retry=retry) as session,
        pytest.raises(SourceError),
    ):
        session.get(DETAILS)


def test_a_source_that_does_not_answer_is_a_transient_error():
    def fall(_):
        raise httpx.ConnectError("refused")

    transport = httpx.MockTransport(fall)
    with (
        HubSpotSession(token=SecretStr("t"), transport=transport, retry=QUICK) as session,
        pytest.raises(TransientError, match="did not answer"),
    ):
        session.now()
