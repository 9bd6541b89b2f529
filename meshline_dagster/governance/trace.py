"""The trace of one order or customer: change -> event -> disposition -> posting -> attempts -> ERP document -> reconciliation -> billing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from meshline_dagster.landing.zone import LandingZone
from meshline_dagster.store.duplicates import entities_of_reversals
from meshline_dagster.store.engine import Store
from meshline_dagster.store.exceptions import exceptions_of
from meshline_dagster.store.ledger_reports import attempts_of, entities_named, postings_of_entities
from meshline_dagster.store.manifest import live_files, rows_total
from meshline_dagster.warehouse.publish import Published, published

__all__ = ["Trace", "trace"]

_EVENTS = """
SELECT entity_key, position, type, time, id, status, amount, currency, disposition,
    list_transform(reasons, lambda reason: reason.message) AS reasons
FROM read_parquet(?) WHERE list_contains(?, entity_key) ORDER BY entity_key, position
"""
_RECONCILIATION = """
SELECT entity_key, class, source_amount, erp_amount, source_currency AS currency, erp_number, erp_id, erp_status, detail
FROM read_parquet(?) WHERE list_contains(?, entity_key) ORDER BY entity_key
"""
_BILLING = """
SELECT COLUMNS(lambda name: name IN (
    'entity_key', 'class', 'order_amount', 'due_amount', 'due_on', 'next_due_on', 'invoiced_amount', 'credited_amount', 'currency', 'invoices',
    'credit_notes', 'erp_numbers'
))
FROM read_parquet(?) WHERE list_contains(?, entity_key) ORDER BY billing_id
"""
_BY_EVENT = """
SELECT DISTINCT entity_key FROM read_parquet(?)
WHERE ? IN (entity_key, order_id, source_document_id, contract_id, sold_to, id, split_part(entity_key, '/', 3))
"""
_BY_DOCUMENT = "SELECT DISTINCT entity_key FROM read_parquet(?) WHERE ? IN (erp_number, erp_id, external_id) AND entity_key IS NOT NULL"
_CHANGES = """
SELECT _id AS record, _stamp AS changed_at, _observed_at AS observed_at, _deleted AS deleted, _run_id AS run, left(_hash, 12) AS hash
FROM read_parquet(?, union_by_name = true) WHERE list_contains(?, _id) ORDER BY _stamp, _observed_at
"""

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Trace:
    """What is known about some entities, step by step; each step is a list of rows."""

    entities: Sequence[str] = ()
    changes: Sequence[Row] = ()
    events: Sequence[Row] = ()
    postings: Sequence[Row] = ()
    attempts: Sequence[Row] = ()
    exceptions: Sequence[Row] = ()
    reconciliation: Sequence[Row] = ()
    billing: Sequence[Row] = ()

    def steps(self) -> dict[str, Sequence[Row]]:
        """Name -> rows, in the order of the way."""
        names = ("changes", "events", "postings", "attempts", "exceptions", "reconciliation", "billing")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, slots=True)
class _Parquet:
    connection: duckdb.DuckDBPyConnection
    current: Published | None

    def query(self, name: str, sql: str, value: Any) -> list[Row]:
        if self.current is None or name not in self.current.rows:
            return []
        return _rows(self.connection.execute(sql, [str(self.current.path(name)), value]))


def trace(store: Store, zone: LandingZone, published_root: Path, identifier: str) -> Trace:
    """Everything about the deal, order, customer, event or ERP document that ``identifier`` names; empty when nothing has that name.

    Args:
        identifier: a record id of the CRM, an entity key, an event id, our external id, or the ERP's id or number.
    """
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        if zone.filesystem is not None:
            connection.register_filesystem(zone.filesystem)
        parquet = _Parquet(connection, published(published_root))
        found = {row["entity_key"] for row in parquet.query("events", _BY_EVENT, identifier)}
        found |= {row["entity_key"] for row in parquet.query("reconciliation", _BY_DOCUMENT, identifier)}
        with store.read() as ops:
            found |= set(entities_named(ops, identifier))
            entities = sorted(found | set(entities_of_reversals(ops, sorted(found))))
            postings = postings_of_entities(ops, entities)
            attempts = attempts_of(ops, [row["id"] for row in postings])
            items = exceptions_of(ops, entities)
        return Trace(
            entities=entities,
            changes=_changes(connection, store, zone, entities, identifier),
            events=parquet.query("events", _EVENTS, entities),
            postings=postings,
            attempts=attempts,
            exceptions=items,
            reconciliation=parquet.query("reconciliation", _RECONCILIATION, entities),
            billing=parquet.query("billing", _BILLING, entities),
        )


def _changes(
    connection: duckdb.DuckDBPyConnection, store: Store, zone: LandingZone, entities: Sequence[str], identifier: str
) -> list[Row]:
    """Landed versions of the records themselves, feed by feed."""
    ids = [identifier, *(key.split("/", 2)[2] for key in entities if key.count("/") > 1)]
    with store.read() as ops:
        feeds = {feed: live_files(ops, feed) for feed in sorted(rows_total(ops))}
    found: list[Row] = []
    for feed, files in feeds.items():
        paths = [zone.absolute(file.path) for file in files]
        if paths:
            found += [{"feed": feed, **row} for row in _rows(connection.execute(_CHANGES, [paths, ids]))]
    return found


def _rows(cursor: duckdb.DuckDBPyConnection) -> list[Row]:
    names = [column[0] for column in cursor.description or []]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
