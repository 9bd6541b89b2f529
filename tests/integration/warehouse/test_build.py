"""Whole builds: landed files in, outbox, exceptions and status out."""

import json
from decimal import Decimal

import pytest

from meshline_dagster.core.identity import external_id
from meshline_dagster.warehouse.records import BuildMode
from tests.integration.warehouse.landed import Project, account, deal, instant, line, product


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


def test_a_full_build_makes_a_postable_order_with_its_customer_and_an_exception_for_the_other(project):
    project.land([account("A1"), product("P1", "SKU-1")])
    project.land([deal("D1", instant(1)), line("L1", "D1", instant(1))])
    project.land([deal("D2", instant(2)), line("L2", "D2", instant(2), ProductCode="SKU1", Product2Id=None)])

    result = project.build(BuildMode.FULL)

    order, customer = sorted(project.file(result, "outbox"), key=lambda row: row["position"] + len(row["entity_key"]))[
        ::-1
    ]
    assert (order["entity_key"], order["operation"]) == ("crm/opportunity/D1", "create")
    assert order["external_id"] == external_id("sales_order", "crm/opportunity/D1")
    assert order["depends_on"] == customer["entity_key"] == "crm/account/A1"
    assert order["amount"] == Decimal(300)
    [posted] = json.loads(order["payload"])["lines"]
    assert (posted["sku"], posted["quantity"], posted["unit_price"], posted["amount"]) == ("SKU-1", "3", "100", "300")
    [exception] = project.file(result, "exceptions")
    assert (exception["entity_key"], exception["code"]) == ("crm/opportunity/D2", "product_unmapped")
    total = project.file(result, "status")[0]
    assert (total["orders"], total["in_exception"], total["matched"]) == (2, 1, 0)
