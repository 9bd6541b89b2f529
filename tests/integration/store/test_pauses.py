"""Pauses in the ops store: whom they hold, and that the database and Python hold the same."""

import itertools
from datetime import UTC, datetime
from decimal import Decimal

from sqlalchemy import select

from meshline_dagster.core.documents import DocumentKind
from meshline_dagster.core.identity import external_id
from meshline_dagster.core.ledger import PostingState
from meshline_dagster.core.pauses import Pause, Scope, held_back
from meshline_dagster.core.postings import NewPosting, OutboxRow
from meshline_dagster.store import audit
from meshline_dagster.store.ledger_writes import insert_postings
from meshline_dagster.store.pauses import held, pause, pauses_in_force, resume
from meshline_dagster.store.postings import postings_of
from meshline_dagster.store.tables import posting

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def outbox_row(number, kind, selling_entity, customer_key):
    key = f"crm/{kind.value}/{number}"
    return OutboxRow(
        event_id=f"{number:064d}",
        entity_key=key,
        document_kind=kind,
        external_id=external_id(kind.value, key),
        event_time=NOW,
        operation="create",
        depends_on=(),
        amount=Decimal(1),
        currency="USD",
        document_date=None,
        payload={},
        selling_entity=selling_entity,
        customer_key=customer_key,
    )


def test_a_pause_is_in_force_until_the_same_scope_is_resumed_and_says_who_and_why(ops):
    with ops.write() as connection:
        pause(connection, Scope(), actor="a", reason="close", now=NOW)
        pause(connection, Scope(), actor="b", reason="again", now=NOW)
        pause(connection, Scope("erp", "de", "001"), actor="c", reason="", now=NOW)
        assert [str(one) for one in pauses_in_force(connection)] == [
            "posting to all is paused by a since 2026-03-01 12:00 UTC (close)",
            "posting to erp, selling entity de, customer 001 is paused by c since 2026-03-01 12:00 UTC",
        ]
        assert [one.actor for one in pauses_in_force(connection, "other")] == ["a"]
        assert not resume(connection, Scope("erp", "de"), actor="a", now=NOW)
        assert resume(connection, Scope(), actor="a", now=NOW)
        assert not resume(connection, Scope(), actor="a", now=NOW)
        assert [one.actor for one in pauses_in_force(connection)] == ["c"]
        assert audit.first_broken(connection) is None


def test_the_database_holds_exactly_what_the_rule_holds(ops):
    kinds, entities = list(DocumentKind), (None, "de", "us")
    customers = (None, "crm/account/001", "crm/account/002", "crm/account/1", "crm/account/00A", "crm/account/00a")
    rows = [
        outbox_row(number, *values) for number, values in enumerate(itertools.product(kinds, entities, customers), 1)
    ]
    plans = [NewPosting(row, 1, "f" * 64, PostingState.PLANNED, "derived") for row in rows]
    scopes = [
        Scope(*parts)
        for parts in itertools.product(
            (None, "erp", "other"), (None, "de"), (None, "001", "00a", "account/001", "crm/account/002", "_01", "%")
        )
    ]
    with ops.write() as connection:
        insert_postings(connection, "erp", plans, shards=4, actor="a", now=NOW)
        every = postings_of(connection, connection.execute(select(posting.c.id)).scalars().all())
        assert len(every) == len(rows)
        for scope in scopes:
            found = set(connection.execute(select(posting.c.id).where(held([scope]))).scalars())
            assert found == {row.id for row in every if held_back([Pause(scope, "a", "", NOW)], row)}, scope
            free = set(connection.execute(select(posting.c.id).where(~held([scope]))).scalars())
            assert free == {row.id for row in every} - found, scope
        assert connection.execute(select(posting.c.id).where(held([]))).first() is None


def test_a_scope_holds_the_selling_entity_the_customer_and_what_the_ledger_does_not_know():
    order = outbox_row(1, DocumentKind.SALES_ORDER, "de", "crm/account/001")
    master = outbox_row(2, DocumentKind.CUSTOMER, None, "crm/account/001")
    unknown = outbox_row(3, DocumentKind.SALES_ORDER, None, None)

    def who(scope):
        named = {"order": order, "master": master, "unknown": unknown}
        return {name for name, row in named.items() if scope.holds(_Ledger(row))}

    assert who(Scope()) == who(Scope("erp")) == {"order", "master", "unknown"}
    assert who(Scope("other")) == set()
    assert who(Scope(selling_entity="de")) == {"order", "unknown"}
    assert who(Scope(selling_entity="us")) == {"unknown"}
    assert who(Scope(customer="001")) == who(Scope(customer="crm/account/001")) == {"order", "master", "unknown"}
    assert who(Scope(customer="01")) == {"unknown"}


class _Ledger:
    def __init__(self, row):
        self.destination = "erp"
        self.document_kind, self.selling_entity = row.document_kind, row.selling_entity
        self.customer_key = row.customer_key
