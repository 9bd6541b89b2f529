"""Sales of which somebody in Tryton has the invoices, or the goods, go to another party than the customer."""

import pytest

from meshline_dagster.erp.tryton_amendments import amendment_lines
from meshline_dagster.erp.tryton_books import invoice_values
from meshline_dagster.erp.tryton_values import WantedSale
from meshline_dagster.testing.erp_documents import Sample

CUSTOMER, OTHER = 4, 55
NAMED = frozenset({"invoice_address", "shipment_address"})
WANTED = {"party": CUSTOMER, "invoice_address": 41, "shipment_address": 42, "currency": 1, "description": "d"}


def sale(**changes):
    parties = {"invoice_party": None, "shipment_party": None}
    return {"party.": {"id": CUSTOMER}, **parties, "invoice_address": 1, "shipment_address": 2, "lines.": []} | changes


def moved(row):
    """The addresses that an amendment gives the sale, and whose they are."""
    [change] = amendment_lines({**row, "payment_term": None}, WantedSale(WANTED, (), NAMED))
    return {name: change[name] for name in (*NAMED, "invoice_party", "shipment_party")}


@pytest.mark.parametrize("whose", [None, CUSTOMER])
def test_addresses_of_the_customer_become_those_that_the_order_names(whose):
    found = moved(sale(invoice_party=whose, shipment_party=whose))
    assert (found["invoice_address"], found["shipment_address"]) == (41, 42)


def test_an_address_of_another_party_stays_as_it_is():
    found = moved(sale(shipment_party=OTHER, shipment_address=77))
    assert found == {"invoice_address": 41, "invoice_party": None, "shipment_address": 77, "shipment_party": OTHER}


@pytest.mark.parametrize(("whose", "address"), [(None, 1), (CUSTOMER, 1), (OTHER, 41)])
def test_an_invoice_to_the_customer_goes_to_the_sales_address_only_where_that_is_the_customers(whose, address):
    invoice = Sample("USD").invoice(1, [])
    values = invoice_values(invoice, WantedSale(WANTED, ()), sale(invoice_party=whose), {})
    assert (values["party"], values["invoice_address"]) == (CUSTOMER, address)
