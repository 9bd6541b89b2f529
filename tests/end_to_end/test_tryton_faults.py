"""Orders and their invoices in a real Tryton behind a network that fails, with everything killed in between.

Runs of Dagster are killed while they post orders and while they post invoices; Tryton is killed between a sale's confirmation and what
follows it. Then Tryton itself is asked. ``MESHLINE_TEST_ORDERS`` sets the number of orders of each test, ``MESHLINE_TEST_SEED`` repeats the faults and the kills of a failure.
"""

import asyncio
import math
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from decimal import Decimal

import dagster as dg
import pytest
import sqlalchemy

from meshline_dagster.cli.demo import dagster_home
from meshline_dagster.erp.tryton_rpc import TrytonSession
from meshline_dagster.orchestration.manifest import dbt_target_path
from meshline_dagster.sandbox.crm import CrmSandbox, create_app
from meshline_dagster.sandbox.serve import serve
from meshline_dagster.store import location
from meshline_dagster.store.engine import open_store
from meshline_dagster.testing.tryton_proxy import Fault, fault_proxy
from tests.end_to_end.conftest import ROOT
from tests.end_to_end.tryton_orders import BATCH, orders_world, run

pytest_plugins = ["tests.integration.erp.tryton_fixtures"]
pytestmark = [pytest.mark.tryton, pytest.mark.slow, pytest.mark.timeout(3600)]

ORDERS = int(os.environ.get("MESHLINE_TEST_ORDERS", "15"))
SALE, INVOICE = "model.sale.sale", "model.account.invoice"
CUSTOMERS = "model.party.party.create"
SALES = [f"{SALE}.{one}" for one in ("create", "quote", "confirm")]
BOOKS = [f"{INVOICE}.create", f"{INVOICE}.post"]
PAUSE = """
    create function stand_still() returns trigger language plpgsql as $$ begin perform pg_sleep(600); return new; end $$;
    create trigger stand_still before update on sale_sale for each row
    when (old.state = 'confirmed' and new.state = 'processing') execute function stand_still();
"""
GO_ON = """
    select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid();
    drop trigger stand_still on sale_sale; drop function stand_still();
"""


@pytest.fixture(scope="module")
def derived(tmp_path_factory, parsed):
    """An installation that has polled the CRM and derived its outbox, and has posted nothing yet."""
    home = tmp_path_factory.mktemp("derived")
    world = orders_world(ORDERS)
    with pytest.MonkeyPatch.context() as patch, serve(create_app(CrmSandbox(world))) as crm_url:
        settle_in(patch, home)
        shutil.copytree(parsed, dbt_target_path(), dirs_exist_ok=True)
        patch.setenv("MESHLINE_CRM_URL", crm_url)
        patch.setenv("MESHLINE_CRM_CLIENT_ID", "sandbox-client")
        patch.setenv("MESHLINE_CRM_CLIENT_SECRET", "sandbox-secret")
        assert run(
            "sync", "poll", dg.AssetSelection.assets("outbox").upstream().required_multi_asset_neighbors()
        ).success
        yield home, world.ground_truth


def settle_in(patch, home):
    patch.setenv("MESHLINE_HOME", str(home))
    for name in ("MESHLINE_STORE_URL", "MESHLINE_LANDING", "MESHLINE_WAREHOUSE", "MESHLINE_ALERT_URLS"):
        patch.delenv(name, raising=False)
    patch.setenv("DAGSTER_HOME", str(dagster_home(home / "dagster")))


class Scene:
    """One company in Tryton, the proxy before it, and an installation that posts there."""

    def __init__(self, tryton, company, proxy, truth, rng):
        self.company, self.proxy, self.truth, self.rng = company, proxy, truth, rng
        self.began = time.monotonic()
        self.engine = sqlalchemy.create_engine(tryton.postgres.url(company.database), isolation_level="AUTOCOMMIT")

    def sql(self, statement):
        with self.engine.connect() as connection:
            return connection.exec_driver_sql(statement)

    def note(self, what):
        sys.stdout.write(f"{time.monotonic() - self.began:6.1f} s {what}\n")

    def start(self, request_seconds=120.0):
        """A run of the writer in a process of its own."""
        command = [sys.executable, "-m", "tests.end_to_end.tryton_orders"]
        environment = {**os.environ, "MESHLINE_TEST_REQUEST_SECONDS": str(request_seconds)}
        return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    @contextmanager
    def killed_at(self, methods, **options):
        """A run that is killed when it is about to make one of these calls: which, is told to what this yields, and counted from there."""
        reached, count = threading.Event(), Counter()

        def arm(number):
            count["left"] = number
            self.proxy.watch = watch

        def watch(method):
            count["left"] -= method in methods
            if count["left"] <= 0:
                reached.set()
                run.wait()  # the call itself is never made: its caller is dead

        run = self.start(**options)
        try:
            yield arm
            while not reached.wait(0.02):
                assert run.poll() is None, run.stdout.read().decode()
        finally:
            run.kill()
            run.communicate()
            self.proxy.abandon()
            self.proxy.watch = lambda method: None
        self.note(f"killed at one of {methods}; faults: {[f'{m} {f.value}' for m, f in self.proxy.faults]}")
        self.proxy.let_orphans_end()
        self.forget_leases()

    def forget_leases(self):
        """What a killed run holds runs out by itself, after as long as a request may take; do not wait for that."""
        store = open_store(location.store_url(), migrate=False)
        with store.write() as connection:
            connection.exec_driver_sql("update lease set holder = null where name like 'deliver:%%'")
        store.close()

    def kill_tryton_between_confirm_and_process(self):
        """Tryton processes a sale in a transaction after that which confirms it: stop it there, and kill it. Returns how many sales are left."""
        self.sql(PAUSE)
        deadline = time.monotonic() + 120
        while not self.sql("select 1 from sale_sale where state = 'confirmed'").all():
            assert time.monotonic() < deadline, "no sale was confirmed"
            time.sleep(0.02)
        self.company.process.kill()
        self.sql(GO_ON)
        states = dict(self.sql("select state, count(*) from sale_sale group by state").all())
        self.note(f"Tryton was killed, with sales in these states: {states}")
        assert states["confirmed"]
        return ORDERS - states.get("processing", 0)

    def drain(self):
        """As the drain sensor does, until nothing is open any more."""
        for _ in range(6):
            done = run("drain", "drain")
            assert done.success, [event for event in done.all_events if event.is_failure]
            self.note(f"drained, open: {self.open_postings()}")
            if not self.open_postings():
                return
        raise AssertionError(f"still open: {self.open_postings()}")

    def open_postings(self):
        store = open_store(location.store_url(), migrate=False)
        with store.read() as connection:
            found = connection.exec_driver_sql(
                "select document_kind, state, cause, outcome, message, count(*) from posting where state <> 'posted' group by 1, 2, 3, 4, 5"
            ).all()
        store.close()
        return found


