"""Generated worlds tell what must come out of them; the models have to agree, order by order."""

import json
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from meshline_dagster.core.money import to_text
from meshline_dagster.crm.salesforce_objects import snake_case
from meshline_dagster.sandbox.crm import generate
from meshline_dagster.warehouse.records import BuildMode
from meshline_dagster.warehouse.sources import LANDING_COLUMNS
from tests.integration.warehouse.landed import Project
from tests.integration.warehouse.recorded import MemoryWarehouse

# The generator's words for what is wrong -> ours.
REASONS = {
    "unmapped_product": "product_unmapped",
    "inactive_product": "product_inactive",
    "missing_customer": "customer_missing",
    "unknown_customer": "customer_not_landed",
    "missing_currency": "currency_missing",
    "lines_do_not_add_up": "lines_incomplete",
    "negative_amount": "amount_negative",
    "unknown_root": "root_not_found",
}


def _row(view, version):
    stamp = datetime.fromtimestamp(version.stamp / 1000, UTC)
    own = {
        "_id": version.id,
        "_stamp": stamp,
        "_hash": json.dumps(version.values, default=str),
        "_deleted": version.deleted,
        "_observed_at": stamp + timedelta(minutes=1),
    }
    values = {name: version.values.get(name) for name in LANDING_COLUMNS[view]}
    days = {name for name, kind in LANDING_COLUMNS[view].items() if kind == "DATE"}
    return view, own | {
        name: date.fromisoformat(value) if value and name in days else value for name, value in values.items()
    }


def _rows(world):
    views = {f"salesforce__{snake_case(name)}": versions for name, versions in world.versions.items()}
    return [_row(view, version) for view in LANDING_COLUMNS for version in views.get(view, ())]


@pytest.fixture(scope="module", params=[1, 2, 3])
def built(request, tmp_path_factory):
    world = generate(request.param, deals=90, bad_share=0.4)
    project = Project(tmp_path_factory.mktemp("generated"))
    rows = _rows(world)
    warehouse = MemoryWarehouse()
    for part in (rows[::3], rows[1::3], rows[2::3]):
        project.land(part)
        warehouse.build(project.spec(BuildMode.INCREMENTAL, as_of=world.now))
        project.planned()
    yield world.ground_truth, warehouse.connection
    warehouse.close()


def _newest(connection):
    """Root deal -> its newest event with disposition and reasons."""
    result = connection.execute(
        "SELECT events.*, disposition, list_transform(reasons, lambda one: one.code) AS codes, payload"
        " FROM marts.canonical_events AS events"
        " INNER JOIN marts.event_dispositions AS dispositions ON events.id = dispositions.event_id"
        " LEFT JOIN marts.outbox AS outbox ON events.id = outbox.event_id"
        " QUALIFY row_number() OVER (PARTITION BY events.entity_key ORDER BY events.position DESC) = 1"
    )
    names = [column[0] for column in result.description]
    return {row["order_id"]: row for row in (dict(zip(names, one, strict=True)) for one in result.fetchall())}


def test_every_order_ends_in_the_class_that_it_must(built):
    truth, connection = built
    newest = _newest(connection)
    rootless = {one for one, order in truth["orders"].items() if order["reason"] == "unknown_root"}
    for one, order in truth["orders"].items():
        if order["class"] == "ignore":
            assert one not in newest, order
        elif one in rootless:
            [event] = [event for event in newest.values() if event["source_document_id"] == one]
            assert (event["disposition"], event["codes"]) == ("review", ["root_not_found"])
        elif order["class"] == "post":
            assert (newest[one]["disposition"], newest[one]["codes"]) == ("post", []), order
        else:
            assert newest[one]["disposition"] in {"review", "reject"}, order
            assert REASONS[order["reason"]] in newest[one]["codes"], order


def test_postable_orders_have_status_amount_customer_and_lines_of_the_truth(built):
    truth, connection = built
    newest = _newest(connection)
    posted = {one: order for one, order in truth["orders"].items() if order["class"] == "post"}
    assert len(posted) > 30
    for one, order in posted.items():
        event, document = newest[one], json.loads(newest[one]["payload"])
        assert (event["status"], to_text(event["amount"])) == (order["status"], order["amount"])
        assert (
            document["lines"] == []
            if order["status"] == "cancelled"
            else document["customer_name"] == order["customer_name"]
        )
        assert _by_product(document["lines"]) == _by_product(order["lines"])


def _by_product(lines):
    """Quantity and amount by sku and price: terms that follow each other are lines of their own in a document."""
    sums = defaultdict(Decimal)
    for one in lines:
        for field in ("quantity", "amount"):
            sums[one["sku"], one["unit_price"], field] += Decimal(one[field])
    return sums


def test_postable_money_adds_up_to_the_truth_in_every_currency(built):
    truth, connection = built
    sums = connection.execute(
        "SELECT currency, sum(amount) FROM (SELECT * FROM marts.outbox WHERE document_kind = 'sales_order'"
        " QUALIFY row_number() OVER (PARTITION BY entity_key ORDER BY position DESC) = 1) GROUP BY currency"
    ).fetchall()
    assert {currency: amount for currency, amount in sums if amount} == {
        currency: Decimal(amount) for currency, amount in truth["amounts"]["post"].items()
    }
