"""A Tryton server for all tests of a run, a company for each test module."""

import dataclasses

import pytest

from meshline_dagster.testing.tryton import skip_reason, tryton_server
from meshline_dagster.testing.tryton_proxy import fault_proxy
from tests.integration.erp.tryton_writers import writer_on


@pytest.fixture(scope="session")
def tryton():
    """The server; it makes companies."""
    reason = skip_reason()
    if reason is not None:
        pytest.skip(reason)
    with tryton_server() as server:
        yield server


@pytest.fixture(scope="module")
def company(tryton):
    """A company that the tests of one module share: each uses names of its own."""
    with tryton.company() as made:
        yield made


@pytest.fixture(scope="module")
def proxy(company):
    """Between the tests' writers and the company's server."""
    with fault_proxy(company.base_url) as running:
        yield running


@pytest.fixture
def writer(company, proxy):
    """A writer through the proxy; not open yet."""
    return writer_on(dataclasses.replace(company, base_url=proxy.base_url))
