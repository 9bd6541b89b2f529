"""What a ledger row asks of the ERP, given what was posted before it. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from meshline_dagster.core.documents import (
    BOOKED_KINDS,
    MASTER_KINDS,
    REVERSE,
    Answer,
    Document,
    DocumentKind,
    ErpDocument,
    Outcome,
)
from meshline_dagster.core.identity import sha256_hex
from meshline_dagster.core.ledger import PostingState
from meshline_dagster.core.ownership import Ownership
from meshline_dagster.core.partials import PartialPolicy
from meshline_dagster.core.settle import Settled
from meshline_dagster.delivery.reversing import reversal_document
from meshline_dagster.store.postings import Posting

__all__ = ["document_of", "forgery", "matched", "needless", "previous_of", "refusal"]

_S = PostingState
_FORGED = Settled(  # somebody changed it behind our back
    *(
        _S.DEAD,
        "fingerprint_conflict",
        "the payload in the ledger does not have the fingerprint that it was planned with",
    ),
    problem="fingerprint_conflict",
)
_UNCLEAR = Settled(
    *(
        _S.DEAD,
        "partial",
        "it is there in part, and the ledger does not say what was to become of that when it was sent",
    ),
    problem="partial_in_erp",
)


def forgery(row: Posting) -> Settled | None:
    """What becomes of a row whose payload somebody changed in the ledger: nothing is sent of it, nor compared with it; None: nobody did."""
    return None if sha256_hex(row.payload.encode()) == row.fingerprint else _FORGED


def refusal(row: Posting, policy: PartialPolicy) -> Settled | None:
    """Why a person has to look before anything is sent; None: nothing is wrong."""
    forged = forgery(row)
    if forged is not None:
        return forged
    return _UNCLEAR if row.state is _S.PARTIAL and policy is PartialPolicy.ESCALATE else None


def matched(document: Document, there: Sequence[ErpDocument]) -> Answer:
    """What a look-up says of a master that we may not create."""
    if len(there) > 1:
        text = f"{len(there)} records carry the code {document.external_id}"
        return Answer(Outcome.EXISTS_DIFFERENT, message=text, field="duplicate")
    if there:
        return Answer(Outcome.EXISTS, erp_id=there[0].erp_id)
    text = f"{document.payload.get('name') or document.kind.value} is not there under the code {document.external_id}"
    return Answer(Outcome.ABSENT, message=text)


def previous_of(row: Posting, before: Mapping[str, Posting]) -> Posting | None:
    """The state that this one follows; what is booked once follows none of its kind.

    Args:
        before: the last posted row of each entity that has one.
    """
    return None if row.document_kind in BOOKED_KINDS else before.get(row.entity_key)


def needless(row: Posting, payload: Mapping[str, Any], previous: Posting | None) -> str | None:
    """Why a row needs no request, in a word for the ledger: a cancellation finds nothing to cancel, or a master is there already. None
    when it needs one.
    """
    if row.state is _S.PARTIAL or row.operation == REVERSE:
        return None
    if row.document_kind in MASTER_KINDS:
        return None if previous is None else "created_once"
    return "nothing_to_cancel" if previous is None and payload.get("status") == "cancelled" else None


def document_of(
    row: Posting,
    payload: dict[str, Any],
    previous: Posting | None,
    *,
    policy: PartialPolicy,
    ownership: Ownership,
    lags: bool,
) -> Document:
    """What to ask for, given what was posted last.

    What is there in part is brought about once more, or cancelled, under a key of its own: it is another request. What is not ours to say
    is left out.

    Args:
        lags: the ERP may not show yet what it holds.
    """
    if row.operation == REVERSE:
        return reversal_document(row)
    is_reversed = policy is PartialPolicy.REVERSE and row.document_kind is DocumentKind.SALES_ORDER
    if row.state is _S.PARTIAL and is_reversed:
        payload["status"] = "cancelled"
        key = sha256_hex(f"{row.key}/reverse".encode())
        return Document(row.document_kind, row.external_id, key, row.event_id, "cancel", payload)
    cancelled = payload.get("status") == "cancelled"
    operation = "cancel" if cancelled else "create" if previous is None else "amend"
    sent = ownership.sent(row.document_kind, operation, payload)
    known = row.erp_id if lags and row.state is _S.PARTIAL else None
    return Document(row.document_kind, row.external_id, row.key, row.event_id, operation, sent, known)
