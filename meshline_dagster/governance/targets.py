"""Whether what a mapping points to is known: products of the catalog, customers that orders name."""

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import duckdb

from meshline_dagster.warehouse.publish import Published, published

__all__ = ["UnknownTarget", "unknown_target"]

_NEAREST = 3
_FILES = {
    "product": ("catalog", "SELECT product_code FROM read_parquet(?)"),
    "customer": ("events", "SELECT DISTINCT sold_to FROM read_parquet(?) WHERE sold_to IS NOT NULL"),
}


@dataclass(frozen=True, slots=True)
class UnknownTarget:
    """A target that nothing known has, and the known ones that look most like it, the likest first."""

    nearest: tuple[str, ...] = ()


def unknown_target(root: Path, kind: str, target: str) -> UnknownTarget | None:
    """Look a target up in the newest publication.

    Args:
        root: the folder of publications.
        kind: the mapping's. Only products and customers can be looked up: parties, terms and taxes are the ERP's, which is asked when
            it is posted to.

    Returns:
        None when the target is known, or nothing can be said.
    """
    name, query = _FILES.get(kind, (None, ""))
    current = published(root)
    if name is None or current is None or name not in current.rows:
        return None
    known = _known(current, name, query)
    if not known or target in known:
        return None
    folded = {one.casefold(): one for one in sorted(known, reverse=True)}
    found = get_close_matches(target.casefold(), folded, n=_NEAREST)
    return UnknownTarget(tuple(folded[one] for one in found))


def _known(current: Published, name: str, query: str) -> set[str]:
    with duckdb.connect() as connection:
        return {str(row[0]) for row in connection.execute(query, [str(current.path(name))]).fetchall()}
