"""Customers, products and operators' mappings reach the orders that name them; each build is compared with a full one."""

from datetime import timedelta

import pytest

from meshline_dagster.warehouse.records import Policy
from tests.integration.warehouse.landed import account, deal, instant, line, product
from tests.integration.warehouse.lived import Lived

CATALOG = [account("A1"), product("P1", "SKU-1")]
POST = "post", []


@pytest.fixture
def lived(tmp_path):
    return Lived(tmp_path, policy=Policy(lines_limit=timedelta(hours=4), customer_limit=timedelta(hours=4)))


def test_an_order_waits_for_its_customer(lived):
    lived.build(product("P1", "SKU-1"), deal("D1", instant()), line("L1", "D1", instant()), as_of=instant(10))
    assert lived.dispositions == [("D1", 1, "hold", ["customer_not_landed"])]
    assert lived.outbox == []
    lived.build(account("A1", instant(15)), as_of=instant(20))
    assert lived.dispositions == [("D1", 1, *POST)]
    assert [row[:2] for row in lived.outbox] == [("crm/account/A1", "create"), ("crm/opportunity/D1", "create")]


def test_a_customer_that_is_renamed_changes_no_order_that_was_there_before(lived):
    lived.build(*CATALOG, deal("D1", instant()), line("L1", "D1", instant()))
    before = dict(row[::2] for row in lived.outbox)
    lived.build(account("A1", instant(days=3), Name="Another Name"))
    after = dict(row[::2] for row in lived.outbox)
    assert after["crm/opportunity/D1"] == before["crm/opportunity/D1"]
    assert "Another Name" in after["crm/account/A1"]


def test_two_records_of_one_customer_become_one_by_a_mapping(lived):
    lived.build(*CATALOG, account("A2"), deal("D1", instant(), AccountId="A2"), line("L1", "D1", instant()))
    assert lived.query("SELECT depends_on FROM marts.outbox WHERE document_kind = 'sales_order'") == [
        (["crm/account/A2"],)
    ]
    lived.project.map("customer", "A2", "A1")
    lived.build()
    assert lived.query("SELECT depends_on FROM marts.outbox WHERE document_kind = 'sales_order'") == [
        (["crm/account/A1"],)
    ]
    assert [row[0] for row in lived.outbox] == ["crm/account/A1", "crm/opportunity/D1"]
    lived.project.map("customer", "A2", None)
    lived.build()
    assert [row[0] for row in lived.outbox] == ["crm/account/A2", "crm/opportunity/D1"]


def test_a_product_that_is_added_later_heals_the_orders_that_name_it(lived):
    lived.build(*CATALOG, deal("D1", instant()), line("L1", "D1", instant(), ProductCode="SKU-2", Product2Id=None))
    assert lived.exceptions == [("D1", "product_unmapped")]
    lived.build(product("P2", "SKU-2", instant(days=9)))
    assert (lived.exceptions, lived.dispositions) == ([], [("D1", 1, *POST)])


def test_a_product_retired_before_the_order_is_asked_about_and_one_retired_after_it_is_not(lived):
    lived.build(*CATALOG, product("P1", "SKU-1", instant(days=2), active=False))
    lived.build(deal("D1", instant(days=1)), line("L1", "D1", instant(days=1)))
    lived.build(deal("D2", instant(days=3)), line("L2", "D2", instant(days=3)))
    assert lived.dispositions == [("D1", 1, *POST), ("D2", 1, "review", ["product_inactive"])]
    lived.build(product("P1", "SKU-1", instant(days=4)))
    assert lived.dispositions == [("D1", 1, *POST), ("D2", 1, *POST)]


def test_a_line_without_code_takes_the_code_of_its_product_when_that_arrives(lived):
    lived.build(account("A1"), deal("D1", instant()), line("L1", "D1", instant(), ProductCode=None))
    assert lived.dispositions == [("D1", 1, "review", ["product_unmapped"])]
    [(one,)] = lived.query("SELECT id FROM marts.canonical_events")
    lived.build(product("P1", "SKU-1", instant(days=1)))
    assert lived.query("SELECT id, lines[1].source_sku FROM marts.canonical_events") == [(one, "SKU-1")]
    assert lived.dispositions == [("D1", 1, *POST)]


