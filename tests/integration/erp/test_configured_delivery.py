"""The whole delivery engine into ERPs that are described in YAML, with faults: each order is there once."""

import asyncio
from datetime import UTC, datetime
from decimal import Decimal

import httpx
import pytest
from pydantic import SecretStr

from meshline_dagster.core.money import to_text
from meshline_dagster.delivery.engine import deliver
from meshline_dagster.delivery.plan import plan
from meshline_dagster.erp.configured import ConfiguredErpWriter
from meshline_dagster.erp.configured_auth import FixedHeader, OAuthClient
from meshline_dagster.erp.configured_model import ErpApi
from meshline_dagster.sandbox.erp.app import create_app
from meshline_dagster.sandbox.serve import serve
from meshline_dagster.store.engine import open_store
from tests.integration.erp.test_configured_conformance import described, documented
from tests.integration.erp.test_rest_delivery import OPTIONS, customer, faults_of_every_kind, oracle, order, plan_faults

TOKEN = SecretStr("sandbox")
COUNT = 80


def api(shape):
    content = documented() if shape == "odata" else described("frappe")
    content["capabilities"]["settle_after"] = 1.5
    return ErpApi.model_validate(content)


def auth(shape, url):
    return (
        OAuthClient(f"{url}/oauth/token", "us", TOKEN)
        if shape == "odata"
        else FixedHeader("Authorization", TOKEN, "token ")
    )


def run(store, shape, url, rows):
    rows = [customer(), *rows]
    touched = sorted({row.entity_key for row in rows})
    plan(store, rows, touched=touched, options=OPTIONS, build_id=None, actor="test", now=datetime.now(UTC))
    writer = ConfiguredErpWriter(url, api(shape), auth(shape, url), name="sandbox", company="1")
    return asyncio.run(deliver(store, writer, OPTIONS, actor="run-1"))


def drafts(url):
    asked = {"fields": '["name", "docstatus"]', "limit_page_length": "1000"}
    answer = httpx.get(f"{url}/api/resource/Sales Order", params=asked, headers={"Authorization": "token sandbox"})
    return [one["name"] for one in answer.json()["data"] if one["docstatus"] == 0]


@pytest.mark.parametrize(("shape", "profile"), [("odata", "unique"), ("frappe", "lookup_only")])
def test_orders_are_there_once_whatever_goes_wrong(tmp_path, shape, profile):
    store = open_store(f"sqlite:///{tmp_path / 'ops.db'}")
    orders = [order(number) for number in range(1, COUNT + 1)]
    with serve(create_app(tmp_path / "erp.db", profile=profile, shape=shape)) as url:
        plan_faults(url, *faults_of_every_kind(path="ales"))
        report = run(store, shape, url, orders)
        struck = {one["fault"] for one in httpx.get(f"{url}/control/faults").json() if one["struck"]}
        counted = oracle(url)
        left = drafts(url) if shape == "frappe" else []
    store.close()
    assert struck >= {"refuse", "reset_before", "reset_after", "late_commit"}
    assert report.waiting == 0
    assert counted["duplicates"] == []
    assert counted["orders"] == {"USD open": COUNT}
    assert left == []


def test_amendments_and_cancellations_arrive_in_the_end(tmp_path):
    store = open_store(f"sqlite:///{tmp_path / 'ops.db'}")
    versions = [order(number, version=version) for number in range(1, 21) for version in (1, 2)]
    versions += [order(number, version=3, status="cancelled") for number in range(1, 6)]
    with serve(create_app(tmp_path / "erp.db", profile="unique", shape="odata")) as url:
        plan_faults(url, *faults_of_every_kind(path="ales"))
        report = run(store, "odata", url, versions)
        counted = oracle(url)
    store.close()
    assert report.waiting == 0
    assert counted["duplicates"] == []
    assert counted["orders"] == {"USD open": 15, "USD cancelled": 5}
    assert counted["amounts"]["USD open"] == to_text(sum(Decimal(number * 100 + 2) / 100 for number in range(6, 21)))
