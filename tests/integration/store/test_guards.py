"""What the database itself refuses, on SQLite and on PostgreSQL: steps and edits that would falsify history."""

from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import product

import pytest
from sqlalchemy import insert, select, text, update
from sqlalchemy.exc import DBAPIError

from meshline_dagster.core.documents import DocumentKind
from meshline_dagster.core.identity import fingerprint
from meshline_dagster.core.ledger import TRANSITIONS, PostingState
from meshline_dagster.core.postings import NewPosting, OutboxRow
from meshline_dagster.store import audit
from meshline_dagster.store.ledger_writes import Attempt, AttemptEnd, insert_postings, record_attempts
from meshline_dagster.store.tables import attempt, posting

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def planned(connection, number, state=PostingState.PLANNED):
    payload = {"amount": "10", "status": "open"}
    row = OutboxRow(
        event_id=f"{number:064d}",
        entity_key=f"crm/opportunity/{number}",
        document_kind=DocumentKind.SALES_ORDER,
        external_id=f"MLO-{number}",
        event_time=NOW,
        operation="create",
        depends_on=(),
        amount=Decimal("10.25"),
        currency="USD",
        document_date=date(2026, 3, 1),
        payload=payload,
    )
    plan = NewPosting(row, 1, fingerprint(payload), state, "derived")
    insert_postings(connection, "erp", [plan], shards=4, actor="test", now=NOW)
    return connection.execute(select(posting.c.id).where(posting.c.event_id == row.event_id)).scalar_one()


def refused(ops, statement):
    with pytest.raises(DBAPIError, match=r"never|cannot|once"), ops.write() as connection:
        connection.execute(statement)
    return True


def test_a_posting_takes_only_the_steps_of_the_ledger(ops):
    pairs = [(before, after) for before, after in product(PostingState, PostingState) if before is not after]
    with ops.write() as connection:
        ids = {pair: planned(connection, number, pair[0]) for number, pair in enumerate(pairs)}
    taken = set()
    for (before, after), number in ids.items():
        step = update(posting).where(posting.c.id == number).values(state=after.value)
        try:
            with ops.write() as connection:
                connection.execute(step)
        except DBAPIError:
            continue
        taken.add((before, after))
    allowed = {(before, after) for before, found in TRANSITIONS.items() for after in found if after is not before}
    assert taken == allowed


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("payload", "{}"),
        ("fingerprint", "f"),
        ("key", "k"),
        ("amount", Decimal(1)),
        ("currency", None),
        ("revision", 9),
    ],
)
def test_what_a_posting_says_is_never_changed(ops, column, value):
    with ops.write() as connection:
        number = planned(connection, 1)
    assert refused(ops, update(posting).where(posting.c.id == number).values({column: value}))


def test_nothing_of_the_ledger_or_the_audit_log_is_deleted_or_rewritten(ops):
    with ops.write() as connection:
        number = planned(connection, 1)
        opened = Attempt(number, "r-1", "post", "f", 1, NOW)
        record_attempts(connection, [opened], [])
        record_attempts(connection, [], [AttemptEnd(number, "r-1", NOW, "created", "ok")])
        record_attempts(connection, [], [AttemptEnd(number, "r-1", NOW, "rejected", "no")])
        assert connection.execute(select(attempt.c.outcome)).scalars().all() == ["created"]
    assert refused(ops, update(attempt).values(outcome="rejected"))
    assert refused(ops, text("DELETE FROM attempt"))
    assert refused(ops, text("DELETE FROM audit_entry"))
    assert refused(ops, text("UPDATE audit_entry SET actor = 'nobody'"))
    with ops.read() as connection:
        assert audit.first_broken(connection) is None


def test_a_posting_is_never_deleted(ops):
    with ops.write() as connection:
        planned(connection, 1)
    assert refused(ops, text("DELETE FROM posting"))


def test_rows_sent_as_one_parameter_arrive_as_they_would_one_by_one(ops):
    texts = ['quote " back \\ slash', "tab\tline\nend", "ünïcödé 💶", "", "'; DROP TABLE posting; --", "null", "1.50"]
    with ops.write() as connection:
        entries = [audit.Entry("a", "did", subject, {"s": subject, "n": 1}) for subject in texts]
        audit.append(connection, entries, at=NOW)
        audit.append(connection, [audit.Entry("a", "did", "last", {})], at=NOW.astimezone())
        found = connection.execute(text("SELECT subject FROM audit_entry ORDER BY seq")).scalars().all()
        assert found == [*texts, "last"]
        assert audit.first_broken(connection) is None
        number = planned(connection, 1)
        row = connection.execute(select(posting).where(posting.c.id == number)).one()
        values = {name: value for name, value in row._asdict().items() if name not in {"id", "event_id", "key"}}
        connection.execute(insert(posting).values(**values, event_id="other", key="other"))
        other = connection.execute(select(posting).where(posting.c.event_id == "other")).one()
        assert {name: getattr(other, name) for name in values} == values
        raw = text("SELECT event_time, amount, document_date, created_at FROM posting ORDER BY id")
        one, two = connection.execute(raw).all()
        assert tuple(one) == tuple(two)
