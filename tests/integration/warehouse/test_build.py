"""Whole builds: landed files in, outbox, exceptions and status out."""

import json
from decimal import Decimal

import pytest

from meshline_dagster.core.documents import DocumentKind
from meshline_dagster.core.identity import external_id
from meshline_dagster.warehouse.connection import open_warehouse
from meshline_dagster.warehouse.duplicates import doubled_documents
from meshline_dagster.warehouse.records import BuildMode
from tests.integration.warehouse.landed import Project, account, deal, erp_order, instant, line, product


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
    assert order["depends_on"] == [customer["entity_key"]] == ["crm/account/A1"]
    assert order["amount"] == Decimal(300)
    [posted] = json.loads(order["payload"])["lines"]
    assert (posted["sku"], posted["quantity"], posted["unit_price"], posted["amount"]) == ("SKU-1", "3", "100", "300")
    [exception] = project.file(result, "exceptions")
    assert (exception["entity_key"], exception["code"]) == ("crm/opportunity/D2", "product_unmapped")
    total = project.file(result, "status")[0]
    assert (total["orders"], total["in_exception"], total["matched"]) == (2, 1, 0)


def _as_posted(row, **values):
    """The ERP's document of an outbox row, as a read-back lands it."""
    document = json.loads(row["payload"])
    posted = {name: row[name] for name in ("external_id", "event_id", "currency", "amount", "document_date")}
    posted |= {"customer": document["customer"], "lines": json.dumps(document["lines"]), "status": document["status"]}
    return erp_order(row["entity_key"][-2:], instant(60), **(posted | values))


def test_what_is_read_back_is_reconciled_by_order_and_in_money(project):
    project.land([account("A1"), product("P1", "SKU-1"), product("P2", "SKU-2")])
    for number in range(1, 6):
        project.land([deal(f"D{number}", instant(1)), line(f"L{number}", f"D{number}", instant(1))])
    project.land([deal("D6", instant(1)), line("L6", "D6", instant(1), ProductCode="SKU1", Product2Id=None)])
    rows = {row["entity_key"][-2:]: row for row in project.file(project.build(BuildMode.FULL), "outbox")}
    project.land(
        [
            _as_posted(rows["D1"]),
            _as_posted(rows["D2"], amount=Decimal(299)),
            _as_posted(rows["D3"], lines='[{"sku": "SKU-2", "quantity": "3", "amount": "300"}]'),
            _as_posted(rows["D4"]),
            erp_order("x", instant(60), amount=Decimal(17)),
        ]
    )
    view, again = _as_posted(rows["D4"])
    project.land([(view, again | {"_id": "D4 again"})])

    result = project.build()

    classes = {
        row["reconciliation_id"][-2:]: (row["class"], row["explained_by"])
        for row in project.file(result, "reconciliation")
    }
    assert classes == {
        "D1": ("matched", None),
        "D2": ("amount_mismatch", None),
        "D3": ("amount_mismatch", None),
        "D4": ("duplicate", None),
        "D5": ("missing_in_erp", None),
        "D6": ("missing_in_erp", "review"),
        "/x": ("missing_in_crm", None),
    }
    total = project.file(result, "status")[0]
    assert (total["orders"], total["matched"], total["in_exception"], total["posted"]) == (6, 1, 1, 4)
    assert (total["duplicates_in_erp"], total["missing_in_crm"]) == (1, 1)
    assert total["drift_by_money"] == pytest.approx(4 / 6)
    assert total["parity"] == pytest.approx(1 / 6)
    with open_warehouse(project.warehouse) as connection:
        [twice] = doubled_documents(connection)
    assert (twice.kind, twice.entity_key) == (DocumentKind.SALES_ORDER, "crm/opportunity/D4")
    assert twice.external_id == external_id("sales_order", "crm/opportunity/D4")
    assert {one.erp_id for one in twice.documents} == {"D4", "D4 again"}
    assert {(one.amount, one.currency, one.stamp) for one in twice.documents} == {(Decimal(300), "USD", instant(60))}


def test_an_incremental_build_publishes_the_outbox_of_what_it_touched_and_all_exceptions(project):
    project.land([account("A1"), product("P1", "SKU-1")])
    project.land([deal("D1", instant(1)), line("L1", "D1", instant(1)), deal("D2", instant(1), AccountId=None)])
    project.build()
    project.land([deal("D3", instant(2)), line("L3", "D3", instant(2))])
    result = project.build()
    assert result.mode is BuildMode.INCREMENTAL
    assert {row["entity_key"] for row in project.file(result, "outbox")} == {"crm/account/A1", "crm/opportunity/D3"}
    assert [row["entity_key"] for row in project.file(result, "exceptions")] == ["crm/opportunity/D2"]
    assert len(project.file(result, "events")) == 3


def test_one_bad_row_stops_nobody(project):
    project.land([account("A1"), product("P1", "SKU-1"), deal("D1", instant(1)), line("L1", "D1", instant(1))])
    odd = {"CurrencyIsoCode": "x'\"\\\u0000", "AccountId": "a/b", "PO_Number__c": "😀\n", "CloseDate": None}
    project.land([deal("o'dd/\"\\", instant(1), amount=-1, **odd), line("L2", "o'dd/\"\\", instant(1), price=None)])
    project.land(
        [deal("D3", instant(1), amount="999999999999999"), line("L3", "D3", instant(1), price="333333333333333")]
    )
    result = project.build()
    dispositions = {row["source_document_id"]: row["disposition"] for row in project.file(result, "events")}
    assert dispositions == {"D1": "post", "o'dd/\"\\": "reject", "D3": "post"}


def test_two_instances_keep_their_records_apart(project):
    for instance in ("east", "west"):
        project.land([account("A1"), product("P1", "SKU-1")], instance=instance)
    project.land([deal("D1", instant(1)), line("L1", "D1", instant(1))], instance="east")
    project.land([deal("D1", instant(1), amount=600), line("L1", "D1", instant(1), quantity=6)], instance="west")
    result = project.build()
    rows = {row["entity_key"]: row["amount"] for row in project.file(result, "outbox")}
    assert rows == {
        "east/account/A1": 0,
        "east/opportunity/D1": 300,
        "west/account/A1": 0,
        "west/opportunity/D1": 600,
    }
