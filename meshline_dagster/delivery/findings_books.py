"""The ways out of what delivery cannot settle about an invoice or a credit note: what finance does.

What is in the books is never changed, and no later state of the order amends it. So the ways differ from those of an order.
"""

from meshline_dagster.core.documents import DocumentKind

__all__ = ["books_fix"]

_RETRY = "`meshline postings retry {key} --reason TEXT`"
_CLOSE = "`meshline postings close {key} --reason TEXT`"
_WORDS = {DocumentKind.INVOICE: "invoice", DocumentKind.CREDIT_NOTE: "credit note"}
_TAKE_BACK = {
    DocumentKind.INVOICE: "a credit note in the ERP",
    DocumentKind.CREDIT_NOTE: "an invoice of the same amount in the ERP",
}
_ONE_OF_SEVERAL = (
    "Finance keeps one {what} in the ERP and takes each other one back with {back}, or deletes it where it is not posted yet; then "
    f"{_RETRY}: it is looked up again, and found. If the one that was kept differs from what was meant on purpose: {_CLOSE}."
)
_FIX = {
    "attempts_used_up": (
        f"The ERP kept refusing the {{what}} for now. Find out why, then {_RETRY}: it is looked up, and made if it is not there. "
        f"If finance has made the {{what}} in the ERP by hand: {_CLOSE}."
    ),
    "duplicate_in_erp": _ONE_OF_SEVERAL,
    "exists_with_different_duplicate": _ONE_OF_SEVERAL,
    "partial_in_erp": (
        "Finance compares the {what} that is not posted yet with what was meant; completes and posts it in the ERP, or deletes it there; then "
        f"{_RETRY}: it is looked up again. If it differs from what was meant on purpose: {_CLOSE}."
    ),
    "partial_reversed": (
        "The {what} is cancelled in the ERP. Finance finds out why it stopped half-way, and makes the {what} in the ERP by hand, under "
        "another number: its external id is taken."
    ),
}
_DIFFERENT = (
    "Finance compares the {what} in the ERP with what was meant: somebody changed it before it was posted, or its external id was taken. What "
    "is posted is never changed: if the {what} is wrong, finance takes it back with {back}, makes the right one by hand, and then "
    f"{_CLOSE}. If it is right as it is: {_CLOSE}, too. If it is not posted yet and was set right: {_RETRY}, which finds it so."
)


def books_fix(code: str, kind: DocumentKind) -> str | None:
    """What to do, with ``{key}`` for the posting's key; None where the words for an order fit an invoice as well."""
    if kind not in _WORDS or not (code in _FIX or code.startswith("exists_with_different")):
        return None
    text = _FIX.get(code, _DIFFERENT)
    return text.replace("{what}", _WORDS[kind]).replace("{back}", _TAKE_BACK[kind])
