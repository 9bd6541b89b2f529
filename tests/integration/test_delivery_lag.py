"""An ERP whose look-ups lag behind what it has done: what the ledger knows to be there is waited for, and not refused."""

from dataclasses import replace

import pytest

from meshline_dagster.core.documents import DocumentKind, Outcome
from meshline_dagster.core.followups import BillingPolicy
from meshline_dagster.store.exceptions import exceptions
from meshline_dagster.testing.memory_erp import MemoryErp, MemoryWriter
from tests.integration.erp.test_configured_answers import CANCEL, FIRST, SECOND, Erp, changes, told
from tests.integration.erp.test_configured_answers import post as post_configured
from tests.integration.test_delivery_engine import OPTIONS, customer, order, plan_rows, run, states
from tests.integration.test_delivery_partials import half_once

ORDER = DocumentKind.SALES_ORDER
BILLED = replace(OPTIONS, billing=BillingPolicy())
LAG = 0.25


def post(ops, erp, rows, options=OPTIONS, *, settle_after=LAG):
    plan_rows(ops, [customer(), *rows], options)
    return run(ops, MemoryWriter(erp, settle_after=settle_after), options, jitter=lambda: 0.1)


def codes(ops):
    with ops.read() as connection:
        return [item.code for item in exceptions(connection)]


def test_orders_invoices_and_amendments_arrive_although_look_ups_lag(ops):
    erp = MemoryErp(lag=LAG)
    report = post(
        ops, erp, [order(1), order(1, version=2, amount="25"), order(1, version=3, status="cancelled")], BILLED
    )
    assert codes(ops) == []
    assert set(states(ops)) == {"posted"}
    assert [one.status for one in erp.documents[ORDER]] == ["cancelled"]
    assert report.outcomes["retry"] > 0
    assert not report.outage


def test_what_somebody_has_removed_is_dead_once_the_attempts_are_used_up(ops):
    erp = MemoryErp()
    options = replace(OPTIONS, max_attempts=3)
    post(ops, erp, [order(1)], options)
    erp.documents[ORDER].clear()
    report = post(ops, erp, [order(1), order(1, version=2), order(1, version=3)], options)
    assert report.outcomes == {"retry": 2, "attempts_used_up": 1}
    assert codes(ops) == ["attempts_used_up"]
    assert states(ops) == {"posted": 2, "dead": 1, "planned": 1}
    with ops.read() as connection:
        assert "there is no such document; it was there" in exceptions(connection)[0].detail


def test_without_a_lag_it_is_refused_at_once(ops):
    erp = MemoryErp()
    post(ops, erp, [order(1)], settle_after=0.0)
    erp.documents[ORDER].clear()
    assert post(ops, erp, [order(1), order(1, version=2)], settle_after=0.0).outcomes == {"rejected": 1}


class Watched(MemoryWriter):
    """Remembers which ids of the ERP it was told."""

    def __init__(self, erp, *, settle_after):
        super().__init__(erp, settle_after=settle_after)
        self.told = []

    async def post(self, documents):
        self.told += [one.erp_id for one in documents if one.kind is ORDER]
        return await super().post(documents)


@pytest.mark.parametrize("settle_after", [LAG, 0.0])
def test_a_writer_that_is_to_complete_something_is_told_the_id_that_was_seen(ops, settle_after):
    erp = MemoryErp(faults=half_once(ORDER))
    plan_rows(ops, [customer(), order(1)])
    writer = Watched(erp, settle_after=settle_after)
    run(ops, writer)
    assert set(states(ops)) == {"posted"}
    assert writer.told == [None, erp.documents[ORDER][0].erp_id if settle_after else None]


@pytest.mark.parametrize("document", [SECOND, CANCEL, replace(FIRST, erp_id="7")])
def test_the_configured_writer_says_what_its_look_up_does_not_show_and_makes_nothing(document):
    erp = Erp([])
    with told(erp) as writer:
        answer = post_configured(writer, document)
    assert (answer.outcome, answer.absent) == (Outcome.REJECTED, document.external_id)
    assert {name for name, *_ in erp.asked} == {"list"}


def test_the_configured_writer_says_which_customer_its_look_up_does_not_show():
    create = {"body": {"customer": {"from": "customer", "as": "erp_id"}}}
    with told(Erp([]), changes(create=create)) as writer:
        answer = post_configured(writer, FIRST)
    assert (answer.outcome, answer.field) == (Outcome.REJECTED, "customer")
    assert answer.absent == FIRST.payload["customer"]
