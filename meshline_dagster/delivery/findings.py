"""The words for what delivery cannot settle by itself."""

from decimal import Decimal

from meshline_dagster.core.documents import ACCOUNTING_KINDS, REVERSE, DocumentKind
from meshline_dagster.core.followups import BillingRow
from meshline_dagster.core.foreign import CHANGED
from meshline_dagster.core.money import to_text
from meshline_dagster.core.settle import Settled
from meshline_dagster.core.text import kept_text
from meshline_dagster.delivery.findings_books import books_fix
from meshline_dagster.store.exceptions import Finding
from meshline_dagster.store.postings import Posting

__all__ = [
    "billing_trace_key",
    "changed_finding",
    "conflict_trace_key",
    "entity_trace_key",
    "finding_for",
    "negative_finding",
    "trace_key",
]

_RETRY = "`meshline postings retry {key} --reason TEXT`"
_CLOSE = "`meshline postings close {key} --reason TEXT`"
_FIX = {
    "missing_in_erp": (
        "Create the customer in the ERP under the code that the title names, or say which party it is: "
        "`meshline catalog map CUSTOMER_ID PARTY_CODE --kind party`. Its orders are posted by the next run."
    ),
    "exists_with_different_duplicate": f"Keep one record in the ERP, then {_RETRY}: it is looked up again, and found.",
    "rejected": "Correct what the ERP names, in the CRM or by a mapping; the corrected event is posted by the next run.",
    "attempts_used_up": (
        f"The ERP kept refusing for now. Find out why, then {_RETRY}: it is looked up, and sent if it is not there. "
        f"If you dealt with it in the ERP by hand: {_CLOSE}."
    ),
    "fingerprint_conflict": (
        "Find out who changed the ledger, and have its row restored from a backup, then "
        f"{_RETRY}. If you deal with it in the ERP by hand: {_CLOSE}."
    ),
    "duplicate_in_erp": (
        f"Keep one document in the ERP and reverse the others, then {_RETRY}: it is looked up again, and found. "
        f"If the one that you kept differs from the event on purpose: {_CLOSE}."
    ),
    "partial_in_erp": (
        f"Compare the ERP's document with what was meant; complete or cancel it there, then {_RETRY}: it is looked up again. "
        f"If it differs from the event on purpose: {_CLOSE}."
    ),
    CHANGED: (
        f"Compare the ERP's document with the event. If ours is right: {_RETRY}, which overwrites the ERP's state named here, and no other; also "
        f"when you have set the document back. If theirs is right: {_CLOSE}, and have the CRM say the same: the order's next state amends the "
        "document without asking."
    ),
    "partial_reversed": (
        "The ERP's document is cancelled. Find out why it stopped half-way, then enter the order by hand or under another number: its "
        "external id is taken."
    ),
}
_REFUSED_DOCUMENT = (
    "Correct what the ERP names (an account, a closed period, a right), then replay the order's day: the document is planned anew with "
    f"that day's accounting date. If you made it in the ERP by hand: {_CLOSE[:-1]} --erp-id ID`. Until then its order is held: a new "
    "invoice never goes out before the credit note of the one that it replaces."
)
_REVERSAL = (
    "Find out why the ERP does not cancel this document. Cancel it there by hand, and the next read-back resolves this; or "
    "`meshline postings retry {key} --reason TEXT` while the posting is dead."
)
_MISSING_ITEM = (
    "Create the item in the ERP under the code that the title names, or say which product the CRM means by it: "
    "`meshline catalog map CODE PRODUCT`. Its orders are posted by the next run."
)
_MISSING_ADDRESS = "Enter the address at its customer in the ERP, under the code that the title names. The orders that name it are posted by the next run."
_MISSING = {DocumentKind.ITEM: _MISSING_ITEM, DocumentKind.ADDRESS: _MISSING_ADDRESS}
_OWNERS = {CHANGED: "finance", "duplicate_in_erp": "finance", "missing_in_erp": "revops"}
_CAN_WAIT = frozenset({CHANGED, "rejected", "missing_in_erp"})
_DIFFERENT = (
    "Compare the ERP document with the event: somebody changed it in the ERP, or an older request arrived late. If you set the "
    f"document right: {_RETRY}, which finds it so. If it is right as it is: {_CLOSE}; the order's next state amends it."
)


