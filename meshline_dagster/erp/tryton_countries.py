"""Countries and their subdivisions by the names and codes that CRMs have for them; one that Tryton does not know is left out."""

from collections.abc import Iterable

from meshline_dagster.erp.tryton_rpc import TrytonSession

__all__ = ["countries_by_name", "subdivisions_by_name"]


async def countries_by_name(session: TrytonSession, names: Iterable[str | None]) -> dict[str, int]:
    """Ids by the name or ISO code that was asked for. Raises as :meth:`TrytonSession.ask` does."""
    wanted = sorted({name for name in names if name})
    if not wanted:
        return {}
    domain = ["OR", ["code", "in", wanted], ["name", "in", wanted]]
    rows = await session.rows("country.country", domain, ["code", "name"])
    return {key: row["id"] for row in rows for key in (row["name"], row["code"]) if key}


async def subdivisions_by_name(
    session: TrytonSession, countries: Iterable[int], names: Iterable[str | None]
) -> dict[tuple[int, str], int]:
    """Ids by country and by name or ISO code, with the country (``US-CA``) or without (``CA``). Raises as :meth:`TrytonSession.ask` does."""
    of, wanted = sorted(set(countries)), sorted({name for name in names if name})
    if not of or not wanted:
        return {}
    rows = await session.rows("country.subdivision", [["country", "in", of]], ["code", "name", "country"])
    found: dict[tuple[int, str], int] = {}
    for row in rows:
        code = row["code"] or ""
        for key in (row["name"], code, code.partition("-")[2]):
            if key in wanted:
                found.setdefault((row["country"], key), row["id"])
    return found
