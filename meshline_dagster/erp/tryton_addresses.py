"""Addresses in Tryton: of parties, under our external id. They are created once; afterwards they belong to Tryton's users."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from meshline_dagster.core.documents import Answer, Document, DocumentKind, ErpDocument
from meshline_dagster.erp.tryton_countries import countries_by_name, subdivisions_by_name
from meshline_dagster.erp.tryton_customers import parties_by_code
from meshline_dagster.erp.tryton_made_once import make_missing
from meshline_dagster.erp.tryton_rpc import TrytonSession
from meshline_dagster.erp.tryton_values import Refusal

__all__ = ["ADDRESS_FIELDS", "address_from_row", "addresses_by_external_id", "post_addresses"]

ADDRESS_FIELDS = ["external_id", "party.code", "write_date", "create_date"]
_ADDRESS = "party.address"
_USES = {"bill_to": "invoice", "ship_to": "delivery"}
_Row = Mapping[str, Any]


async def post_addresses(session: TrytonSession, documents: Sequence[Document]) -> list[Answer]:
    """Create the addresses that are not there; one answer each, same order. Never raises for what Tryton or the network did."""

    async def look_up(names: Sequence[str]) -> dict[str, list[ErpDocument]]:
        return await addresses_by_external_id(session, names)

    async def prepare(missing: Sequence[Document]) -> Callable[[Document], dict[str, Any]]:
        payloads = [document.payload for document in missing]
        parties = await parties_by_code(session, [payload.get("customer") or "" for payload in payloads])
        countries = await countries_by_name(session, [payload.get("country") for payload in payloads])
        regions = [payload.get("region") for payload in payloads]
        subdivisions = await subdivisions_by_name(session, countries.values(), regions)
        return lambda document: _new_address(document, parties, countries, subdivisions)

    return await make_missing(session, _ADDRESS, documents, look_up=look_up, prepare=prepare)


async def addresses_by_external_id(session: TrytonSession, names: Iterable[str]) -> dict[str, list[ErpDocument]]:
    """Addresses, also those put out of use. Raises as :meth:`TrytonSession.ask` does."""
    domain = [["external_id", "in", sorted(set(names))]]
    found: dict[str, list[ErpDocument]] = {}
    for row in await session.rows(_ADDRESS, domain, ADDRESS_FIELDS, active_test=False):
        found.setdefault(row["external_id"], []).append(address_from_row(row))
    return found


def address_from_row(row: _Row) -> ErpDocument:
    """An address as a document."""
    stamp: datetime = row["write_date"] or row["create_date"]
    return ErpDocument(
        kind=DocumentKind.ADDRESS,
        erp_id=str(row["id"]),
        external_id=row["external_id"] or "",
        number=row["external_id"] or "",
        status="open",
        stamp=stamp.replace(tzinfo=UTC),
        customer=(row["party."] or {}).get("code"),
    )


def _new_address(
    document: Document,
    parties: Mapping[str, _Row],
    countries: Mapping[str, int],
    subdivisions: Mapping[tuple[int, str], int],
) -> dict[str, Any]:
    """An address for the use that it has in the CRM. A country or region that Tryton does not know is left out."""
    payload = document.payload
    party = parties.get(payload.get("customer") or "")
    if party is None:
        raise Refusal(f"unknown customer {payload.get('customer')}: no party has this code", "customer")
    country = countries.get(payload.get("country") or "")
    name = payload.get("name")
    values = {
        "party": party["id"],
        "external_id": document.external_id,
        "party_name": None if name == party["name"] else name,
        "street_unstructured": payload.get("street"),
        "city": payload.get("city"),
        "postal_code": payload.get("postal_code"),
        "country": country,
        "subdivision": None if country is None else subdivisions.get((country, payload.get("region") or "")),
    }
    return values | {_USES[payload["use"]]: True}
