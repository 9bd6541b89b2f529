"""Items in Tryton: products that are sold, by their code. They are created once, where that is asked for; afterwards they belong to Tryton's users.

Accounts and taxes of a new product are those of its account category, which Tryton's users keep.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from meshline_dagster.core.documents import Answer, Document, DocumentKind, ErpDocument
from meshline_dagster.erp.tryton_made_once import make_missing
from meshline_dagster.erp.tryton_masters import EACH, price_places, units_by_name
from meshline_dagster.erp.tryton_rpc import TrytonSession
from meshline_dagster.erp.tryton_values import Refusal

__all__ = ["ITEM_FIELDS", "NewItems", "item_from_row", "items_by_code", "post_items"]

ITEM_FIELDS = ["code", "rec_name", "write_date", "create_date"]
_PRODUCT, _TEMPLATE = "product.product", "product.template"


@dataclass(frozen=True, slots=True)
class NewItems:
    """What the CRM does not say of an item that is made.

    Attributes:
        category: the name of its account category; None: the only one that there is.
        type: ``goods`` or ``service``: whether sales of it are shipped.
    """

    category: str | None = None
    type: str = "goods"


@dataclass(frozen=True, slots=True)
class _Found:
    """What new products refer to, by the names that we use."""

    category: int | None
    unsold: frozenset[str]
    units: Mapping[str, int]
    currency: str
    step: Decimal


async def post_items(session: TrytonSession, documents: Sequence[Document], new: NewItems) -> list[Answer]:
    """Create the products that are not there; one answer each, same order. Never raises for what Tryton or the network did."""

    async def look_up(codes: Sequence[str]) -> dict[str, list[ErpDocument]]:
        return await items_by_code(session, codes)

    async def prepare(missing: Sequence[Document]) -> Callable[[Document], dict[str, Any]]:
        found = await _found(session, [document.external_id for document in missing], new)
        return lambda document: _new_template(document, new, found)

    return await make_missing(session, _TEMPLATE, documents, look_up=look_up, prepare=prepare, look_again=True)


async def items_by_code(session: TrytonSession, codes: Iterable[str]) -> dict[str, list[ErpDocument]]:
    """Every product in use that is sold under one of these codes. Raises as :meth:`TrytonSession.ask` does."""
    domain = [["code", "in", sorted(set(codes))], ["salable", "=", True]]
    found: dict[str, list[ErpDocument]] = {}
    for row in await session.rows(_PRODUCT, domain, ITEM_FIELDS):
        found.setdefault(row["code"], []).append(item_from_row(row))
    return found


def item_from_row(row: Mapping[str, Any]) -> ErpDocument:
    """A product as a document."""
    stamp: datetime = row["write_date"] or row["create_date"]
    return ErpDocument(
        kind=DocumentKind.ITEM,
        erp_id=str(row["id"]),
        external_id=row["code"] or "",
        number=row["code"] or "",
        status="open",
        stamp=stamp.replace(tzinfo=UTC),
        raw={"name": row["rec_name"]},
    )


async def _found(session: TrytonSession, codes: Sequence[str], new: NewItems) -> _Found:
    named = [["name", "=", new.category]] if new.category else []
    categories = await session.rows("product.category", [["accounting", "=", True], *named], ["name"])
    unsold = await session.rows(_PRODUCT, [["code", "in", sorted(set(codes))]], ["code"], active_test=False)
    [company] = await session.rows("company.company", [["id", "=", session.company]], ["currency.code"])
    return _Found(
        category=int(categories[0]["id"]) if len(categories) == 1 else None,
        unsold=frozenset(row["code"] for row in unsold),
        units=await units_by_name(session),
        currency=company["currency."]["code"],
        step=Decimal(1).scaleb(-await price_places(session)),
    )


def _new_template(document: Document, new: NewItems, found: _Found) -> dict[str, Any]:
    """A product template with its only product. A list price in another currency than the company's is left out."""
    payload, code = document.payload, document.external_id
    if code in found.unsold:
        text = f"a product has the code {code}, and is not sold, or not in use: change that in Tryton"
        raise Refusal(text, "sku")
    if found.category is None:
        which = "the only one that there is" if new.category is None else f"the one named {new.category}"
        raise Refusal(
            f"the account category of new items is {which}, and Tryton has no such: name it as item_category",
            "item_category",
        )
    name = (payload.get("uom") or "").strip().lower()
    unit = found.units.get("u" if name in EACH else name)
    if unit is None:
        raise Refusal(f"unknown unit {payload.get('uom')}", "uom")
    price = payload.get("list_price") if payload.get("currency") == found.currency else None
    return {
        "name": payload.get("name") or code,
        "code": code,
        "external_id": code,
        "type": new.type,
        "default_uom": unit,
        "sale_uom": unit,
        "salable": True,
        "list_price": None if price is None else Decimal(price).quantize(found.step, rounding=ROUND_HALF_EVEN),
        "account_category": found.category,
        "products": [["create", [{}]]],
    }
