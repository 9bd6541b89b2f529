"""What falls into a closed period is dated on the first open day, and above an amount waits until finance approves it."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from typer.testing import CliRunner

from meshline_dagster.cli import app
from meshline_dagster.core.documents import DocumentKind
from meshline_dagster.core.followups import BillingPolicy
from meshline_dagster.governance.decisions import approve, named, reject
from meshline_dagster.store.approvals import approvals
from meshline_dagster.store.exceptions import exceptions
from meshline_dagster.testing.memory_erp import Fault, MemoryErp, MemoryWriter
from tests.integration.test_delivery_engine import OPTIONS, customer, order, plan_rows, run, states

INVOICE, CREDIT_NOTE = DocumentKind.INVOICE, DocumentKind.CREDIT_NOTE
TODAY = datetime.now(UTC).date()
CLOSED = TODAY + timedelta(days=3)
FIRST_OPEN = (CLOSED + timedelta(days=1)).isoformat()
REVIEWED = replace(OPTIONS, billing=BillingPolicy(closed_through=CLOSED), redated={"USD": Decimal(100)}, patience=0.0)


def post(ops, erp, *rows, options=REVIEWED, actor="run-1"):
    plan_rows(ops, [customer(), *rows], options)
    return run(ops, MemoryWriter(erp), options, actor=actor)


def decide(ops, how):
    with ops.write() as connection:
        for one in approvals(connection):
            how(connection, named(connection, one.digest), actor="cli:controller", reason="r", now=datetime.now(UTC))


def open_items(ops):
    with ops.read() as connection:
        return exceptions(connection)


def dates(erp, kind=INVOICE):
    return [write.payload["invoice_date"] for write in erp.writes if write.kind is kind]


def test_a_material_document_of_a_closed_period_waits_and_says_how_to_approve_it(ops):
    erp = MemoryErp()
    report = post(ops, erp, order(1, amount="100.01"), order(2, amount="100"))
    assert report.unapproved == 1
    assert dates(erp) == [FIRST_OPEN]
    assert states(ops) == {"posted": 4, "planned": 1}
    [item] = open_items(ops)
    assert (item.code, item.owner, item.priority) == ("redated_waits_for_approval", "finance", "P2")
    assert (item.amount, item.currency, item.entity_key) == (Decimal("100.01"), "USD", order(1).entity_key)
    for told in (TODAY.isoformat(), FIRST_OPEN, "100.01 USD", "up to 100.00"):
        assert told in item.detail
    with ops.read() as connection:
        [asked] = approvals(connection)
    assert (asked.kind.value, asked.role) == ("redated", "finance")
    assert f"`meshline approvals approve {asked.digest[:16]} --reason ...`" in item.fix


def test_what_is_approved_is_posted_with_the_first_open_day_and_its_own(ops):
    erp = MemoryErp()
    post(ops, erp, order(1, amount="500"))
    assert post(ops, erp, order(1, amount="500"), actor="run-2").outcomes == {}
    decide(ops, approve)
    assert run(ops, MemoryWriter(erp), REVIEWED).outcomes == {"created": 1}
    [invoice] = [write.payload for write in erp.writes if write.kind is INVOICE]
    assert (invoice["invoice_date"], invoice["original_date"]) == (FIRST_OPEN, TODAY.isoformat())
    assert open_items(ops) == []


@pytest.mark.parametrize(
    "options",
    [
        replace(REVIEWED, redated={}),
        replace(REVIEWED, redated={"EUR": Decimal(0)}),
        replace(REVIEWED, billing=BillingPolicy()),
        replace(REVIEWED, billing=BillingPolicy(closed_through=date(2017, 1, 31))),
    ],
    ids=["no limit", "another currency", "nothing closed", "an open period"],
)
def test_nothing_else_waits(ops, options):
    erp = MemoryErp()
    post(ops, erp, order(1, amount="500"), options=options)
    assert states(ops) == {"posted": 3}
    assert open_items(ops) == []


def test_what_waits_holds_its_own_order_and_no_other(ops):
    erp = MemoryErp()
    post(ops, erp, order(1, amount="500"))
    post(ops, erp, order(1, amount="500"), order(1, version=2, amount="5"), order(2))
    assert [write.external_id for write in erp.writes if write.kind is DocumentKind.SALES_ORDER] == [
        order(1).external_id,
        order(2).external_id,
    ]
    decide(ops, approve)
    run(ops, MemoryWriter(erp), replace(REVIEWED, redated={}))
    assert len(dates(erp, CREDIT_NOTE)) == 1


def test_credit_notes_are_reviewed_like_invoices(ops):
    erp = MemoryErp()
    open_books = replace(REVIEWED, billing=BillingPolicy())
    post(ops, erp, order(1, amount="500"), options=open_books)
    post(ops, erp, order(1, amount="500"), order(1, version=2, amount="500", status="cancelled"))
    assert dates(erp, CREDIT_NOTE) == []
    decide(ops, approve)
    run(ops, MemoryWriter(erp), REVIEWED)
    assert dates(erp, CREDIT_NOTE) == [FIRST_OPEN]


def test_what_is_rejected_is_planned_anew_by_a_replay_with_the_day_that_is_open_then(ops):
    erp = MemoryErp()
    rows = [order(1, amount="500")]
    post(ops, erp, *rows)
    decide(ops, reject)
    assert run(ops, MemoryWriter(erp), REVIEWED).outcomes == {}
    assert (dates(erp), open_items(ops)) == ([], [])
    post(ops, erp, *rows)  # somebody comes back to it: it waits again
    assert [item.code for item in open_items(ops)] == ["redated_waits_for_approval"]
    decide(ops, reject)
    post(ops, erp, *rows, options=replace(REVIEWED, billing=BillingPolicy(), patience=10.0))
    assert dates(erp) == [TODAY.isoformat()]


def test_an_invoice_whose_order_had_no_answer_waits_all_the_same(ops):
    left = [Fault.LOST_ANSWER]
    erp = MemoryErp(faults=lambda document: left.pop() if left and document.kind is DocumentKind.SALES_ORDER else None)
    post(ops, erp, order(1, amount="500"), options=replace(REVIEWED, patience=10.0))
    assert (dates(erp), [item.code for item in open_items(ops)]) == ([], ["redated_waits_for_approval"])


def test_the_list_of_approvals_shows_what_the_document_is_worth(ops, store_url, monkeypatch):
    monkeypatch.setenv("MESHLINE_STORE_URL", store_url)
    post(ops, MemoryErp(), order(1, amount="500"))
    said = CliRunner().invoke(app, ["approvals", "list", "--json"], catch_exceptions=False).stdout
    row = json.loads(said)
    assert (row["kind"], row["role"], row["writes"]) == ("redated", "finance", 1)
    assert row["money"] == {"USD": {"entities": 1, "before": "0", "after": "500"}}
    assert row["subject"].endswith(f"dated {FIRST_OPEN} instead of {TODAY.isoformat()}")
