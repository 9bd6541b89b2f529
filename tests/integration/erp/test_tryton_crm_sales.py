"""Twenty real orders of April 2017 in a real Tryton, to the cent; and again, through delivery with answers lost."""

import asyncio
import csv
import dataclasses
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import islice

import pytest

from meshline_dagster.core.documents import Document, DocumentKind, Outcome
from meshline_dagster.core.identity import external_id, posting_key, sha256_hex
from meshline_dagster.core.postings import OutboxRow
from meshline_dagster.core.settle import difference
from meshline_dagster.delivery.engine import deliver
from meshline_dagster.delivery.options import DeliveryOptions, Mode
from meshline_dagster.delivery.plan import plan
from meshline_dagster.store.engine import open_store
from meshline_dagster.testing.erp_control import run
from tests.integration.erp.tryton_writers import through, writer_on
from tests.shared_data import shared_data

pytest_plugins = ["tests.integration.erp.tryton_fixtures"]
pytestmark = [pytest.mark.tryton, pytest.mark.slow]

ORDER, CUSTOMER = DocumentKind.SALES_ORDER, DocumentKind.CUSTOMER
SPELLINGS = {"GTXPro": "GTX Pro"}  # the pipeline's, mapped to the catalog's
OPTIONS = DeliveryOptions(
    destination="tryton", company="1", mode=Mode.LIVE, sandbox=True, patience=120, max_attempts=99
)


@dataclasses.dataclass(frozen=True)
class Deal:
    number: str
    account: str
    sku: str
    closed: date
    amount: Decimal

    @property
    def customer(self):
        return external_id("customer", f"crm_sales/account/{self.account}")


@pytest.fixture(scope="module")
def deals():
    with (shared_data("crm_sales") / "sales_pipeline.csv").open(encoding="utf-8", newline="") as file:
        won = [_deal(row) for row in csv.DictReader(file) if row["deal_stage"] == "Won" and row["account"]]
    april = [deal for deal in won if (deal.closed.year, deal.closed.month) == (2017, 4)]
    return list(islice(april, 20))


def _deal(row):
    closed = datetime.strptime(row["close_date"], "%m/%d/%Y").replace(tzinfo=UTC).date()
    sku = SPELLINGS.get(row["product"], row["product"])
    return Deal(row["opportunity_id"], row["account"], sku, closed, Decimal(row["close_value"]))


def customers_of(deals, run_name):
    return [
        outbox(run_name, CUSTOMER, f"crm_sales/account/{name}", payload)
        for name, code in {deal.account: deal.customer for deal in deals}.items()
        for payload in [{"code": code, "name": name, "country": None, "currency": "USD"}]
    ]


def order_of(deal, run_name):
    amount = str(deal.amount)
    line = {"line": "1", "sku": deal.sku, "description": None, "quantity": "1", "uom": "unit", "unit_price": amount}
    payload = {
        "order_number": deal.number,
        "customer": deal.customer,
        "customer_name": deal.account,
        "currency": "USD",
        "order_date": deal.closed.isoformat(),
        "po_number": None,
        "payment_terms": None,
        "status": "open",
        "amount": amount,
        "lines": [{**line, "amount": amount, "tax_code": "standard", "start": None, "end": None}],
    }
    entity = f"crm_sales/{run_name}/opportunity/{deal.number}"
    return outbox(run_name, ORDER, entity, payload, deal)


def outbox(run_name, kind, entity, payload, deal=None):
    return OutboxRow(
        event_id=sha256_hex(f"{run_name}/{entity}".encode()),
        entity_key=entity,
        document_kind=kind,
        external_id=payload["code"] if deal is None else external_id("sales_order", entity),
        event_time=datetime(2017, 4, 1, tzinfo=UTC),
        operation="create",
        depends_on=(f"crm_sales/account/{deal.account}",) if deal else (),
        amount=deal.amount if deal else Decimal(0),
        currency="USD" if deal else None,
        document_date=deal.closed if deal else None,
        payload=payload,
    )


def document(row):
    key = posting_key("tryton", row.event_id, 1)
    return Document(row.document_kind, row.external_id, key, row.event_id, "create", row.payload)


def test_twenty_real_orders_are_posted_and_read_back_to_the_cent(writer, deals):
    orders = [document(order_of(deal, "direct")) for deal in deals]
    customers = [document(row) for row in customers_of(deals, "direct")]

    async def work(opened):
        answers = [*await opened.post(customers), *await opened.post(orders)]
        found = await opened.find(ORDER, [order.external_id for order in orders])
        return answers, {key: one for key, [one] in found.items()}

    answers, found = run(writer, work)
    assert len(deals) == 20
    assert {answer.outcome for answer in answers} == {Outcome.CREATED}
    assert all(difference(ORDER, order.payload, found[order.external_id]) is None for order in orders)
    assert sum(one.amount for one in found.values()) == sum(deal.amount for deal in deals)
    assert [found[order.external_id].document_date for order in orders] == [deal.closed for deal in deals]


@pytest.mark.parametrize("call", ["create", "quote", "confirm"])
def test_delivery_posts_each_of_them_once_although_an_answer_is_lost(company, proxy, deals, tmp_path, call):
    store = open_store(f"sqlite:///{tmp_path / 'ops.db'}")
    orders = [order_of(deal, f"delivered-{call}") for deal in deals]
    rows = [*customers_of(deals, "delivered"), *orders]
    touched = sorted({row.entity_key for row in rows})
    plan(store, rows, touched=touched, options=OPTIONS, build_id=None, actor="test", now=datetime.now(UTC))
    writer = writer_on(through(proxy, company), batch_size=10, settle_after=timedelta(seconds=1))
    proxy.lose_next(f"model.sale.sale.{call}")
    report = asyncio.run(deliver(store, writer, OPTIONS, actor="run-1"))
    with store.read() as connection:
        states = connection.exec_driver_sql("select state, count(*) from posting group by state").all()
    store.close()
    assert [tuple(row) for row in states] == [("posted", len(rows))]
    assert report.outcomes["unknown"] == 10
    ids = [row.external_id for row in orders]
    found = run(writer_on(company), lambda opened: opened.find(ORDER, ids))
    assert sorted(len(found[name]) for name in ids) == [1] * 20
    assert sum(one.amount for [one] in found.values()) == sum(deal.amount for deal in deals)