def trace_key(row: Posting) -> str:
    """One open exception for each entity and destination: what is posted later settles it."""
    return entity_trace_key(row.destination, row.entity_key)


def entity_trace_key(destination: str, entity_key: str) -> str:
    """The same for an entity by name."""
    return f"delivery:{destination}:{entity_key}"


def conflict_trace_key(destination: str, event_id: str) -> str:
    """What planning raises about an event under way that is derived with another content."""
    return f"fingerprint:{destination}:{event_id}"


def billing_trace_key(destination: str, entity_key: str) -> str:
    """What billing raises about an order that it leaves alone."""
    return f"billing:{destination}:{entity_key}"


def changed_finding(destination: str, entity_key: str, event_id: str) -> Finding:
    """An order of which nothing more is invoiced or credited, because the ledger no longer says what was posted."""
    return Finding(
        trace_key=billing_trace_key(destination, entity_key),
        origin="delivery",
        code="fingerprint_conflict",
        title=f"{entity_key}: the ledger does not say what was posted",
        detail="The payload in the ledger does not have the fingerprint that it was planned with: nothing is invoiced or credited by it.",
        fix=f"Find out who changed the ledger (`meshline trace {event_id}` shows the row), and have the row restored from a backup. The "
        "order is billed by the first delivery of the next day.",
        owner="integrations",
        priority="P1",
        entity_key=entity_key,
        event_id=event_id,
    )


def negative_finding(destination: str, entity_key: str, order: BillingRow) -> Finding:
    """An order of which nothing is invoiced or credited, because that would take a document that is worth less than nothing."""
    amount, currency = Decimal(order.payload["amount"]), order.payload["currency"]
    return Finding(
        trace_key=billing_trace_key(destination, entity_key),
        origin="delivery",
        code="negative_bill",
        title=f"{entity_key}: an invoice or credit note of it would be worth less than nothing",
        detail=f"The order {order.external_id} is worth {to_text(amount)} {currency}. What it takes to bill it as it stands would be a document "
        "with a negative total: nothing is made.",
        fix="If the order is wrong, correct it in the CRM: it is billed as soon as a later state is worth something. If it is right, make the "
        "documents in the ERP by hand; each later state asks again, and each billing period.",
        owner="finance",
        entity_key=entity_key,
        event_id=order.event_id,
        amount=amount if currency else None,
        currency=currency,
    )


def finding_for(row: Posting, settled: Settled) -> Finding:
    """The exception that a problem becomes."""
    code = settled.problem or settled.outcome
    is_refused_document = code == "rejected" and row.document_kind in ACCOUNTING_KINDS
    is_refused_payment = code == "rejected" and row.document_kind is DocumentKind.PAYMENT
    is_reversal = row.operation == REVERSE
    in_books = books_fix(code, row.document_kind)
    is_for_finance = is_refused_document or is_refused_payment or is_reversal
    is_for_finance |= in_books is not None and code != "attempts_used_up"
    fix = in_books or _FIX.get(code, _DIFFERENT)
    if is_reversal:
        fix = _REVERSAL
    elif is_refused_document:
        fix = _REFUSED_DOCUMENT
    elif code == "missing_in_erp":
        fix = _MISSING.get(row.document_kind, fix)
    return Finding(
        trace_key=trace_key(row),
        origin="delivery",
        code=code,
        title=f"{row.document_kind.value} {row.external_id} of {row.entity_key}: {code.replace('_', ' ')}",
        detail=kept_text(settled.message or code),
        fix=fix.format(key=row.key),
        owner="finance" if is_for_finance else _OWNERS.get(code, "integrations"),
        priority="P2" if code in _CAN_WAIT else "P1",
        entity_key=row.entity_key,
        event_id=row.event_id,
        amount=row.amount if row.currency else None,
        currency=row.currency,
    )
