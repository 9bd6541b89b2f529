"""What somebody changed in the ERP behind our back: the last posted state of an order against what the ERP shows now. Pure.

Compared is what every adapter can show of a sales order: status, customer and currency where it shows them, the amount, and of the open
lines item, quantity and amount, where it shows lines. A unit price follows from quantity and amount, and is rounded as the ERP likes.
The customer's number, the date and the addresses of the order, too, where the adapter shows them and they are ours to say. What no look-up
shows (terms, texts) cannot be compared.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from meshline_dagster.core.documents import ErpDocument
from meshline_dagster.core.identity import canonical_texts, sha256_hex
from meshline_dagster.core.money import to_text

__all__ = [
    "CHANGED",
    "ForeignChange",
    "accepted_state",
    "cause_of_change",
    "cause_of_retry",
    "changes_text",
    "erp_state",
    "foreign_changes",
    "kept_cause",
]

CHANGED = "changed_in_erp"
"""The outcome, and the exception's code, of an amendment that is not sent because it would overwrite what somebody changed in the ERP."""

_OVERWRITE = "overwrite"
_STATE_DIGITS = 16
_CANCELLED = "cancelled"
_NOTHING = "none"
_Line = tuple[str, Decimal, Decimal]


class ForeignChange(NamedTuple):
    """One field that is neither as we left it nor as we want it, as texts.

    Attributes:
        posted: what we posted last. there: what the ERP has. wanted: what the amendment would make of it.
    """

    field: str
    posted: str
    there: str
    wanted: str


def foreign_changes(
    posted: Mapping[str, Any], wanted: Mapping[str, Any], document: ErpDocument
) -> tuple[ForeignChange, ...]:
    """What an amendment of a sales order would overwrite of somebody else's work; empty when nothing.

    A change to the very value that we want is none. Of what is cancelled nothing but that is compared. A cancellation overwrites neither the
    order's date nor the customer's number.

    Args:
        posted: the payload that we posted last; wanted: the payload to be sent, without what is the ERP's.
    """
    status = ForeignChange("status", posted["status"], document.status, wanted["status"])
    found = [status] if document.status not in {posted["status"], wanted["status"]} else []
    if document.status != _CANCELLED:
        found += _content(posted, wanted, document)
    return tuple(found)


def _content(posted: Mapping[str, Any], wanted: Mapping[str, Any], document: ErpDocument) -> Iterator[ForeignChange]:
    cancels = wanted["status"] == _CANCELLED
    shown = {"customer": document.customer, "currency": document.currency}
    for name, there in shown.items():
        ours = posted.get(name)
        if there is not None and ours is not None and there != ours and (cancels or there != wanted.get(name)):
            yield ForeignChange(name, ours, there, _CANCELLED if cancels else str(wanted.get(name)))
    amount, target = Decimal(posted["amount"]), Decimal(wanted["amount"])
    if document.amount != amount and (cancels or document.amount != target):
        text = _CANCELLED if cancels else to_text(target)
        yield ForeignChange("amount", to_text(amount), to_text(document.amount), text)
    there_lines = Counter((line.sku, line.quantity, line.amount) for line in document.lines)
    before, after = _lines(posted), _lines(wanted)
    if there_lines and there_lines != before and (cancels or there_lines != after):
        text = _CANCELLED if cancels else _text(after - there_lines)
        yield ForeignChange("lines", _text(before - there_lines), _text(there_lines - before), text)
    if not cancels:
        yield from _details(posted, wanted, document)


def _details(posted: Mapping[str, Any], wanted: Mapping[str, Any], document: ErpDocument) -> Iterator[ForeignChange]:
    """An ERP may show our own number where the customer has none, and chooses a date where we say none."""
    number = document.po_number
    if number is not None and "po_number" in wanted and number not in _numbers(posted) | _numbers(wanted):
        yield ForeignChange(
            "po_number", *(text or _NOTHING for text in (posted.get("po_number"), number, wanted["po_number"]))
        )
    ours, day = posted.get("order_date"), document.order_date
    if ours and day is not None and "order_date" in wanted and day.isoformat() not in {ours, wanted["order_date"]}:
        yield ForeignChange("order_date", ours, day.isoformat(), wanted["order_date"] or _NOTHING)
    for name, address in {"bill_to": document.bill_to, "ship_to": document.ship_to}.items():
        ours = posted.get(name)
        if ours and address is not None and name in wanted and address not in {ours, wanted[name]}:
            yield ForeignChange(name, ours, address or _NOTHING, wanted[name] or _NOTHING)


def _numbers(payload: Mapping[str, Any]) -> set[str]:
    """What an ERP may show as the customer's number of this order."""
    number = (payload.get("po_number") or "").strip()
    return {number} if number else {"", payload.get("order_number") or ""}


def changes_text(changes: Sequence[ForeignChange]) -> str:
    """Field by field, for whoever has to decide."""
    return "\n".join(
        f"{one.field}: we posted {one.posted}; the ERP has {one.there}; this state says {one.wanted}" for one in changes
    )


def erp_state(document: ErpDocument) -> str:
    """The identity (16 hexadecimal digits) of what the ERP shows of an order: the same state gives the same digits."""
    lines = sorted((line.sku, to_text(line.quantity), to_text(line.amount)) for line in document.lines)
    header = [document.status, document.customer or "", document.currency or "", to_text(document.amount)]
    day = None if document.order_date is None else document.order_date.isoformat()
    shown = (document.po_number, day, document.bill_to, document.ship_to)
    details = [text for text in shown if text is not None]
    texts = [*header, *(text for line in lines for text in line), *details]
    return sha256_hex(canonical_texts(texts))[:_STATE_DIGITS]


def cause_of_change(document: ErpDocument) -> str:
    """The cause of a posting that is dead because the ERP shows this."""
    return f"{CHANGED}:{erp_state(document)}"


def cause_of_retry(cause: str) -> str:
    """The cause of a dead posting that an operator retries: he has seen what the ERP had, and it alone may be overwritten."""
    word, _, state = cause.partition(":")
    return f"{_OVERWRITE}:{state}" if word == CHANGED else "retried"


def accepted_state(cause: str) -> str | None:
    """The state of the ERP's document that may be overwritten; None when nobody has said so of any."""
    word, _, state = cause.partition(":")
    return state if word == _OVERWRITE else None


def kept_cause(cause: str, other: str) -> str | None:
    """Another cause, unless the one that the row has is an operator's word: None keeps that."""
    return None if accepted_state(cause) else other


def _lines(payload: Mapping[str, Any]) -> Counter[_Line]:
    return Counter(
        (line["sku"], Decimal(line["quantity"]), Decimal(line["amount"])) for line in payload.get("lines", ())
    )


def _text(lines: Counter[_Line]) -> str:
    found = sorted(lines.elements())
    return " + ".join(f"{to_text(quantity)} {sku} at {to_text(amount)}" for sku, quantity, amount in found) or "none"
