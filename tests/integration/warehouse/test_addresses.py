"""Where a sync keeps addresses, orders name those of their customer and wait for them; each build is compared with a full one."""

import json
from datetime import timedelta

import pytest

from meshline_dagster.core.identity import external_id
from meshline_dagster.warehouse.records import Policy
from tests.integration.warehouse.landed import account, deal, instant, line, product
from tests.integration.warehouse.lived import Lived

POLICY = Policy(lines_limit=timedelta(hours=4), customer_limit=timedelta(hours=4), addresses=True)
ORDER = (deal("D1", instant()), line("L1", "D1", instant()))
BILLING = {"BillingStreet": "High Street 1", "BillingCity": "Rome", "BillingPostalCode": "00100"}
BILL_TO, SHIP_TO = "crm/billing_address/A1", "crm/shipping_address/A1"


@pytest.fixture
def lived(tmp_path):
    return Lived(tmp_path, policy=POLICY)


def order_of(lived):
    [(waits_for, payload)] = lived.query(
        "SELECT depends_on, payload FROM marts.outbox WHERE document_kind = 'sales_order'"
    )
    found = json.loads(payload)
    return waits_for, found["bill_to"], found["ship_to"]


def addresses(lived):
    found = lived.query("SELECT entity_key, payload FROM marts.outbox WHERE document_kind = 'address' ORDER BY ALL")
    return {key: json.loads(payload) for key, payload in found}


def test_goods_go_where_bills_go_unless_the_account_says_otherwise(lived):
    lived.build(product("P1", "SKU-1"), account("A1", **BILLING), *ORDER)
    bill_to, ship_to = external_id("address", BILL_TO), external_id("address", SHIP_TO)
    assert order_of(lived) == (["crm/account/A1", BILL_TO], bill_to, bill_to)
    lived.build(
        account("A1", instant(days=1), **BILLING, ShippingCity="Oslo"),
        deal("D2", instant(days=2)),
        line("L2", "D2", instant(days=2)),
    )
    found = dict(lived.query("SELECT entity_key, payload FROM marts.outbox WHERE document_kind = 'sales_order'"))
    assert json.loads(found["crm/opportunity/D2"])["ship_to"] == ship_to
    assert json.loads(found["crm/opportunity/D1"])["ship_to"] == bill_to
    assert addresses(lived)[SHIP_TO]["city"] == "Oslo"
    assert addresses(lived)[BILL_TO] == {
        "code": bill_to,
        "customer": external_id("customer", "crm/account/A1"),
        "name": "Company A1",
        "use": "bill_to",
        "street": "High Street 1",
        "city": "Rome",
        "region": None,
        "postal_code": "00100",
        "country": "US",
    }


def test_a_shipping_address_that_is_the_billing_address_is_one(lived):
    shipping = {name.replace("Billing", "Shipping"): value for name, value in BILLING.items()}
    lived.build(product("P1", "SKU-1"), account("A1", **BILLING, **shipping, ShippingCountry="US"), *ORDER)
    assert order_of(lived)[0] == ["crm/account/A1", BILL_TO]
    assert addresses(lived).keys() == {BILL_TO}


def test_a_country_alone_is_no_address(lived):
    lived.build(product("P1", "SKU-1"), account("A1"), *ORDER)
    assert order_of(lived) == (["crm/account/A1"], None, None)
    assert addresses(lived) == {}


def test_an_address_that_the_account_has_lost_stays_what_it_was_for_the_orders_that_name_it(lived):
    lived.build(product("P1", "SKU-1"), account("A1", **BILLING), *ORDER)
    before = addresses(lived)
    lived.build(account("A1", instant(days=1)))
    assert addresses(lived) == before
    assert order_of(lived)[0] == ["crm/account/A1", BILL_TO]


def test_the_addresses_are_those_of_the_record_that_the_customer_is_mapped_to(lived):
    lived.build(product("P1", "SKU-1"), account("A1", **BILLING), account("A2", BillingCity="Oslo"), *ORDER)
    lived.project.map("customer", "A1", "A2")
    lived.build()
    assert order_of(lived)[0] == ["crm/account/A2", "crm/billing_address/A2"]
    assert addresses(lived).keys() == {"crm/billing_address/A2"}


def test_without_the_policy_orders_name_no_address(tmp_path):
    lived = Lived(tmp_path, policy=Policy(lines_limit=POLICY.lines_limit, customer_limit=POLICY.customer_limit))
    lived.build(product("P1", "SKU-1"), account("A1", **BILLING), *ORDER)
    [(waits_for, payload)] = lived.query(
        "SELECT depends_on, payload FROM marts.outbox WHERE document_kind = 'sales_order'"
    )
    assert waits_for == ["crm/account/A1"]
    assert not {"bill_to", "ship_to"} & json.loads(payload).keys()
    assert lived.touched == ["crm/account/A1", "crm/opportunity/D1"]
