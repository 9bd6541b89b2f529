"""How the databases look for due work: by what is open and by entity, never through all that was ever posted."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import event, select

from meshline_dagster.store.duplicates import any_reversal_open, reversed_soon
from meshline_dagster.store.postings import due_postings, last_posted
from meshline_dagster.store.tables import posting

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("ask", "table"),
    [
        (lambda connection: due_postings(connection, "erp", [0], now=NOW, limit=9), "master"),
        (lambda connection: last_posted(connection, "erp", ["a", "b"]), "posting"),
    ],
)
def test_what_is_posted_is_found_by_its_entity(ops, ask, table):
    found = [step for step in steps(ops, ask) if step.startswith(f"SEARCH {table} ")]
    assert found == [f"SEARCH {table} USING INDEX ix_posting_destination_entity_key (destination=? AND entity_key=?)"]


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("ask", "start"),
    [
        (lambda connection: any_reversal_open(connection, "erp"), "SEARCH posting USING INDEX "),
        (
            lambda connection: connection.execute(select(posting.c.id).where(reversed_soon())),
            "SEARCH other USING INDEX ",
        ),
    ],
)
def test_reversals_are_found_without_a_walk_through_what_is_open(ops, ask, start):
    [found] = [step for step in steps(ops, ask) if step.startswith(start)]
    assert found.startswith(f"{start}ix_posting_duplicate (destination=? AND operation=?")


def steps(ops, ask):
    """The steps of the plan of a statement."""
    asked = []
    with ops.read() as connection:
        event.listen(connection, "before_cursor_execute", lambda *call: asked.append(call[2:4]))
        ask(connection)
        [(statement, parameters)] = asked
        return [row[-1] for row in connection.exec_driver_sql("EXPLAIN QUERY PLAN " + statement, parameters).all()]
