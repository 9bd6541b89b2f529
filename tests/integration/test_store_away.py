"""The ops store's database goes away in the middle of a delivery: it ends with words that say so, and the next one posts each order once."""

import asyncio

import pytest

from meshline_dagster.core.documents import DocumentKind
from meshline_dagster.core.errors import StoreUnavailableError
from meshline_dagster.delivery import engine
from meshline_dagster.store.engine import open_store
from meshline_dagster.store.exceptions import exceptions
from meshline_dagster.testing.memory_erp import MemoryErp, MemoryWriter
from meshline_dagster.testing.postgres import postgres_server
from tests.integration.test_delivery_engine import customer, order, plan_rows, run, states

ORDERS = 40


@pytest.fixture(scope="module")
def server():
    """One of our own, since it is stopped."""
    with postgres_server() as running:
        yield running


@pytest.fixture
def store(server, request):
    name = request.node.name[:60]
    opened = open_store(server.create_database(name))
    yield opened
    opened.close()


class Fuse:
    """An ERP's fault plan that does none, and blows once, when so many documents have arrived."""

    def __init__(self, documents, blow):
        self.left, self.blow = documents, blow

    async def __call__(self, document):
        self.left -= 1
        if self.left == 0:
            await asyncio.to_thread(self.blow)


def check_once(erp, store):
    held = [one.external_id for one in erp.documents[DocumentKind.SALES_ORDER]]
    assert len(held) == len(set(held)) == ORDERS
    assert len(erp.writes) == ORDERS + 1
    assert states(store) == {"posted": ORDERS + 1}


def test_a_delivery_ends_in_clear_words_and_the_next_one_posts_the_rest_once(server, store, monkeypatch):
    monkeypatch.setattr(engine, "_STORE_PAUSES", ())
    erp = MemoryErp(latency=0.01)
    plan_rows(store, [customer(), *(order(number) for number in range(ORDERS))])
    erp.faults = Fuse(ORDERS // 2, server.stop)
    with pytest.raises(
        StoreUnavailableError, match=r"does not answer.*postgresql.*(closed|terminat|refused|shutting down)"
    ):
        run(store, MemoryWriter(erp))
    sent = len(erp.writes)
    assert 1 < sent < ORDERS + 1
    with pytest.raises(StoreUnavailableError, match="refused"):
        run(store, MemoryWriter(erp), actor="run-2")
    assert len(erp.writes) == sent
    server.start()
    with store.write() as connection:  # what run-1 holds runs out by itself, seconds later
        connection.exec_driver_sql("update lease set holder = null")
    run(store, MemoryWriter(erp), actor="run-3")
    check_once(erp, store)


def test_leases_are_given_back_when_the_database_is_back_soon(server, store):
    erp = MemoryErp(latency=0.01)
    plan_rows(store, [customer(), *(order(number) for number in range(ORDERS))])

    def restart():
        server.stop()
        server.start()

    erp.faults = Fuse(ORDERS // 2, restart)
    with pytest.raises(StoreUnavailableError):
        run(store, MemoryWriter(erp))
    with store.read() as connection:
        held = connection.exec_driver_sql("select count(*) from lease where holder is not null").scalar_one()
    assert held == 0
    run(store, MemoryWriter(erp), actor="run-2")
    check_once(erp, store)


def test_an_error_of_a_statement_is_no_absence(store):
    with pytest.raises(Exception, match="does not exist") as caught, store.read() as connection:
        connection.exec_driver_sql("select nothing from nowhere")
    assert not isinstance(caught.value, StoreUnavailableError)


def test_an_absence_of_the_store_is_no_outage_of_the_erp(store, monkeypatch):
    def away(*_, **__):
        raise StoreUnavailableError

    plan_rows(store, [customer(), order(1)])
    monkeypatch.setattr(engine, "next_due", away)
    with pytest.raises(StoreUnavailableError):
        run(store, MemoryWriter(MemoryErp()))
    with store.read() as connection:
        assert exceptions(connection) == []