def test_a_mapping_heals_and_unheals_the_orders_that_name_the_code_whatever_their_day(lived):
    lived.build(*CATALOG, deal("D1", instant(days=-400)), line("L1", "D1", instant(days=-400), ProductCode="SKU1"))
    assert lived.exceptions == [("D1", "product_unmapped")]
    lived.project.map("product", "SKU1", "SKU-1")
    lived.build()
    assert (lived.exceptions, lived.dispositions) == ([], [("D1", 1, *POST)])
    lived.project.map("product", "SKU1", None)
    lived.build()
    assert lived.exceptions == [("D1", "product_unmapped")]


def test_a_mapping_counts_as_soon_as_the_product_that_it_names_is_there(lived):
    lived.project.map("product", "SKU1", "SKU-9")
    lived.build(*CATALOG, deal("D1", instant()), line("L1", "D1", instant(), ProductCode="SKU1"))
    assert lived.exceptions == [("D1", "product_unmapped")]
    lived.build(product("P9", "SKU-9", instant(days=1)))
    assert lived.exceptions == []


def test_a_mapping_also_concerns_lines_that_name_their_product_by_id_alone(lived):
    lived.build(account("A1"), product("P1", "SKU1", active=False), product("P2", "SKU-1"))
    lived.build(deal("D1", instant()), line("L1", "D1", instant(), ProductCode=None))
    assert lived.exceptions == [("D1", "product_inactive")]
    lived.project.map("product", "SKU1", "SKU-1")
    lived.build()
    assert lived.exceptions == []


def test_a_mapped_customer_is_waited_for_and_comes(lived):
    lived.project.map("customer", "A2", "A3")
    order = [deal("D1", instant(), AccountId="A2"), line("L1", "D1", instant())]
    lived.build(product("P1", "SKU-1"), account("A2"), *order, as_of=instant(10))
    assert lived.dispositions == [("D1", 1, "hold", ["customer_not_landed"])]
    lived.build(account("A3", instant(15)), as_of=instant(20))
    assert [row[0] for row in lived.outbox] == ["crm/account/A3", "crm/opportunity/D1"]


def test_payment_terms_and_tax_are_translated_for_orders_that_were_there_before(lived):
    lived.build(*CATALOG, deal("D1", instant(), Payment_Terms__c="NET30"), line("L1", "D1", instant()))
    assert '"payment_terms":"NET30"' in lived.outbox[1][2]
    lived.project.map("payment_term", "NET30", "30 days")
    lived.build()
    assert '"payment_terms":"30 days"' in lived.outbox[1][2]


def test_a_customer_goes_by_the_code_of_the_party_that_an_operator_named_and_by_ours_again_without_it(lived):
    lived.build(*CATALOG, deal("D1", instant()), line("L1", "D1", instant()))
    ours = lived.outbox[0][2]
    lived.project.map("party", "A1", "ACME-01")
    lived.build()
    [(_, _, customer), (_, _, order)] = lived.outbox
    assert '"code":"ACME-01"' in customer
    assert '"customer":"ACME-01"' in order
    assert lived.query("SELECT external_id FROM marts.outbox WHERE document_kind = 'customer'") == [("ACME-01",)]
    lived.project.map("party", "A1", None)
    lived.build()
    assert lived.outbox[0][2] == ours


def test_a_party_is_also_that_of_records_which_are_mapped_to_its_customer(lived):
    lived.build(*CATALOG, account("A2"), deal("D1", instant(), AccountId="A2"), line("L1", "D1", instant()))
    lived.project.map("customer", "A2", "A1")
    lived.build()
    lived.project.map("party", "A1", "ACME-01")
    lived.build()
    assert '"customer":"ACME-01"' in next(row[2] for row in lived.outbox if row[0] == "crm/opportunity/D1")
