"""A Tryton server for all tests of a run, and two companies that they share: each test uses names of its own."""

import asyncio

import pytest
import sqlalchemy

from meshline_dagster.erp.tryton_rpc import TrytonSession
from meshline_dagster.testing.erp_documents import Sample
from meshline_dagster.testing.tryton import skip_reason, tryton_server
from meshline_dagster.testing.tryton_proxy import fault_proxy
from tests.integration.erp.tryton_writers import through, writer_on

CONSTRAINED = ("sale_sale", "account_invoice", "party_address", "product_template", "account_move")


@pytest.fixture(scope="session")
def tryton():
    """The server; it makes companies."""
    reason = skip_reason()
    if reason is not None:
        pytest.skip(reason)
    with tryton_server() as server:
        yield server


@pytest.fixture(scope="session")
def company(tryton):
    """A company that the tests of a run share; one that counts what a company holds in all takes a company of its own."""
    with tryton.company() as made:
        yield made


@pytest.fixture(scope="session")
def lax_company(tryton):
    """The same without the constraints of ``extref``: it takes a second document with one external id."""
    with tryton.company() as made:
        engine = sqlalchemy.create_engine(tryton.postgres.url(made.database), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            for table in CONSTRAINED:
                connection.exec_driver_sql(f"alter table {table} drop constraint {table}_external_id_unique")
        engine.dispose()
        yield made


@pytest.fixture(scope="session")
def company_proxy(company):
    with fault_proxy(company.base_url) as running:
        yield running


@pytest.fixture(scope="session")
def lax_company_proxy(lax_company):
    with fault_proxy(lax_company.base_url) as running:
        yield running


@pytest.fixture
def proxy(company_proxy):
    """Between a test's writers and the company's server; no fault is planned."""
    company_proxy.forget()
    return company_proxy


@pytest.fixture
def lax_proxy(lax_company_proxy):
    """The same before the company without constraints."""
    lax_company_proxy.forget()
    return lax_company_proxy


@pytest.fixture
def writer(company, proxy):
    """A writer through the proxy; not open yet."""
    return writer_on(through(proxy, company))


@pytest.fixture
def invoicing(company, proxy):
    """The same, and it makes invoices and credit notes."""
    return writer_on(through(proxy, company), invoices=True)


@pytest.fixture
def sample():
    """Documents with names of their own."""
    return Sample("USD")


@pytest.fixture
def sql(tryton, company):
    """Tryton's own tables, to see and to change what the API does not show."""
    engine = sqlalchemy.create_engine(tryton.postgres.url(company.database), isolation_level="AUTOCOMMIT")

    def execute(statement, **values):
        with engine.connect() as connection:
            done = connection.execute(sqlalchemy.text(statement), values)
            return done.all() if done.returns_rows else []

    yield execute
    engine.dispose()


@pytest.fixture
def ask(company):
    """Calls of Tryton's administrator, who bypasses the proxy."""

    def ask(model, method, *params):
        async def inside():
            session = TrytonSession(company.base_url, company.database, "admin", company.password, 1)
            session.connect(max_in_flight=1, request_timeout=60)
            try:
                return await session.ask(model, method, *params)
            finally:
                await session.aclose()

        return asyncio.run(inside())

    return ask
