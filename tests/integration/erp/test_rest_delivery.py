"""The whole delivery engine over HTTP into the sandbox ERP, with faults."""

import asyncio
import os
import signal
import socket
import threading
import time
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import httpx
import pytest
from pydantic import SecretStr

from meshline_dagster.core.documents import DocumentKind
from meshline_dagster.core.errors import AuthError
from meshline_dagster.core.identity import external_id
from meshline_dagster.core.postings import OutboxRow
from meshline_dagster.delivery.engine import deliver
from meshline_dagster.delivery.options import DeliveryOptions, Mode
from meshline_dagster.delivery.plan import plan
from meshline_dagster.erp.rest import PROFILES, RestErpWriter
from meshline_dagster.sandbox.erp.app import create_app
from meshline_dagster.sandbox.serve import serve, serve_process
from meshline_dagster.store.engine import open_store
from meshline_dagster.store.exceptions import exceptions

START = datetime(2017, 4, 1, tzinfo=UTC)
OPTIONS = DeliveryOptions(
    destination="sandbox", company="1", mode=Mode.LIVE, sandbox=True, patience=60, max_attempts=99
)
BY_CHANCE = replace(OPTIONS, failures=99)
"""Where faults are drawn, a few of them in a row are no outage."""
CUSTOMER = "crm/account/1"
LATE = 0.3
SETTLE = timedelta(seconds=1.5)


@pytest.fixture
def ops(tmp_path):
    store = open_store(f"sqlite:///{tmp_path / 'ops.db'}")
    yield store
    store.close()


@pytest.fixture
def serve_erp(tmp_path):
    return lambda profile: serve(create_app(tmp_path / "erp.db", profile=profile))


def customer(name="Ærø & Søn 株式会社"):
    code = external_id("customer", CUSTOMER)
    return OutboxRow(
        event_id="c" * 64,
        entity_key=CUSTOMER,
        document_kind=DocumentKind.CUSTOMER,
        external_id=code,
        event_time=START,
        operation="create",
        depends_on=(),
        amount=Decimal(0),
        currency=None,
        document_date=None,
        payload={"code": code, "name": name, "country": None, "currency": "USD"},
    )


def order(number, *, version=1, status="open"):
    key = f"crm/opportunity/{number}"
    amount = str(Decimal(number * 100 + version) / 100)
    line = {"line": "1", "sku": "GTX Plus Basic", "description": "ünïcode", "quantity": "1", "uom": "unit"}
    line |= {"unit_price": amount, "amount": amount, "tax_code": "standard", "start": None, "end": None}
    return OutboxRow(
        event_id=f"{number:060d}{version:04d}",
        entity_key=key,
        document_kind=DocumentKind.SALES_ORDER,
        external_id=external_id("sales_order", key),
        event_time=START + timedelta(days=version),
        operation="create",
        depends_on=(CUSTOMER,),
        amount=Decimal(amount),
        currency="USD",
        document_date=date(2017, 4, 1),
        payload={
            "order_number": str(number),
            "customer": external_id("customer", CUSTOMER),
            "customer_name": "Ærø",
            "currency": "USD",
            "order_date": "2017-04-01",
            "po_number": None,
            "payment_terms": None,
            "status": status,
            "amount": amount,
            "lines": [line],
        },
    )


def run(store, url, rows, *, actor="run-1", options=OPTIONS, **writer):
    rows = [customer(), *rows]
    touched = sorted({row.entity_key for row in rows})
    plan(store, rows, touched=touched, options=options, build_id=None, actor="test", now=datetime.now(UTC))
    erp = RestErpWriter(url, SecretStr("sandbox"), settle_after=SETTLE, **writer)
    return asyncio.run(deliver(store, erp, options, actor=actor))


def states(store):
    sql = "select state, count(*) n from posting group by state"
    with store.read() as connection:
        return {row.state: row.n for row in connection.exec_driver_sql(sql).all()}


def plan_faults(url, *rules):
    httpx.post(f"{url}/control/faults", json={"plan": list(rules)}).raise_for_status()


def oracle(url):
    return httpx.get(f"{url}/control/oracle").json()


def faults_of_every_kind(share=0.06, **more):
    return [
        {"fault": "refuse", "status": 503, "probability": share, "seed": 1, **more},
        {"fault": "refuse", "status": 429, "retry_after": 0.1, "probability": share, "seed": 2, **more},
        {"fault": "reset_before", "probability": share, "seed": 3, **more},
        {"fault": "reset_after", "probability": share, "seed": 4, **more},
        {"fault": "slow", "seconds": 0.05, "probability": share, "seed": 5, **more},
        {"fault": "late_commit", "seconds": LATE, "probability": share, "seed": 6, **more},
        {"fault": "refuse", "status": 500, "probability": share, "seed": 7, **more},
        {"fault": "refuse", "status": 503, "at": [1, 3], "on": "reads", "path": "lookup"},
    ]


