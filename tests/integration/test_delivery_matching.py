"""Customers that are looked for in the ERP, and not made."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from meshline_dagster.core.documents import DocumentKind
from meshline_dagster.delivery.options import MissingMaster
from meshline_dagster.store.exceptions import exceptions
from meshline_dagster.testing.memory_erp import MemoryErp, MemoryWriter
from tests.integration.test_delivery_engine import OPTIONS, customer, document_of, order, plan_rows, run, states

MATCH = replace(OPTIONS, missing_customer=MissingMaster.EXCEPTION, patience=0.5)


def test_a_customer_that_may_not_be_created_is_looked_for_and_its_orders_wait(ops):
    erp = MemoryErp()
    plan_rows(ops, [customer(), order(1), order(2)])
    assert run(ops, MemoryWriter(erp), MATCH).outcomes == {"absent": 1}
    assert erp.writes == []
    with ops.read() as connection:
        [item] = exceptions(connection)
    assert (item.code, item.owner, item.priority) == ("missing_in_erp", "revops", "P2")
    assert customer().external_id in item.title
    assert "--kind party" in item.fix
    erp.documents[DocumentKind.CUSTOMER] = [erp.build(document_of(customer()), "by-hand")]
    later = datetime.now(UTC) + timedelta(minutes=6)
    assert run(ops, MemoryWriter(erp), MATCH, clock=lambda: later).outcomes == {"exists": 1, "created": 2}
    assert [document.kind for document in erp.writes] == [DocumentKind.SALES_ORDER] * 2
    with ops.read() as connection:
        assert exceptions(connection) == []


def test_a_customer_that_stays_away_is_asked_for_again_however_often(ops):
    erp = MemoryErp()
    plan_rows(ops, [customer(), order(1)])
    for minutes in range(0, 120, 6):
        later = datetime.now(UTC) + timedelta(minutes=minutes)
        assert run(ops, MemoryWriter(erp), MATCH, clock=lambda at=later: at).outcomes == {"absent": 1}
    assert states(ops) == {"retry_due": 1, "planned": 1}


def test_two_records_under_the_code_of_a_customer_go_to_a_person(ops):
    erp = MemoryErp(unique=False)
    erp.documents[DocumentKind.CUSTOMER] = [erp.build(document_of(customer()), name) for name in ("one", "two")]
    plan_rows(ops, [customer(), order(1)])
    run(ops, MemoryWriter(erp), MATCH)
    with ops.read() as connection:
        assert [item.code for item in exceptions(connection)] == ["exists_with_different_duplicate"]
    assert erp.writes == []
