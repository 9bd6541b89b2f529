"""Tokens, limits, retries and refusals, over HTTP against the sandbox CRM."""

import logging
from datetime import UTC, datetime, timedelta

import httpx
import pyarrow as pa
import pytest
from pydantic import SecretStr

from meshline_dagster.core.cursors import Window
from meshline_dagster.core.errors import AuthError, QuotaExhaustedError, RateLimitedError, SourceError, TransientError
from meshline_dagster.crm.salesforce import SalesforceFeed
from meshline_dagster.crm.salesforce_session import ApiUsage, RetryPolicy, SalesforceSession
from meshline_dagster.sandbox.crm import CrmSandbox, SandboxSettings, WorldBuilder, create_app
from meshline_dagster.sandbox.crm.state import Fault
from meshline_dagster.sandbox.serve import serve

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
QUICK = RetryPolicy(attempts=3, wait_initial=0.001, wait_max=0.05, wait_jitter=0)
EVER = Window(datetime(2020, 1, 1, tzinfo=UTC), NOW + timedelta(days=1))


@pytest.fixture
def sandbox():
    return CrmSandbox(WorldBuilder().build("empty", NOW), SandboxSettings(page_size=10))


@pytest.fixture
def base_url(sandbox):
    with serve(create_app(sandbox)) as url:
        yield url


def _open(base_url, secret="sandbox-secret", **options):
    credentials = {"client_id": SecretStr("sandbox-client"), "client_secret": SecretStr(secret)}
    return SalesforceSession(base_url=base_url, retry=QUICK, **credentials, **options)


@pytest.fixture
def session(base_url):
    with _open(base_url) as opened:
        yield opened


def _fill(sandbox, count):
    return [sandbox.upsert("Opportunity", {"Name": f"deal {number}"}).id for number in range(count)]


def test_wrong_credentials_are_refused_without_showing_them(base_url, caplog):
    with caplog.at_level(logging.DEBUG), _open(base_url, secret="quite-wrong-secret") as session:
        with pytest.raises(AuthError, match="invalid client credentials") as caught:
            session.get("limits")
        assert "quite-wrong-secret" not in str(caught.value) + repr(session) + caplog.text


def test_one_token_serves_many_requests_and_an_expired_one_is_replaced_once(session, sandbox):
    for _ in range(3):
        session.get("limits")
    assert sum("oauth2" in call for call in sandbox.requests) == 1
    sandbox.clock.advance(3 * 3600)
    session.get("limits")
    assert sum("oauth2" in call for call in sandbox.requests) == 2


def test_a_session_that_is_refused_again_after_a_new_token_is_an_error(session, sandbox):
    body = [{"errorCode": "INVALID_SESSION_ID", "message": "Session expired or invalid"}]
    sandbox.faults.append(Fault("/limits", 401, body, times=5))
    with pytest.raises(AuthError, match="INVALID_SESSION_ID"):
        session.get("limits")
    assert sum("/limits" in call for call in sandbox.requests) == 2


def test_the_daily_limit_is_read_from_every_answer(session, sandbox):
    sandbox.used_requests = 890
    sandbox.settings.daily_requests = 15000
    session.get("limits")
    assert session.usage == ApiUsage(891, 15000)
    assert session.usage.remaining == 14109


def test_a_used_up_limit_stops_cleanly_and_what_was_read_is_kept(session, sandbox):
    ids = _fill(sandbox, 25)
    feed = SalesforceFeed(session, "Opportunity")
    feed.describe()
    sandbox.settings.daily_requests = sandbox.used_requests + 2
    rows = []
    with pytest.raises(QuotaExhaustedError, match="24 hours"):  # noqa: PT012 - the tables before the error are the point
        for table in feed.read(EVER):
            rows += table["_id"].to_pylist()
    assert len(rows) == 20
    assert set(rows) < set(ids)
    assert sum(1 for call in sandbox.requests if "queryAll" in call) == 1


def test_too_many_requests_at_once_is_no_used_up_limit(session, sandbox):
    body = [
        {
            "errorCode": "REQUEST_LIMIT_EXCEEDED",
            "message": "ConcurrentRequests (Concurrent API Requests) Limit exceeded.",
        }
    ]
    sandbox.faults.append(Fault("/limits", 403, body, times=1))
    assert session.get("limits").status_code == 200


@pytest.mark.parametrize("status", [420, 429, 500, 502, 503])
def test_a_passing_fault_is_repeated_until_it_is_over(session, sandbox, status):
    sandbox.faults.append(Fault("/limits", status, times=2))
    assert session.get("limits").status_code == 200
    assert sum("/limits" in call for call in sandbox.requests) == 3


