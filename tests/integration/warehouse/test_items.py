"""Where a sync keeps items, orders wait for those that they name; each build is compared with a full one."""

import json
from datetime import timedelta

import pytest

from meshline_dagster.warehouse.connection import open_warehouse
from meshline_dagster.warehouse.records import BuildMode, Policy
from tests.integration.warehouse.landed import Project, account, deal, instant, line, product
from tests.integration.warehouse.lived import Lived

CATALOG = [account("A1"), product("P1", "SKU-1"), product("P2", "SKU-2")]
POLICY = Policy(lines_limit=timedelta(hours=4), customer_limit=timedelta(hours=4), items=True)


@pytest.fixture
def lived(tmp_path):
    return Lived(tmp_path, policy=POLICY)


def waits_for(lived, deal_id="D1"):
    [(found,)] = lived.query(
        f"SELECT max_by(depends_on, position) FROM marts.outbox WHERE entity_key = 'crm/opportunity/{deal_id}'"
    )
    return found


def items(lived):
    found = lived.query("SELECT external_id, payload FROM marts.outbox WHERE document_kind = 'item' ORDER BY ALL")
    return {sku: json.loads(payload) for sku, payload in found}


def test_an_order_waits_for_its_customer_and_for_each_item_once(lived):
    lines = [line("L1", "D1", instant(), quantity=1), line("L2", "D1", instant(), quantity=1)]
    other = line("L3", "D1", instant(), quantity=1, ProductCode="SKU-2", Product2Id="P2")
    lived.build(*CATALOG, product("P3", "SKU-3"), deal("D1", instant()), *lines, other)
    assert waits_for(lived) == ["crm/account/A1", "catalog/item/SKU-1", "catalog/item/SKU-2"]
    assert items(lived).keys() == {"SKU-1", "SKU-2"}


def test_without_the_policy_there_are_no_items(tmp_path):
    lived = Lived(tmp_path, policy=Policy(lines_limit=POLICY.lines_limit, customer_limit=POLICY.customer_limit))
    lived.build(*CATALOG, deal("D1", instant()), line("L1", "D1", instant()))
    assert waits_for(lived) == ["crm/account/A1"]
    assert items(lived) == {}
    assert lived.touched == ["crm/account/A1", "crm/opportunity/D1"]


def test_an_item_that_no_order_names_any_more_goes_and_another_comes(lived):
    lived.build(*CATALOG, deal("D1", instant()), line("L1", "D1", instant()))
    assert items(lived).keys() == {"SKU-1"}
    lived.build(line("L1", "D1", instant(), quantity=3, ProductCode="SKU-2", Product2Id="P2", Description="now"))
    lived.build(deal("D1", instant(days=1), won=False))
    assert waits_for(lived) == []


def test_a_renamed_product_renames_the_item_and_changes_no_order(lived):
    lived.build(*CATALOG, deal("D1", instant()), line("L1", "D1", instant()))
    before = dict(row[::2] for row in lived.outbox)
    lived.build(
        product(
            "P1",
            "SKU-1",
            instant(days=3),
            Name="Probe",
            QuantityUnitOfMeasure="kg",
            List_Price__c=9,
            CurrencyIsoCode="USD",
        )
    )
    after = dict(row[::2] for row in lived.outbox)
    assert after["crm/opportunity/D1"] == before["crm/opportunity/D1"]
    assert items(lived)["SKU-1"] == {"sku": "SKU-1", "name": "Probe", "uom": "kg", "list_price": "9", "currency": "USD"}


def test_a_mapped_code_is_the_item_of_the_product_that_it_means(lived):
    lived.build(*CATALOG, deal("D1", instant()), line("L1", "D1", instant(), ProductCode="SKU1"))
    assert items(lived) == {}
    lived.project.map("product", "SKU1", "SKU-2")
    lived.build()
    assert (waits_for(lived)[1:], items(lived).keys()) == (["catalog/item/SKU-2"], {"SKU-2"})
    lived.project.map("product", "SKU1", None)
    lived.build()
    assert items(lived) == {}


def test_an_item_of_an_amendment_comes_when_the_order_can_be_posted(lived):
    amendment = deal("D2", instant(5), Type="Amendment", Original_Opportunity__c="D1", amount=300)
    added = line("L2", "D2", instant(5), ProductCode="SKU-2", Product2Id="P2")
    lived.build(
        *CATALOG, deal("D1", instant(), AccountId=None), line("L1", "D1", instant()), amendment, added, as_of=instant(9)
    )
    assert items(lived) == {}
    lived.build(deal("D1", instant(20)), as_of=instant(30))
    assert items(lived).keys() == {"SKU-1", "SKU-2"}


def test_a_replay_finds_the_items_of_its_orders(lived):
    lived.build(*CATALOG, deal("D1", instant()), line("L1", "D1", instant()))
    day = instant().date()
    lived.build(mode=BuildMode.REPLAY, replay=(day, day))
    assert set(lived.query("SELECT entity_key, by_replay FROM intermediate.int_touched_entities")) == {
        ("catalog/item/SKU-1", True),
        ("crm/account/A1", True),
        ("crm/opportunity/D1", True),
    }


def test_a_warehouse_of_an_earlier_version_is_built_anew(tmp_path):
    project = Project(tmp_path, policy=POLICY)
    project.land([*CATALOG, deal("D1", instant()), line("L1", "D1", instant())])
    project.build()
    with open_warehouse(project.warehouse) as connection:
        connection.execute("ALTER TABLE marts.outbox DROP depends_on")
        connection.execute("ALTER TABLE marts.outbox ADD depends_on VARCHAR DEFAULT 'crm/account/A1'")
    project.build(BuildMode.FULL)
    waited = project.query("SELECT depends_on FROM marts.outbox WHERE document_kind = 'sales_order'")
    assert waited == [(["crm/account/A1", "catalog/item/SKU-1"],)]
