"""Payments in Tryton: moves that are posted with what they pay in one transaction, so that there is never half of one.

The module ``extref`` makes the move: to the bank account of the payment method, from the customer's receivable account. As much as is open
of the invoice pays it; what is paid beyond that, or without an invoice, stays to the customer's credit.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from meshline_dagster.core.documents import Answer, Document, DocumentKind, ErpDocument, Outcome
from meshline_dagster.core.errors import MeshlineError
from meshline_dagster.core.settle import difference
from meshline_dagster.erp.tryton_batches import tell_all, tell_books
from meshline_dagster.erp.tryton_customers import parties_by_code
from meshline_dagster.erp.tryton_invoices import invoices_by_external_id
from meshline_dagster.erp.tryton_replies import Reply
from meshline_dagster.erp.tryton_rpc import TrytonSession
from meshline_dagster.erp.tryton_values import Refusal

__all__ = ["PAYMENT_FIELDS", "payment_from_row", "payments_by_external_id", "post_payments"]

PAYMENT_FIELDS = [
    *("external_id", "event_id", "pays_external_id", "number", "state", "date"),
    *("write_date", "create_date", "company.currency.code"),
    *(f"lines.{name}" for name in ("debit", "credit", "amount_second_currency", "second_currency.code", "party.code")),
]
"""What a look-up asks of ``account.move``, in one read."""

_MOVE = "account.move"
_Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Found:
    """What new payments refer to, by the names that we use; a method that is not the only one of its name, or at all, is None."""

    parties: Mapping[str, _Row]
    invoices: Mapping[str, Sequence[_Row]]
    currencies: Mapping[str, int]
    method: int | None


async def post_payments(session: TrytonSession, documents: Sequence[Document], method: str | None) -> list[Answer]:
    """Record what is not there; one answer each, same order. Never raises for what Tryton or the network did.

    Args:
        method: the name of the payment method whose account and journal they go to; None: the only one that there is.
    """
    names = [document.external_id for document in documents]
    try:
        there = await payments_by_external_id(session, names)
        missing = [document for document in documents if document.external_id not in there]
        found = await _found(session, missing, method) if missing else None
    except MeshlineError as error:  # only look-ups were sent: Tryton surely did nothing
        return [Answer(Outcome.RETRY, message=str(error))] * len(documents)
    answers = {
        document.external_id: _compared(document, records, Outcome.EXISTS)
        for document in documents
        if (records := there.get(document.external_id))
    }
    values: dict[str, dict[str, Any]] = {}
    for document in missing:
        try:
            assert found is not None
            values[document.external_id] = _payment_values(document, found) | {"company": session.company}
        except Refusal as refusal:
            answers[document.external_id] = Answer(Outcome.REJECTED, message=str(refusal), field=refusal.field)
        except (KeyError, TypeError, ValueError, ArithmeticError) as error:
            text = f"the payload is not one of a payment: {type(error).__name__}: {error}"
            answers[document.external_id] = Answer(Outcome.REJECTED, message=text, field="payload")

    async def send(part: Sequence[str]) -> Reply:
        return await tell_books(session, _MOVE, "record_payments", [values[name] for name in part])

    done: dict[str, Outcome] = {}
    for name, reply in await tell_all(list(values), send):
        if reply.outcome is None:
            done[name] = Outcome.CREATED
        elif reply.says_taken("external id"):  # somebody else recorded it between our look-up and our request
            done[name] = Outcome.EXISTS
        else:
            answers[name] = reply.as_answer()
    answers |= await _concluded(session, [document for document in missing if document.external_id in done], done)
    return [answers[name] for name in names]


async def payments_by_external_id(session: TrytonSession, names: Iterable[str]) -> dict[str, list[ErpDocument]]:
    """The company's payments under each id. Raises as :meth:`TrytonSession.ask` does."""
    domain = [["company", "=", session.company], ["external_id", "in", sorted(set(names))]]
    found: dict[str, list[ErpDocument]] = {}
    for row in await session.rows(_MOVE, domain, PAYMENT_FIELDS):
        found.setdefault(row["external_id"], []).append(payment_from_row(row))
    return found


