"""Documents that an ERP made in part: completed, reversed or escalated, as the workflow's policy says."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import func

from meshline_dagster.core.documents import DocumentKind
from meshline_dagster.core.followups import BillingPolicy
from meshline_dagster.core.partials import PartialPolicy
from meshline_dagster.delivery.session import utc_now
from meshline_dagster.store.exceptions import exceptions
from meshline_dagster.store.tables import posting
from meshline_dagster.testing.memory_erp import Fault, MemoryErp, MemoryWriter
from tests.integration.test_delivery_engine import OPTIONS, customer, order, plan_rows, run, states

ORDER, INVOICE = DocumentKind.SALES_ORDER, DocumentKind.INVOICE
COMPLETE, REVERSE, ESCALATE = (replace(OPTIONS, partial=one) for one in PartialPolicy)


def half_once(kind):
    """The first request for a document of this kind leaves its header behind."""
    done = []

    def fault(document):
        if document.kind is not kind or done:
            return None
        done.append(document)
        return Fault.HALF_DONE

    return fault


def post(ops, erp, rows, options):
    plan_rows(ops, [customer(), *rows], options)
    return run(ops, MemoryWriter(erp, settle_after=0.3), options)


def open_items(ops):
    with ops.read() as connection:
        return exceptions(connection)


def test_an_order_without_its_lines_is_completed_by_default(ops):
    erp = MemoryErp(faults=half_once(ORDER))
    post(ops, erp, [order(1), order(2)], OPTIONS)
    assert states(ops) == {"posted": 3}
    assert [(one.status, len(one.lines)) for one in erp.documents[ORDER]] == [("open", 1)] * 2
    assert open_items(ops) == []


def test_an_order_without_its_lines_is_cancelled_and_a_person_is_asked_where_the_policy_says_so(ops):
    erp = MemoryErp(faults=half_once(ORDER))
    post(ops, erp, [order(1)], REVERSE)
    assert states(ops) == {"posted": 1, "rejected": 1}
    assert [one.status for one in erp.documents[ORDER]] == ["cancelled"]
    [item] = open_items(ops)
    assert item.code == "partial_reversed"
    assert run(ops, MemoryWriter(erp), REVERSE, actor="run-2").outcomes == {}


def test_a_reversal_whose_answer_is_lost_is_known_by_what_the_erp_shows(ops):
    faults = [Fault.HALF_DONE, Fault.LOST_ANSWER]
    erp = MemoryErp(faults=lambda document: faults.pop(0) if document.kind is ORDER and faults else None)
    post(ops, erp, [order(1)], REVERSE)
    assert [one.status for one in erp.documents[ORDER]] == ["cancelled"]
    assert [item.code for item in open_items(ops)] == ["partial_reversed"]


def test_an_order_without_its_lines_waits_for_a_person_where_the_policy_says_so(ops):
    erp = MemoryErp(faults=half_once(ORDER))
    post(ops, erp, [order(1), order(1, version=2, amount="25")], ESCALATE)
    assert states(ops) == {"posted": 1, "dead": 1, "planned": 1}
    [item] = open_items(ops)
    assert (item.code, item.priority) == ("partial_in_erp", "P1")


@pytest.mark.parametrize("options", [COMPLETE, REVERSE, ESCALATE], ids=["complete", "reverse", "escalate"])
def test_an_order_without_its_invoice_is_invoiced_once(ops, options):
    """The run dies between the two, or the invoice is lost: the ledger knows what is missing, whatever the policy."""
    seen = []

    def lost(document):
        first = document.kind is INVOICE and not seen
        seen.extend([document] if first else [])
        return Fault.LOST_REQUEST if first else None

    erp = MemoryErp(faults=lost)
    post(ops, erp, [order(1)], replace(options, billing=BillingPolicy()))
    assert states(ops) == {"posted": 3}
    assert [write.kind for write in erp.writes].count(INVOICE) == 1


@pytest.mark.parametrize(
    ("options", "state", "status"),
    [(COMPLETE, "posted", "open"), (REVERSE, "dead", "partial"), (ESCALATE, "dead", "partial")],
    ids=["complete", "reverse", "escalate"],
)
def test_a_half_done_invoice_is_completed_or_left_to_a_person_but_never_cancelled(ops, options, state, status):
    erp = MemoryErp(faults=half_once(INVOICE))
    post(ops, erp, [order(1)], replace(options, billing=BillingPolicy()))
    assert [one.status for one in erp.documents[INVOICE]] == [status]
    assert states(ops).get(state) == {"posted": 3, "dead": 1}[state]


def left_half_done(ops, erp, options):
    """An order of which only the header is there, and that the ERP is too busy to do anything about."""
    faults = [Fault.HALF_DONE]
    erp.faults = lambda document: None if document.kind is not ORDER else faults.pop(0) if faults else Fault.BUSY
    post(ops, erp, [order(1)], replace(options, patience=1.0))
    assert states(ops) == {"posted": 1, "partial": 1}
    erp.faults = lambda _: None


def later():
    return utc_now() + timedelta(minutes=30)


@pytest.mark.parametrize(
    ("sent_under", "now_under", "status"),
    [(COMPLETE, REVERSE, "open"), (REVERSE, COMPLETE, "cancelled"), (COMPLETE, ESCALATE, "open")],
    ids=["complete", "reverse", "complete, not escalate"],
)
def test_a_posting_keeps_the_policy_under_which_it_was_sent(ops, sent_under, now_under, status):
    erp = MemoryErp()
    left_half_done(ops, erp, sent_under)
    run(ops, MemoryWriter(erp), now_under, clock=later)
    assert [one.status for one in erp.documents[ORDER]] == [status]


def test_what_is_looked_up_under_another_policy_is_judged_by_its_own(ops):
    erp = MemoryErp(faults=half_once(ORDER))
    post(ops, erp, [order(1)], replace(COMPLETE, patience=0.0))
    assert states(ops) == {"posted": 1, "unknown": 1}
    run(ops, MemoryWriter(erp), REVERSE, clock=later)
    assert [one.status for one in erp.documents[ORDER]] == ["open"]


@pytest.mark.parametrize("waits", ["partial", "unknown"])
def test_a_person_is_asked_before_anything_is_cancelled_that_does_not_say_under_which_policy_it_was_sent(ops, waits):
    """As an earlier version left it in the ledger."""
    erp = MemoryErp()
    if waits == "partial":
        left_half_done(ops, erp, COMPLETE)
    else:
        erp.faults = half_once(ORDER)
        post(ops, erp, [order(1)], replace(COMPLETE, patience=0.0))
    with ops.write() as connection:
        connection.execute(posting.update().values(partial_policy=None))
    run(ops, MemoryWriter(erp), REVERSE, clock=later)
    assert states(ops) == {"posted": 1, "dead": 1}
    assert [one.status for one in erp.documents[ORDER]] == ["partial"]
    assert [item.code for item in open_items(ops)] == ["partial_in_erp"]


@pytest.mark.parametrize("fault", [Fault.HALF_DONE, Fault.LOST_ANSWER])
def test_a_payload_that_was_changed_after_it_was_sent_is_compared_with_nothing(ops, without_guards, fault):
    """The ERP's document would be the one that seems wrong: a person would be asked to set it right there."""
    erp = MemoryErp(faults=lambda document: fault if document.kind is ORDER else None)
    post(ops, erp, [order(1)], replace(OPTIONS, patience=0.0))
    assert states(ops) == {"posted": 1, "unknown": 1}
    with ops.write() as connection:
        without_guards(connection, "posting")
        raised = func.replace(posting.c.payload, '"amount":"', '"amount":"9')
        connection.execute(posting.update().where(posting.c.document_kind == ORDER.value).values(payload=raised))
    assert run(ops, MemoryWriter(erp), clock=later).outcomes == {"fingerprint_conflict": 1}
    assert [item.code for item in open_items(ops)] == ["fingerprint_conflict"]
