"""The words for documents that the ERP holds twice."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from meshline_dagster.core.approvals import digest
from meshline_dagster.core.documents import ACCOUNTING_KINDS, DocumentKind
from meshline_dagster.core.duplicates import Choice, Doubled, Standing
from meshline_dagster.core.ledger import PostingState
from meshline_dagster.core.money import to_text
from meshline_dagster.core.postings import OutboxRow
from meshline_dagster.delivery.approvals import single_amount, writes_of
from meshline_dagster.store.exceptions import Finding
from meshline_dagster.store.postings import Posting

__all__ = ["DUPLICATE", "READ_BACK", "Case", "duplicate_finding", "duplicate_trace_key"]

DUPLICATE = "duplicate"
"""What the exceptions' trace keys start with, and the cause of a reversal."""

READ_BACK = "read_back"
"""The origin of the exception."""

_S = PostingState


class Case(NamedTuple):
    """One external id with too many documents.

    Attributes:
        rows: the reversals, as they are to be planned; none where the documents are to be taken back by hand.
    """

    doubled: Doubled
    choice: Choice
    rows: Sequence[OutboxRow]


def duplicate_trace_key(destination: str, kind: DocumentKind, external_id: str) -> str:
    """One exception for each external id that stands more than once."""
    return f"{DUPLICATE}:{destination}:{kind.value}:{external_id}"


def duplicate_finding(destination: str, case: Case, latest: Mapping[str, Posting]) -> Finding:
    """The exception, with every document by number and id.

    Args:
        latest: the newest revision of every reversal in the ledger, by event id.
    """
    doubled, choice = case.doubled, case.choice
    sums: dict[str, Decimal] = {}
    for one in choice.extra:
        sums[one.currency or ""] = sums.get(one.currency or "", Decimal(0)) + one.amount
    amount, currency = single_amount(sums)
    too_many = "\n".join(f"too many: {_words(one)}" for one in choice.extra)
    return Finding(
        trace_key=duplicate_trace_key(destination, doubled.kind, doubled.external_id),
        origin=READ_BACK,
        code="duplicate",
        title=f"{destination} holds {len(doubled.documents)} {_name(doubled.kind)}s under {doubled.external_id}",
        detail=f"kept: {_words(choice.kept)}\n{too_many}",
        fix=" ".join([*_steps([latest[row.event_id] for row in case.rows]), _by_hand(destination, case)]),
        owner="finance",
        priority="P1",
        entity_key=doubled.entity_key,
        amount=amount,
        currency=currency,
    )


def _steps(rows: Sequence[Posting]) -> list[str]:
    """What the prepared reversals need, each sentence once for all that need the same."""
    unsent = [row for row in rows if row.state in {_S.PLANNED, _S.RETRY_DUE}]
    told = []
    if unsent:
        digests = " ".join(digest(writes_of([row]))[:16] for row in unsent)
        told.append(
            f"The reversal is prepared: `meshline approvals approve {digests} --reason ...` sends it with the next run, which cancels "
            "what is too many by its id in the ERP. Until then the order's newer states wait."
        )
    told += [f"The ERP refused the reversal of {_id(row)}: {row.message}." for row in rows if row.state is _S.REJECTED]
    told += [
        f"The reversal of {_id(row)} got no answer: `meshline postings retry {row.key} --reason TEXT`."
        for row in rows
        if row.state is _S.DEAD
    ]
    if any(row.state is _S.SUPERSEDED for row in rows):
        told.append("Finance has refused the reversal.")
    return told


def _id(row: Posting) -> str:
    return row.entity_key.rsplit("/", maxsplit=1)[-1]


def _by_hand(destination: str, case: Case) -> str:
    kind, ids = case.doubled.kind, ", ".join(one.erp_id for one in case.choice.extra)
    if kind in ACCOUNTING_KINDS:
        return (
            f"By hand: in {destination}, take back what is too many (id {ids}) as your books demand it, by a {_counterpart(kind)} where it "
            "is posted, and take our external id off both. The next read-back resolves this."
        )
    return f"By hand: cancel what is too many (id {ids}) in {destination}, and leave the rest alone. The next read-back resolves this."


def _counterpart(kind: DocumentKind) -> str:
    return _name(DocumentKind.CREDIT_NOTE if kind is DocumentKind.INVOICE else DocumentKind.INVOICE)


def _name(kind: DocumentKind) -> str:
    return kind.value.replace("_", " ")


def _words(one: Standing) -> str:
    return f"{one.number} (id {one.erp_id}), {to_text(one.amount)} {one.currency or ''}".rstrip()
