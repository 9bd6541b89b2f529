"""Orders wait for every master that they name; a master that is there is used, and one that is not is made or asked for."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from meshline_dagster.core.documents import DocumentKind
from meshline_dagster.core.errors import GateError
from meshline_dagster.core.identity import external_id
from meshline_dagster.core.postings import OutboxRow
from meshline_dagster.delivery.options import MissingMaster, Mode
from meshline_dagster.store.exceptions import exceptions
from meshline_dagster.testing.memory_erp import Fault, MemoryErp, MemoryWriter
from tests.integration.test_delivery_engine import (
    CUSTOMER,
    OPTIONS,
    START,
    customer,
    document_of,
    order,
    plan_rows,
    run,
    states,
)

ITEM, ORDER = DocumentKind.ITEM, DocumentKind.SALES_ORDER
ITEMS = replace(OPTIONS, missing_item=MissingMaster.CREATE, patience=0.5)
MATCH = replace(ITEMS, missing_item=MissingMaster.EXCEPTION)


def item(sku):
    return OutboxRow(
        event_id=f"{sku.lower():0>64}",
        entity_key=f"catalog/item/{sku}",
        document_kind=ITEM,
        external_id=sku,
        event_time=START,
        operation="create",
        depends_on=(),
        amount=Decimal(0),
        currency=None,
        document_date=None,
        payload={"sku": sku, "name": f"Item {sku}", "uom": "unit", "list_price": None, "currency": None},
    )


def order_of(number, *skus):
    return replace(
        order(number, sku=skus[0]),
        depends_on=(CUSTOMER, *(f"catalog/item/{sku}" for sku in skus)),
        customer_key=CUSTOMER,
    )


def address(customer_key=CUSTOMER):
    key = "crm/billing_address/1"
    code = external_id("address", key)
    payload = {
        "code": code,
        "customer": external_id("customer", customer_key),
        "name": "Acme",
        "use": "bill_to",
        "city": "Rome",
    }
    return replace(
        item("A"),
        event_id="a" * 64,
        entity_key=key,
        document_kind=DocumentKind.ADDRESS,
        external_id=code,
        depends_on=(customer_key,),
        customer_key=customer_key,
        payload=payload,
    )


def by_hand(erp, sku, *names):
    erp.documents[ITEM] = [erp.build(replace(document_of(item(sku)), event_id=""), name) for name in names]


def codes(store):
    with store.read() as connection:
        return [(one.code, one.entity_key, one.owner) for one in exceptions(connection)]


def test_an_order_waits_for_all_of_its_masters(ops):
    erp = MemoryErp(faults=lambda document: Fault.BUSY if document.external_id == "B" else None)
    rows = [customer(), item("A"), item("B"), order_of(1, "A", "B"), order_of(2, "A"), order_of(3, "B")]
    plan_rows(ops, rows)
    run(ops, MemoryWriter(erp), replace(ITEMS, patience=0.0))
    assert [one.external_id for one in erp.writes if one.kind is ORDER] == [order(2).external_id]
    erp.faults = lambda _: None
    assert run(ops, MemoryWriter(erp), ITEMS, clock=lambda: datetime.now(UTC) + timedelta(hours=1)).outcomes == {
        "created": 3
    }
    assert states(ops) == {"posted": 6}


def test_an_item_that_is_there_is_used_and_one_that_is_not_is_made_once(ops):
    erp = MemoryErp(unique=False)
    by_hand(erp, "A", "by-hand")
    plan_rows(ops, [customer(), item("A"), item("B"), order_of(1, "A", "B")])
    assert run(ops, MemoryWriter(erp), ITEMS).outcomes == {"created": 3, "exists": 1}
    assert [one.external_id for one in erp.documents[ITEM]] == ["A", "B"]
    assert run(ops, MemoryWriter(erp), ITEMS).outcomes == {}


def test_several_items_under_one_code_go_to_a_person_and_their_orders_wait(ops):
    erp = MemoryErp(unique=False)
    by_hand(erp, "A", "one", "two")
    plan_rows(ops, [customer(), item("A"), order_of(1, "A"), order_of(2, "A")])
    assert run(ops, MemoryWriter(erp), ITEMS).outcomes == {"created": 1, "exists_with_different_duplicate": 1}
    assert codes(ops) == [("exists_with_different_duplicate", "catalog/item/A", "integrations")]
    with ops.read() as connection:
        assert "Behind it 2 events wait, worth 20 USD." in exceptions(connection)[0].detail
    by_hand(erp, "A", "one")
    assert erp.of(ORDER, order(1).external_id) == []


def test_an_item_that_may_not_be_made_is_asked_for(ops):
    erp = MemoryErp()
    plan_rows(ops, [customer(), item("A"), order_of(1, "A")])
    assert run(ops, MemoryWriter(erp), MATCH).outcomes == {"created": 1, "absent": 1}
    assert codes(ops) == [("missing_in_erp", "catalog/item/A", "revops")]
    with ops.read() as connection:
        [found] = exceptions(connection)
    assert "item A" in found.title
    assert "meshline catalog map CODE PRODUCT" in found.fix
    by_hand(erp, "A", "by-hand")
    later = datetime.now(UTC) + timedelta(minutes=6)
    assert run(ops, MemoryWriter(erp), MATCH, clock=lambda: later).outcomes == {"exists": 1, "created": 1}
    assert codes(ops) == []


def test_an_item_whose_answer_was_lost_is_made_once(ops):
    faults = iter([Fault.LOST_ANSWER])
    erp = MemoryErp(unique=False, faults=lambda document: next(faults, None) if document.kind is ITEM else None)
    plan_rows(ops, [customer(), item("A"), order_of(1, "A")])
    run(ops, MemoryWriter(erp), replace(ITEMS, patience=5.0))
    assert states(ops) == {"posted": 3}
    assert len(erp.documents[ITEM]) == 1


def test_a_customer_under_a_partys_code_is_used_where_it_is_there(ops):
    party = replace(customer(), external_id="ACME-01", payload={**customer().payload, "code": "ACME-01"})
    erp = MemoryErp(unique=False)
    erp.documents[DocumentKind.CUSTOMER] = [erp.build(document_of(party), "by-hand")]
    plan_rows(ops, [party])
    assert run(ops, MemoryWriter(erp)).outcomes == {"exists": 1}
    assert erp.writes == []


def test_an_address_waits_for_its_customer_and_its_order_for_both(ops):
    busy = {external_id("customer", CUSTOMER)}
    erp = MemoryErp(faults=lambda document: Fault.BUSY if document.external_id in busy else None)
    named = order_of(1, "A")
    named = replace(
        named, depends_on=(CUSTOMER, address().entity_key), payload={**named.payload, "bill_to": address().external_id}
    )
    plan_rows(ops, [named, address(), customer()])
    kept = replace(OPTIONS, missing_address=MissingMaster.CREATE, patience=0.0)
    run(ops, MemoryWriter(erp), kept)
    assert erp.writes == []
    busy.clear()
    later = datetime.now(UTC) + timedelta(hours=1)
    run(ops, MemoryWriter(erp), replace(kept, patience=5.0), clock=lambda: later)
    assert [one.kind for one in erp.writes] == [DocumentKind.CUSTOMER, DocumentKind.ADDRESS, ORDER]


def test_an_address_that_may_not_be_made_is_asked_for(ops):
    plan_rows(ops, [customer(), address()])
    run(ops, MemoryWriter(MemoryErp()), replace(OPTIONS, missing_address=MissingMaster.EXCEPTION, patience=0.5))
    with ops.read() as connection:
        [found] = exceptions(connection)
    assert (found.code, found.entity_key) == ("missing_in_erp", address().entity_key)
    assert "Enter the address at its customer" in found.fix


class CustomersOnly(MemoryWriter):
    """It declares no items."""

    @property
    def capabilities(self):
        declared = super().capabilities
        return replace(declared, operations=frozenset(pair for pair in declared.operations if pair[0] is not ITEM))


@pytest.mark.parametrize("options", [ITEMS, MATCH])
@pytest.mark.parametrize("mode", [Mode.LIVE, Mode.SHADOW])
def test_an_erp_that_does_not_declare_items_is_refused_by_name(ops, options, mode):
    with pytest.raises(
        GateError, match=r"memory does not declare that it can (create|find) item documents.*missing_item"
    ):
        run(ops, CustomersOnly(MemoryErp()), replace(options, mode=mode))
    assert run(ops, CustomersOnly(MemoryErp())).outcomes == {}


def test_going_live_releases_the_items_that_an_order_after_the_cut_over_names(ops):
    shadow = replace(ITEMS, mode=Mode.SHADOW)
    old = replace(order_of(2, "B"), document_date=date(2016, 1, 1))
    plan_rows(ops, [customer(), item("A"), item("B"), order_of(1, "A"), old], shadow)
    live = replace(ITEMS, effective_from=date(2017, 1, 1))
    assert plan_rows(ops, [], live).released == 3
    erp = MemoryErp()
    run(ops, MemoryWriter(erp), live)
    assert [one.external_id for one in erp.documents[ITEM]] == ["A"]