@pytest.mark.parametrize("status", [500, 503])
def test_a_lasting_fault_is_given_up_after_bounded_attempts(session, sandbox, status):
    sandbox.faults.append(Fault("/limits", status, times=99))
    with pytest.raises(TransientError):
        session.get("limits")
    assert sum("/limits" in call for call in sandbox.requests) == QUICK.attempts


def test_a_short_retry_after_is_waited_for_and_a_long_one_handed_on(session, sandbox):
    sandbox.faults.append(Fault("/limits", 429, headers={"Retry-After": "0.02"}, times=1))
    assert session.get("limits").status_code == 200
    sandbox.faults.append(Fault("/limits", 429, headers={"Retry-After": "3600"}, times=99))
    before = len(sandbox.requests)
    with pytest.raises(RateLimitedError) as caught:
        session.get("limits")
    assert caught.value.retry_after == 3600
    assert len(sandbox.requests) == before + 1


def test_a_source_that_does_not_answer_is_a_transient_error():
    with serve(create_app(CrmSandbox(WorldBuilder().build("empty", NOW)))) as url:
        pass
    with _open(url) as session, pytest.raises(TransientError, match="did not answer"):
        session.now()


def test_an_answer_that_is_no_page_is_not_taken_for_no_rows(base_url):
    def lie(request):
        if "oauth2" in request.url.path:
            return httpx.Response(200, json={"access_token": "t"})
        return httpx.Response(200, text="" if "queryAll" in request.url.path else '{"fields": []}')

    with _open(base_url, transport=httpx.MockTransport(lie)) as session:
        feed = SalesforceFeed(session, "Opportunity", fields=[])
        with pytest.raises(SourceError):
            list(feed.read(EVER))


def test_fewer_rows_than_promised_are_an_error(base_url):
    page = '{"totalSize":3,"done":true,"records":[{"attributes":{"type":"X"},"Id":"a","SystemModstamp":"2026-01-01T00:00:00.000+0000","IsDeleted":false}]}'
    fields = [
        {"name": name, "type": kind}
        for name, kind in {"Id": "id", "SystemModstamp": "datetime", "IsDeleted": "boolean"}.items()
    ]

    def lie(request):
        if "oauth2" in request.url.path:
            return httpx.Response(200, json={"access_token": "t"})
        return (
            httpx.Response(200, text=page)
            if "queryAll" in request.url.path
            else httpx.Response(200, json={"fields": fields})
        )

    with _open(base_url, transport=httpx.MockTransport(lie)) as session:
        tables = []
        with pytest.raises(TransientError, match="3 rows were promised and 1 came"):  # noqa: PT012 - as above
            for table in SalesforceFeed(session, "X").read(EVER):
                tables.append(table)  # noqa: PERF402 - the tables before the error are the point
    assert len(pa.concat_tables(tables)) == 1


def test_a_field_hidden_by_field_level_security_is_named_with_what_to_do(session, sandbox):
    sandbox.settings.hidden_fields = frozenset({"Opportunity.Amount", "Opportunity.PO_Number__c"})
    feed = SalesforceFeed(session, "Opportunity")
    with pytest.raises(SourceError, match=r"cannot read Amount:.*field-level security") as caught:
        feed.describe()
    assert "PO_Number__c" not in str(caught.value)


def test_an_optional_field_that_the_org_lacks_lands_as_nulls(session, sandbox):
    sandbox.settings.hidden_fields = frozenset({"Opportunity.PO_Number__c", "OpportunityLineItem.End_Date__c"})
    _fill(sandbox, 2)
    [table] = SalesforceFeed(session, "Opportunity").read(EVER)
    assert table["PO_Number__c"].null_count == 2
    schema = SalesforceFeed(session, "OpportunityLineItem").describe()
    assert {spec.name: spec.type.value for spec in schema.fields}["End_Date__c"] == "date"


def test_fields_that_are_not_read_are_told(session):
    feed = SalesforceFeed(session, "Opportunity", fields=["Name"])
    assert [spec.name for spec in feed.describe().fields] == ["Id", "IsDeleted", "Name", "SystemModstamp"]
    assert "Amount" in feed.unread_fields


def test_a_schema_change_shows_in_the_hash(session, sandbox):
    feed = SalesforceFeed(session, "Opportunity")
    before = feed.describe().hash
    sandbox.settings.hidden_fields = frozenset({"Opportunity.PO_Number__c"})
    assert feed.describe().hash != before
