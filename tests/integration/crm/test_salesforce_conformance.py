"""The Salesforce feed holds the conformance suite, over HTTP against the sandbox CRM."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from pydantic import SecretStr

from meshline_dagster.crm.salesforce import SalesforceFeed
from meshline_dagster.crm.salesforce_session import RetryPolicy, SalesforceSession
from meshline_dagster.sandbox.crm import CrmSandbox, SandboxSettings, WorldBuilder, create_app
from meshline_dagster.sandbox.serve import serve
from meshline_dagster.testing.feed_conformance import FeedConformance

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


class SandboxControl:
    can = frozenset({"delete", "expire_credentials", "expire_pages", "count_requests"})
    page_size = 4
    decimal_field = "Amount"
    date_field = "CloseDate"

    def __init__(self, sandbox, session):
        self._sandbox = sandbox
        self._session = session

    def feed(self):
        return SalesforceFeed(self._session, "Opportunity", rows_per_table=6)

    def put(self, records):
        return [self._put(dict(record)) for record in records]

    def _put(self, record):
        values = {"Name": "a deal", **record}
        if "id" in values:
            values["Id"] = values.pop("id")
        if "Amount" in values:
            values["Amount"] = Decimal(values["Amount"])
        return self._sandbox.upsert("Opportunity", values).id

    def advance(self, seconds):
        self._sandbox.clock.advance(seconds)

    def delete(self, record_id):
        self._sandbox.delete("Opportunity", record_id)

    def expire_credentials(self):
        self._sandbox.tokens.clear()

    def expire_pages(self):
        self._sandbox.settings.locator_pages = 1

    def requests(self):
        return len(self._sandbox.requests)


class TestSalesforceFeed(FeedConformance):
    @pytest.fixture
    def control(self):
        sandbox = CrmSandbox(WorldBuilder().build("empty", NOW), SandboxSettings(page_size=4))
        credentials = {"client_id": SecretStr("sandbox-client"), "client_secret": SecretStr("sandbox-secret")}
        retry = RetryPolicy(wait_initial=0.001, wait_max=0.01, wait_jitter=0)
        with (
            serve(create_app(sandbox)) as base_url,
            SalesforceSession(base_url=base_url, retry=retry, **credentials) as session,
        ):
            yield SandboxControl(sandbox, session)