def payment_from_row(row: _Row) -> ErpDocument:
    """A move as a payment: what it takes from the customer, in the currency that was paid in."""
    stamp: datetime = row["write_date"] or row["create_date"]
    lines = [line for line in row["lines."] or [] if line["party."]]
    currencies = {(line["second_currency."] or {}).get("code") for line in lines}
    company_currency = row["company."]["currency."]["code"]
    return ErpDocument(
        kind=DocumentKind.PAYMENT,
        erp_id=str(row["id"]),
        external_id=row["external_id"] or "",
        number=row["number"] or "",
        status="open" if row["state"] == "posted" else "partial",
        stamp=stamp.replace(tzinfo=UTC),
        event_id=row["event_id"] or None,
        customer=lines[0]["party."]["code"] if lines else None,
        currency=(currencies.pop() if len(currencies) == 1 else None) or company_currency,
        amount=sum((_paid(line) for line in lines), Decimal(0)),
        document_date=row["date"],
        pays=row["pays_external_id"] or None,
        raw={"state": row["state"]},
    )


def _paid(line: _Row) -> Decimal:
    if line["second_currency."]:
        return -Decimal(line["amount_second_currency"])
    return Decimal(line["credit"]) - Decimal(line["debit"])


async def _found(session: TrytonSession, documents: Sequence[Document], method: str | None) -> _Found:
    payloads = [document.payload for document in documents]
    own = [["company", "=", session.company], *([["name", "=", method]] if method else [])]
    methods = await session.rows("account.invoice.payment.method", own, ["name"])
    currencies = await session.rows("currency.currency", [], ["code"])
    return _Found(
        parties=await parties_by_code(session, [payload.get("customer") or "" for payload in payloads]),
        invoices=await invoices_by_external_id(session, [name for one in payloads if (name := one.get("invoice"))]),
        currencies={row["code"]: row["id"] for row in currencies},
        method=int(methods[0]["id"]) if len(methods) == 1 else None,
    )


def _payment_values(document: Document, found: _Found) -> dict[str, Any]:
    """For ``record_payments``."""
    payload = document.payload
    party = found.parties.get(payload["customer"])
    if party is None:
        raise Refusal(f"unknown customer {payload['customer']}: no party has this code", "customer")
    currency = found.currencies.get(payload["currency"])
    if currency is None:
        raise Refusal(f"unknown currency {payload['currency']}", "currency")
    if found.method is None:
        text = "there is no single payment method of that name, or none is named and there are several: name one as payment_method"
        raise Refusal(text, "payment_method")
    amount = Decimal(payload["amount"])
    if amount <= 0:
        raise Refusal(f"a payment of {amount}: what is paid back is no payment", "amount")
    return {
        "external_id": document.external_id,
        "event_id": document.event_id,
        "pays_external_id": payload.get("invoice"),
        "party": party["id"],
        "method": found.method,
        "currency": currency,
        "amount": amount,
        "date": date.fromisoformat(payload["payment_date"]),
        "description": payload.get("reference"),
        "invoice": _invoice(payload, found),
    }


def _invoice(payload: Mapping[str, Any], found: _Found) -> int | None:
    name = payload.get("invoice")
    if not name:
        return None
    rows = found.invoices.get(name, [])
    if len(rows) != 1:
        raise Refusal(f"{len(rows)} invoices have the external id {name}", "invoice")
    [row] = rows
    if row["state"] not in {"posted", "paid"}:
        raise Refusal(f"the invoice {name} is {row['state']}: nothing is to be paid", "invoice")
    if row["currency."]["code"] != payload["currency"]:
        raise Refusal(f"the invoice {name} is in {row['currency.']['code']}", "currency")
    return int(row["id"])


async def _concluded(
    session: TrytonSession, documents: Sequence[Document], done: Mapping[str, Outcome]
) -> dict[str, Answer]:
    """Look at every payment, and answer by what is there."""
    if not documents:
        return {}
    names = [document.external_id for document in documents]
    try:
        there = await payments_by_external_id(session, names)
    except MeshlineError as error:
        return dict.fromkeys(names, Answer(Outcome.UNKNOWN, message=f"the last look got no answer: {error}"))
    return {one.external_id: _compared(one, there.get(one.external_id, []), done[one.external_id]) for one in documents}


def _compared(document: Document, records: Sequence[ErpDocument], same: Outcome) -> Answer:
    """What is there is what was meant, or a person has to look."""
    if len(records) != 1:
        return Answer(Outcome.UNKNOWN, message=f"Tryton shows {len(records)} of it")
    [shown] = records
    field = difference(document.kind, document.payload, shown)
    if field is not None:
        text = f"the payment differs in {field}, and what is in the books is not changed"
        return Answer(Outcome.EXISTS_DIFFERENT, erp_id=shown.erp_id, message=text, field=field)
    return Answer(same, erp_id=shown.erp_id, raw={"number": shown.number, **shown.raw})
