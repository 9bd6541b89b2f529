"""A few rows as a Markdown table, for people who look at an asset."""

from datetime import date

import duckdb

from meshline_dagster.landing.zone import LandingZone
from meshline_dagster.store.engine import Store
from meshline_dagster.store.manifest import live_files

__all__ = ["markdown", "sample"]

_ROWS, _COLUMNS, _WIDTH = 5, 8, 40


def sample(zone: LandingZone, store: Store, feed: str, day: date) -> str:
    """The first rows of a feed's change day; columns of ours are left out, long texts are cut."""
    with store.read() as connection:
        files = live_files(connection, feed, [day])
    if not files:
        return "no rows"
    relation = duckdb.connect().execute(
        f"SELECT * EXCLUDE (_payload) FROM read_parquet(?, union_by_name=true) LIMIT {_ROWS}",  # noqa: S608 - a constant
        [[zone.absolute(file.path) for file in files]],
    )
    names = [column[0] for column in relation.description or []]
    keep = [place for place, name in enumerate(names) if not name.startswith("_")][:_COLUMNS]
    return markdown([names[place] for place in keep], [[row[place] for place in keep] for row in relation.fetchall()])


def markdown(names: list[str], rows: list[list[object]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(names) + " |", "|" + " --- |" * len(names)]
    lines += ["| " + " | ".join(_cell(value) for value in row) + " |" for row in rows]
    return "\n".join(lines)


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    return text[:_WIDTH].replace("|", "\\|").replace("\n", " ")
