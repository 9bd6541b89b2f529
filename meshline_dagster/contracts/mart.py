"""What the table of canonical events is beyond its columns: what has to hold between its rows, and between it and its neighbours.

An event alone cannot tell, so that no model says it; from here it goes into the table contracts of dbt and Soda.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

__all__ = ["DBT_TESTS", "DESCRIPTION", "NAME", "PURPOSE", "ROW_CHECKS", "SCHEMA", "TOUCHED", "RowCheck"]

SCHEMA: Final = "marts"
NAME: Final = "canonical_events"

DESCRIPTION: Final = (
    "What happened to orders: one row for each state that an order was in, from the first won one on. A pure function of all landed "
    "changes of an entity; the same input gives the same rows and the same ids, in whatever order it arrived."
)

PURPOSE: Final = (
    "What the writer and everything behind it may rely on; a breach stops deliveries until a build has mended it."
)

TOUCHED: Final = "entity_key in (select entity_key from intermediate.int_touched_entities)"
"""The rows that a build writes: dbt's tests look at no others."""

DBT_TESTS: Final[Sequence[Mapping[str, Any]]] = (
    MappingProxyType(
        {
            "numbered_without_gap": {
                "name": "canonical_events_are_numbered_without_gap",
                "description": "Positions of an order run from 1 to the number of its events, in the order of time.",
                "arguments": {"group_by": "entity_key", "number": "position", "order_by": "time"},
                "config": {"where": TOUCHED},
            }
        }
    ),
)


@dataclass(frozen=True, slots=True)
class RowCheck:
    """A query that finds the rows which break a rule."""

    name: str
    qualifier: str
    query: str


ROW_CHECKS: Final = (
    RowCheck(
        "positions of an order run from 1 in the order of time",
        "positions",
        """SELECT id FROM marts.canonical_events
QUALIFY "position" <> row_number() OVER (PARTITION BY entity_key ORDER BY "time")
""",
    ),
    RowCheck(
        "each event has one disposition",
        "dispositions",
        """SELECT events.id FROM marts.canonical_events AS events
ANTI JOIN marts.event_dispositions AS dispositions ON events.id = dispositions.event_id
UNION ALL
SELECT dispositions.event_id FROM marts.event_dispositions AS dispositions
ANTI JOIN marts.canonical_events AS events ON events.id = dispositions.event_id
""",
    ),
)
