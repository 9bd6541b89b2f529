"""Customers in Tryton: parties whose code is our external id. They are created once; afterwards they belong to Tryton's users."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from meshline_dagster.core.documents import Answer, Document, Outcome
from meshline_dagster.core.errors import MeshlineError
from meshline_dagster.erp.tryton_batches import tell_all
from meshline_dagster.erp.tryton_documents import PARTY_FIELDS
from meshline_dagster.erp.tryton_replies import Reply
from meshline_dagster.erp.tryton_rpc import TrytonSession

__all__ = ["parties_by_code", "post_customers"]

_PARTY = "party.party"


async def post_customers(session: TrytonSession, documents: Sequence[Document]) -> list[Answer]:
    """Create the parties that are not there; one answer each, same order. Never raises for what Tryton or the network did."""
    codes = [document.external_id for document in documents]
    try:
        there = await parties_by_code(session, codes)
        countries = await _countries(session, [document.payload.get("country") for document in documents])
    except MeshlineError as error:  # only look-ups were sent: Tryton surely did nothing
        return [Answer(Outcome.RETRY, message=str(error))] * len(documents)
    answers = {code: Answer(Outcome.EXISTS, erp_id=str(row["id"])) for code, row in there.items()}

    async def send(part: Sequence[Document]) -> Reply:
        return await session.tell(_PARTY, "create", [_new_party(document, countries) for document in part])

    missing = [document for document in documents if document.external_id not in answers]
    for document, reply in await tell_all(missing, send):
        if reply.outcome is None:
            answers[document.external_id] = Answer(Outcome.CREATED, erp_id=str(reply.value))
        elif reply.says_taken("code"):
            answers[document.external_id] = await _taken(session, document.external_id, reply)
        else:
            answers[document.external_id] = reply.as_answer()
    return [answers[code] for code in codes]


async def parties_by_code(session: TrytonSession, codes: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Parties, also those put out of use. Raises as :meth:`TrytonSession.ask` does."""
    domain = [["code", "in", sorted(set(codes))]]
    return {row["code"]: row for row in await session.rows(_PARTY, domain, PARTY_FIELDS, active_test=False)}


async def _taken(session: TrytonSession, code: str, reply: Reply) -> Answer:
    """Somebody else created it between our look-up and our request."""
    try:
        row = (await parties_by_code(session, [code])).get(code)
    except MeshlineError:
        row = None
    return Answer(Outcome.UNKNOWN, message=reply.message) if row is None else Answer(Outcome.EXISTS, str(row["id"]))


async def _countries(session: TrytonSession, names: Sequence[str | None]) -> dict[str, int]:
    wanted = sorted({name for name in names if name})
    if not wanted:
        return {}
    domain = ["OR", ["code", "in", wanted], ["name", "in", wanted]]
    rows = await session.rows("country.country", domain, ["code", "name"])
    return {key: row["id"] for row in rows for key in (row["name"], row["code"]) if key}


def _new_party(document: Document, countries: Mapping[str, int]) -> dict[str, Any]:
    """A party with one address: Tryton wants one on every sale. A country that it does not know is left out."""
    address = {"country": countries.get(document.payload.get("country") or "")}
    return {"code": document.external_id, "name": document.payload["name"], "addresses": [["create", [address]]]}
