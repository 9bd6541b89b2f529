"""How the databases look for due work: by what is open and by entity, never through all that was ever posted."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import event

from meshline_dagster.store.postings import due_postings, last_posted

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
    asked = []
    with ops.read() as connection:
        event.listen(connection, "before_cursor_execute", lambda *call: asked.append(call[2:4]))
        ask(connection)
        [(statement, parameters)] = asked
        plan = connection.exec_driver_sql("EXPLAIN QUERY PLAN " + statement, parameters).all()
    found = [row[-1] for row in plan if row[-1].startswith(f"SEARCH {table} ")]
    assert found == [f"SEARCH {table} USING INDEX ix_posting_destination_entity_key (destination=? AND entity_key=?)"]
