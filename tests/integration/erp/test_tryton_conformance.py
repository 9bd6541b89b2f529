"""The ERP-writer conformance suite on a real Tryton, with and without unique external ids."""

import dataclasses
import socket

import pytest
import sqlalchemy
from pydantic import SecretStr

from meshline_dagster.testing.erp_conformance import ErpWriterConformance
from tests.integration.erp.tryton_writers import through, writer_on

pytest_plugins = ["tests.integration.erp.tryton_fixtures"]
pytestmark = [pytest.mark.tryton, pytest.mark.slow]

LAST_CALLS = (
    "model.sale.sale.confirm",
    "model.sale.amendment.validate_amendment",
    "model.account.invoice.post",
    "model.party.address.create",
    "model.product.template.create",
    "model.account.move.record_payments",
)


class TrytonControl:
    """The suite's hold on a Tryton company; the last call of a post is the one whose answer counts."""

    can = frozenset(
        {"lose_answer", "refuse_connection", "refuse_credentials", "refuse_skus", "show_name", "show_po_number"}
    )
    company = "1"
    currency = "USD"
    skus = ("GTX Basic", "GTX Pro")

    def __init__(self, server, company, proxy, *, is_unique):
        if not is_unique:
            self.can |= {"hide_order"}
        self._server, self._direct, self._proxy = server, company, proxy
        self._company = through(proxy, company)

    def writer(self):
        return writer_on(self._company, invoices=True)

    def unreachable(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            nobody = f"http://127.0.0.1:{probe.getsockname()[1]}"
        return writer_on(dataclasses.replace(self._direct, base_url=nobody))

    def stranger(self):
        return writer_on(dataclasses.replace(self._company, password=SecretStr("not the password")))

    def lose_next_answer(self):
        self._proxy.lose_next(*LAST_CALLS)

    def hide_order(self, external_id):
        rename = "update sale_sale set external_id = :new where external_id = :name"
        hidden = f"hidden/{external_id}"
        self._asked(rename, external_id, new=hidden)
        return lambda: self._asked(rename, hidden, new=external_id)

    def name_of(self, external_id):
        return self._asked("select name from party_party where code = :name", external_id)

    def po_number_of(self, external_id):
        return self._asked("select reference from sale_sale where external_id = :name", external_id)

    def _asked(self, query, name, **values):
        engine = sqlalchemy.create_engine(
            self._server.postgres.url(self._direct.database), isolation_level="AUTOCOMMIT"
        )
        with engine.connect() as connection:
            done = connection.execute(sqlalchemy.text(query), {"name": name, **values})
            found = done.scalar_one() if done.returns_rows else None
        engine.dispose()
        return found


class TestTryton(ErpWriterConformance):
    @pytest.fixture
    def control(self, tryton, company, proxy):
        return TrytonControl(tryton, company, proxy, is_unique=True)


class TestTrytonWithoutUniqueIds(ErpWriterConformance):
    @pytest.fixture
    def control(self, tryton, lax_company, lax_proxy):
        return TrytonControl(tryton, lax_company, lax_proxy, is_unique=False)