@pytest.mark.parametrize("profile", PROFILES)
def test_hundreds_of_orders_are_there_once_whatever_goes_wrong(ops, serve_erp, profile):
    orders = [order(number) for number in range(300)]
    with serve_erp(profile) as url:
        plan_faults(url, *faults_of_every_kind())
        report = run(ops, url, orders, options=BY_CHANCE, profile=profile)
        rules = httpx.get(f"{url}/control/faults").json()
        counted = oracle(url)
    assert report.waiting == 0
    assert states(ops) == {"posted": 301}
    assert all(rule["struck"] for rule in rules)
    assert counted["duplicates"] == []
    assert counted["documents"] == {"customer open": 1, "sales_order open": 300}
    assert counted["journal"] == {"customer create": 1, "sales_order create": 300}
    assert Decimal(counted["amounts"]["USD open"]) == sum(row.amount for row in orders)


@pytest.mark.parametrize("profile", PROFILES)
def test_amendments_and_cancellations_take_effect_once_whatever_goes_wrong(ops, serve_erp, profile):
    first = [order(number) for number in range(60)]
    amended = [order(number, version=2) for number in range(40)]
    cancelled = [order(number, version=3, status="cancelled") for number in range(20)]
    with serve_erp(profile) as url:
        run(ops, url, first, profile=profile)
        plan_faults(url, *faults_of_every_kind())
        run(ops, url, first + amended, actor="run-2", options=BY_CHANCE, profile=profile)
        run(ops, url, first + amended + cancelled, actor="run-3", options=BY_CHANCE, profile=profile)
        counted = oracle(url)
    assert states(ops) == {"posted": 121}
    assert counted["duplicates"] == []
    assert counted["orders"] == {"USD open": 40, "USD cancelled": 20}
    assert counted["journal"]["sales_order replace"] == 40
    assert counted["journal"]["sales_order cancel"] == 20
    expected = sum(row.amount for row in amended[20:]) + sum(row.amount for row in first[40:])
    assert Decimal(counted["amounts"]["USD open"]) == expected


def test_two_runs_at_the_same_time_post_every_order_once_through_faults(ops, serve_erp):
    orders = [order(number) for number in range(120)]
    with serve_erp("lookup_only") as url:
        plan_faults(url, *faults_of_every_kind())
        rows = [customer(), *orders]
        touched = sorted({row.entity_key for row in rows})
        plan(ops, rows, touched=touched, options=OPTIONS, build_id=None, actor="test", now=datetime.now(UTC))

        async def both():
            token = SecretStr("sandbox")
            writers = [RestErpWriter(url, token, profile="lookup_only", settle_after=SETTLE) for _ in range(2)]
            runs = [deliver(ops, one, BY_CHANCE, actor=f"run-{place}") for place, one in enumerate(writers)]
            await asyncio.gather(*runs)

        asyncio.run(both())
        counted = oracle(url)
    assert states(ops) == {"posted": 121}
    assert counted["journal"] == {"customer create": 1, "sales_order create": 120}


@pytest.mark.parametrize("profile", PROFILES)
def test_an_erp_that_is_killed_in_the_middle_gets_every_order_once(ops, tmp_path, profile):
    orders = [order(number) for number in range(400)]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    arguments = ["-m", "meshline_dagster.sandbox.erp", "--store", str(tmp_path / "erp.db"), "--profile", profile]
    arguments += ["--port", str(port)]
    with serve_process(arguments) as (url, pid):
        plan_faults(url, {"fault": "slow", "seconds": 0.1, "probability": 1})
        killer = threading.Thread(target=kill_after, args=(url, pid, 60))
        killer.start()
        report = run(ops, url, orders, profile=profile)
        killer.join()
    assert report.outage
    assert report.waiting > 0
    with serve_process(arguments) as (url, _):
        held = sum(oracle(url)["documents"].values())
        assert 0 < held < 401
        deadline = time.monotonic() + 30
        while report.outage and time.monotonic() < deadline:  # the breaker's pause
            time.sleep(0.2)
            report = run(ops, url, orders, actor="run-2", profile=profile)
        counted = oracle(url)
    assert (report.outage, report.waiting) == (False, 0)
    assert states(ops) == {"posted": 401}
    assert counted["journal"] == {"customer create": 1, "sales_order create": 400}


def kill_after(url, pid, posts):
    with httpx.Client(base_url=url) as client:
        while client.get("/control/requests").json().get("POST", 0) < posts:
            time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)


def test_a_revoked_token_leaves_the_work_queued_and_goes_on_with_the_next_one(ops, tmp_path):
    orders = [order(number) for number in range(10)]
    with serve(create_app(tmp_path / "erp.db", token="another")) as url, pytest.raises(AuthError):
        run(ops, url, orders)
    assert states(ops) == {"planned": 11}
    with serve(create_app(tmp_path / "erp.db")) as url:
        run(ops, url, orders, actor="run-2")
    assert states(ops) == {"posted": 11}


def test_an_unknown_item_becomes_an_exception_in_the_erps_words_and_the_rest_is_posted(ops, tmp_path):
    with serve(create_app(tmp_path / "erp.db", items={"MG Special"})) as url:
        run(ops, url, [order(1)])
        with ops.read() as connection:
            [item] = exceptions(connection)
    assert item.code == "rejected"
    assert "unknown item GTX Plus Basic" in item.detail
    assert states(ops) == {"posted": 1, "rejected": 1}
