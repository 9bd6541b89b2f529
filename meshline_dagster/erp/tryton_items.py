"""Items in Tryton: products that are sold, by their code. They are looked for and never made: accounts, taxes and units are Tryton's users' to say."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from meshline_dagster.core.documents import DocumentKind, ErpDocument
from meshline_dagster.erp.tryton_rpc import TrytonSession

__all__ = ["ITEM_FIELDS", "item_from_row", "items_by_code"]

ITEM_FIELDS = ["code", "rec_name", "write_date", "create_date"]


async def items_by_code(session: TrytonSession, codes: Iterable[str]) -> dict[str, list[ErpDocument]]:
    """Every product in use that is sold under one of these codes. Raises as :meth:`TrytonSession.ask` does."""
    domain = [["code", "in", sorted(set(codes))], ["salable", "=", True]]
    found: dict[str, list[ErpDocument]] = {}
    for row in await session.rows("product.product", domain, ITEM_FIELDS):
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
