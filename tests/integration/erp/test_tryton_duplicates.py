"""A sale that stands twice in a real Tryton: its reversal, approved, is delivered once, also when the answer is lost."""

import asyncio
import dataclasses
from datetime import UTC, datetime

import pytest
import sqlalchemy

from meshline_dagster.core.documents import Document, DocumentKind
from meshline_dagster.core.duplicates import Doubled, Standing
from meshline_dagster.delivery.duplicates import settle_duplicates
from meshline_dagster.delivery.engine import deliver
from meshline_dagster.testing.erp_control import find_one, post_one, run
from tests.integration.erp.tryton_writers import through, writer_on
from tests.integration.test_delivery_duplicates import decide, queue, reversals
from tests.integration.test_delivery_engine import OPTIONS, customer, order, plan_rows

pytest_plugins = ["tests.integration.erp.tryton_fixtures"]
pytestmark = [pytest.mark.tryton, pytest.mark.slow]

ORDER = DocumentKind.SALES_ORDER
LIVE = dataclasses.replace(OPTIONS, destination="tryton")


@pytest.fixture
def scene(tryton, lax_company, lax_proxy):
    """A company that takes an external id twice, the proxy before it, and its database."""
    engine = sqlalchemy.create_engine(tryton.postgres.url(lax_company.database), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield through(lax_proxy, lax_company), lax_proxy, connection
    engine.dispose()


def enter_again(company, connection, row):
    """Somebody enters the order once more: nobody finds the first one meanwhile."""
    rename = sqlalchemy.text("update sale_sale set external_id = :new where external_id = :old")
    hidden = f"hidden/{row.external_id}"
    connection.execute(rename, {"old": row.external_id, "new": hidden})
    document = Document(ORDER, row.external_id, "d" * 64, row.event_id, "create", row.payload)
    run(writer_on(company), lambda opened: post_one(opened, document))
    connection.execute(rename, {"old": hidden, "new": row.external_id})
    return run(writer_on(company), lambda opened: find_one(opened, document))


def read_back(ops, row, found):
    live = [one for one in found if one.status != "cancelled"]
    standing = tuple(Standing(one.erp_id, one.number, one.amount, one.currency, one.stamp) for one in live)
    doubled = [Doubled(ORDER, row.external_id, row.entity_key, standing)] if len(live) > 1 else []
    with ops.write() as connection:
        settle_duplicates(connection, doubled, options=LIVE, reversible=[ORDER], actor="run-9", now=datetime.now(UTC))


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("number", "lost"), [(1, "create"), (2, "validate_amendment")])
def test_the_reversal_of_a_sale_is_settled_by_the_sale_with_that_id(ops, scene, number, lost):
    company, proxy, connection = scene
    row = order(number, sku="GTX Basic")
    plan_rows(ops, [customer(), row], LIVE)
    asyncio.run(deliver(ops, writer_on(company, name="tryton"), LIVE, actor="run"))
    first, second = enter_again(company, connection, row)
    read_back(ops, row, [first, second])
    decide(ops)
    proxy.lose_next(f"model.sale.amendment.{lost}")
    report = asyncio.run(deliver(ops, writer_on(company, name="tryton"), LIVE, actor="run"))
    assert report.outcomes["unknown"] >= 1

    async def statuses(opened):
        shown = await opened.show(ORDER, [first.erp_id, second.erp_id])
        return [shown[one.erp_id] for one in (first, second)]

    found = run(writer_on(company), statuses)
    assert [one.status for one in found] == ["open", "cancelled"]
    assert [state for state, *_ in reversals(ops)] == ["posted"]
    read_back(ops, row, found)
    assert queue(ops) == []
