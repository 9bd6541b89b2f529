"""The oracle finds what was asked for before the ERP had what it belongs to: not only what is made, also what is changed, cancelled or credited."""

import pytest

from meshline_dagster.core.documents import DocumentKind
from meshline_dagster.testing.oracle import Truth, check_safety
from meshline_dagster.testing.simulator import Profile
from meshline_dagster.testing.simulator.server import Request, SimulatedErp

ORDER, NOTE = DocumentKind.SALES_ORDER, DocumentKind.CREDIT_NOTE
LINE = {"line": "1", "invoice_line": "1", "sku": "A", "quantity": "1", "unit_price": "10", "amount": "10"}
PAYLOAD = {"customer": "MLC-1", "currency": "USD", "amount": "10", "status": "open", "lines": [LINE]}
BILLED = {"order": "MLO-1", "order_event_id": "e", "invoice_date": "2026-01-01", "invoice": "MLI-1"}


def asked(*requests):
    """What the oracle says of requests to an ERP that has a customer, by check."""
    erp = SimulatedErp(Profile.UNIQUE)
    erp.have(DocumentKind.CUSTOMER, ["MLC-1"])
    for action, kind, name, payload in requests:
        erp.handle(Request(action, kind, (name,), 1.0, "run-1", event_id="e", payload=payload), 1.0)
    truth = Truth(entities={}, protected=True, unique=True, shadows=frozenset(), max_attempts=3)
    return {one.check for one in check_safety(erp.records, truth) if "missing" in one.check}


@pytest.mark.parametrize("status", ["open", "cancelled"])
def test_a_change_of_an_order_that_is_not_there(status):
    change = ("replace", ORDER, "MLO-1", PAYLOAD | {"status": status})
    assert asked(change) == {"order missing"}
    assert asked(("create", ORDER, "MLO-1", PAYLOAD), change) == set()


def test_a_change_of_an_order_whose_new_customer_is_not_there():
    made, changed = ("create", ORDER, "MLO-1", PAYLOAD), ("replace", ORDER, "MLO-1", PAYLOAD | {"customer": "MLC-2"})
    assert asked(made, changed) == {"customer missing"}


def test_a_credit_note_against_an_invoice_that_is_not_there():
    order, note = ("create", ORDER, "MLO-1", PAYLOAD), ("create", NOTE, "MLK-1", PAYLOAD | BILLED)
    invoice = ("create", DocumentKind.INVOICE, "MLI-1", PAYLOAD | BILLED | {"invoice": None})
    assert asked(order, note) == {"invoice missing"}
    assert asked(order, invoice, note) == set()
