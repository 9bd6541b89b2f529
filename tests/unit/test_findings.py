"""The words for what delivery cannot settle: each leads out by a command."""

from decimal import Decimal

import pytest

from meshline_dagster.core.documents import DocumentKind
from meshline_dagster.core.ledger import PostingState
from meshline_dagster.core.settle import Settled
from meshline_dagster.delivery.findings import finding_for
from meshline_dagster.store.postings import Posting

NAMES = ("entity_key", "external_id", "destination", "event_id")


@pytest.mark.parametrize(
    "problem",
    [
        *("attempts_used_up", "duplicate_in_erp", "fingerprint_conflict"),
        *("exists_with_different_amount", "exists_with_different_duplicate"),
    ],
)
def test_what_is_dead_names_the_command_that_leads_out_with_the_key(problem):
    given = {name: name for name in NAMES} | {"key": "k" * 64, "amount": Decimal(1), "currency": "USD"}
    row = Posting(**(dict.fromkeys(Posting._fields) | given | {"document_kind": DocumentKind.SALES_ORDER}))
    finding = finding_for(row, Settled(PostingState.DEAD, problem, problem=problem))
    assert f"`meshline postings retry {'k' * 64} --reason TEXT`" in finding.fix
    assert "{" not in finding.fix


def test_what_an_erp_echoes_of_a_secret_is_not_in_the_exception():
    given = {name: name for name in NAMES} | {"key": "k" * 64, "amount": Decimal(1), "currency": "USD"}
    row = Posting(**(dict.fromkeys(Posting._fields) | given | {"document_kind": DocumentKind.SALES_ORDER}))
    told = Settled(PostingState.REJECTED, "rejected", "no: client_secret=hush&access_token: hush2", problem="rejected")
    assert finding_for(row, told).detail == "no: client_secret=***&access_token: ***"


BOOKS = [(DocumentKind.INVOICE, "invoice"), (DocumentKind.CREDIT_NOTE, "credit note")]


@pytest.mark.parametrize(("kind", "word"), BOOKS)
@pytest.mark.parametrize(
    "problem",
    [
        *("attempts_used_up", "duplicate_in_erp", "partial_in_erp", "partial_reversed"),
        *("exists_with_different_amount", "exists_with_different_duplicate", "exists_with_different_status"),
    ],
)
def test_what_is_in_the_books_is_led_out_by_finance_and_never_by_a_later_order(kind, word, problem):
    given = {name: name for name in NAMES} | {"key": "k" * 64, "amount": Decimal(1), "currency": "USD"}
    row = Posting(**(dict.fromkeys(Posting._fields) | given | {"document_kind": kind}))
    finding = finding_for(row, Settled(PostingState.DEAD, problem, problem=problem))
    assert word in finding.fix
    assert "order's next state" not in finding.fix
    assert "enter the order" not in finding.fix
    assert "customer" not in finding.fix
    assert "{" not in finding.fix
    assert finding.owner == ("integrations" if problem == "attempts_used_up" else "finance")
    assert problem == "partial_reversed" or "k" * 64 in finding.fix