@pytest.fixture(params=["unique", "not_unique"])
def scene(request, tryton, derived, tmp_path, monkeypatch):
    """One company with, and one without the constraint of ``extref`` that refuses a second document with one external id."""
    seed = int(os.environ.get("MESHLINE_TEST_SEED") or random.SystemRandom().randrange(10**6))
    sys.stdout.write(f"repeat this with MESHLINE_TEST_SEED={seed} MESHLINE_TEST_ORDERS={ORDERS}\n")
    home, truth = derived
    shutil.copytree(home, tmp_path / "meshline")
    settle_in(monkeypatch, tmp_path / "meshline")
    with ExitStack() as stack:
        company = stack.enter_context(tryton.company())
        proxy = stack.enter_context(fault_proxy(company.base_url))
        monkeypatch.setenv("MESHLINE_TRYTON_URL", proxy.base_url)
        monkeypatch.setenv("MESHLINE_TRYTON_DATABASE", company.database)
        monkeypatch.setenv("MESHLINE_TRYTON_USER", company.user)
        monkeypatch.setenv("MESHLINE_TRYTON_PASSWORD", company.password.get_secret_value())
        made = Scene(tryton, company, proxy, truth, random.Random(seed))
        stack.callback(made.engine.dispose)
        if request.param == "not_unique":
            for table in ("sale_sale", "account_invoice"):
                made.sql(f"alter table {table} drop constraint {table}_external_id_unique")
        yield made


def some_faults(rng, methods, count):
    faults = [(method, fault) for method in methods for fault in (Fault.RESET, Fault.LOST, Fault.TORN, Fault.LATE)]
    return rng.sample(faults, count)


def in_tryton(company, base_url):
    """Sales, invoices and the revenue in the books, by Tryton's own words."""

    async def ask():
        rpc = TrytonSession(base_url, company.database, company.user, company.password, 1)
        rpc.connect(max_in_flight=1, request_timeout=120.0)
        try:
            await rpc.log_in()
            names = ["external_id", "state", "description", "untaxed_amount"]
            sales = await rpc.rows("sale.sale", [], names)
            invoices = await rpc.rows("account.invoice", [], [*names, "order_external_id", "number"])
            booked = await rpc.rows("account.move.line", [["account.type.revenue", "=", True]], ["credit", "debit"])
        finally:
            await rpc.aclose()
        return sales, invoices, sum((row["credit"] - row["debit"] for row in booked), Decimal(0))

    return asyncio.run(ask())


def check(scene):
    """As many sales as orders, each invoiced once, all to the cent, and nothing else."""
    sales, invoices, revenue = in_tryton(scene.company, scene.proxy.upstream)
    assert {(row["description"], row["untaxed_amount"]) for row in sales} == set(scene.truth.items())
    assert Counter(row["state"] for row in sales) == {"processing": ORDERS}
    assert len({row["external_id"] for row in sales}) == len(sales) == ORDERS
    assert {(row["description"], row["untaxed_amount"]) for row in invoices} == set(scene.truth.items())
    assert Counter(row["state"] for row in invoices) == {"posted": ORDERS}
    assert {row["order_external_id"] for row in invoices} == {row["external_id"] for row in sales}
    assert len({row["number"] for row in invoices}) == len(invoices) == ORDERS
    assert revenue == sum(scene.truth.values())


def test_every_order_is_in_tryton_once_and_invoiced_once_whatever_fails(scene):
    rng, proxy = scene.rng, scene.proxy
    nearly_all = 2 * math.ceil(ORDERS / BATCH) - 1  # two calls a batch: at least one batch has made its first only
    proxy.held_seconds = 12
    proxy.plan((CUSTOMERS, Fault.HELD), *some_faults(rng, [CUSTOMERS], 1), *some_faults(rng, SALES, 1))
    with scene.killed_at(SALES[:2], request_seconds=10) as arm:
        arm(rng.randint(1, nearly_all))
    proxy.plan(*some_faults(rng, SALES, 3))
    with scene.killed_at(BOOKS) as arm:
        left = scene.kill_tryton_between_confirm_and_process()
        arm(rng.randint(1, 2 * left))  # each of them is still to be invoiced, by two calls
        proxy.upstream = scene.company.process.start()
    proxy.plan(*some_faults(rng, BOOKS, 3))
    scene.drain()
    check(scene)
