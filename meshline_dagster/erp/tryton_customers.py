"""Customers in Tryton: parties whose code is our external id. They are created once; afterwards they belong to Tryton's users."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from meshline_dagster.core.documents import Answer, Document, ErpDocument
from meshline_dagster.erp.tryton_countries import countries_by_name
from meshline_dagster.erp.tryton_documents import PARTY_FIELDS, customer_from_row
from meshline_dagster.erp.tryton_made_once import make_missing
from meshline_dagster.erp.tryton_rpc import TrytonSession

__all__ = ["customers_by_code", "parties_by_code", "post_customers"]

_PARTY = "party.party"


async def post_customers(session: TrytonSession, documents: Sequence[Document]) -> list[Answer]:
    """Create the parties that are not there; one answer each, same order. Never raises for what Tryton or the network did."""

    async def look_up(codes: Sequence[str]) -> dict[str, list[ErpDocument]]:
        return await customers_by_code(session, codes)

    async def prepare(missing: Sequence[Document]) -> Callable[[Document], dict[str, Any]]:
        countries = await countries_by_name(session, [document.payload.get("country") for document in missing])
        return lambda document: _new_party(document, countries)

    return await make_missing(session, _PARTY, documents, look_up=look_up, prepare=prepare, unique="code")


async def customers_by_code(session: TrytonSession, codes: Iterable[str]) -> dict[str, list[ErpDocument]]:
    """The customer under each code, which only one can have. Raises as :meth:`TrytonSession.ask` does."""
    return {code: [customer_from_row(row)] for code, row in (await parties_by_code(session, codes)).items()}


async def parties_by_code(session: TrytonSession, codes: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Parties, also those put out of use. Raises as :meth:`TrytonSession.ask` does."""
    domain = [["code", "in", sorted(set(codes))]]
    return {row["code"]: row for row in await session.rows(_PARTY, domain, PARTY_FIELDS, active_test=False)}


def _new_party(document: Document, countries: dict[str, int]) -> dict[str, Any]:
    """A party with one address: Tryton wants one on every sale."""
    address = {"country": countries.get(document.payload.get("country") or "")}
    return {"code": document.external_id, "name": document.payload["name"], "addresses": [["create", [address]]]}
