"""Extracts of the ops store: policy, operators' mappings and the build itself, as tables of the schema ``ops``.

The models read nothing else that changes: no clock, no environment. This module also decides the mode that a build really has:
*full* when the warehouse cannot vouch for the rows that the build would leave alone.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import duckdb
import pyarrow as pa

from meshline_dagster.core.identity import canonical_json, sha256_hex
from meshline_dagster.warehouse.records import BillingTerms, BuildMode, BuildSpec, MilestoneEntry, Policy

__all__ = ["effective_mode", "mark_applied", "policy_hash", "write_billing_terms", "write_extracts"]

_TABLES = """
CREATE SCHEMA IF NOT EXISTS ops;
CREATE TABLE IF NOT EXISTS ops.applied_build (
    build_id VARCHAR, policy_hash VARCHAR, project_hash VARCHAR, as_of TIMESTAMPTZ
);
CREATE TABLE IF NOT EXISTS ops.started_build (build_id VARCHAR, mode VARCHAR);
CREATE TABLE IF NOT EXISTS ops.unfinished_entity (
    entity_key VARCHAR, document_kind VARCHAR, source VARCHAR, root_id VARCHAR
);
ALTER TABLE ops.unfinished_entity ADD COLUMN IF NOT EXISTS by_replay BOOLEAN DEFAULT false;
"""

_TOUCHED = "intermediate.int_touched_entities"


def policy_hash(policy: Policy) -> str:
    """The identity of a policy: builds under another one recompute everything."""
    return sha256_hex(canonical_json(json.loads(json.dumps(asdict(policy), default=str))))


def effective_mode(connection: duckdb.DuckDBPyConnection, spec: BuildSpec, project_hash: str) -> tuple[BuildMode, str]:
    """The mode that the build has to have, and why.

    Full instead of incremental or replay: nothing was ever applied here; the last build was a full one and did not end; policy
    or models have changed; or the build that the cursor stands on was applied somewhere else.
    """
    connection.execute(_TABLES)
    if spec.mode is BuildMode.FULL:
        return BuildMode.FULL, "asked for"
    why = _why_full(connection, spec, project_hash)
    return (spec.mode, "asked for") if why is None else (BuildMode.FULL, why)


def _why_full(connection: duckdb.DuckDBPyConnection, spec: BuildSpec, project_hash: str) -> str | None:
    started = connection.execute("SELECT mode FROM ops.started_build").fetchone()
    last = connection.execute("SELECT policy_hash, project_hash FROM ops.applied_build ORDER BY rowid DESC").fetchone()
    if started is not None and started[0] == BuildMode.FULL:
        return "the last full build did not end"
    if last is None:
        return "the warehouse is new"
    if last[0] != policy_hash(spec.policy):
        return "the policy has changed"
    if last[1] != project_hash:
        return "the models have changed"
    known = "SELECT count(*) FROM ops.applied_build WHERE build_id = ?"
    if spec.after is not None and connection.execute(known, [spec.after]).fetchall() == [(0,)]:
        return f"the warehouse has not applied build {spec.after}"
    return None


def write_extracts(connection: duckdb.DuckDBPyConnection, spec: BuildSpec, mode: BuildMode) -> None:
    """Write the extracts, and note that a build has begun; entities of a build that did not end are taken over."""
    connection.execute("BEGIN")
    try:
        _take_over(connection)
        connection.execute("INSERT INTO ops.started_build VALUES (?, ?)", [spec.build_id, mode.value])
        _replace(connection, "build", [_build_row(spec, mode)], _BUILD)
        _replace(connection, "policy", [_policy_row(spec.policy)], _POLICY)
        _replace(connection, "mapping", [asdict(entry) for entry in spec.mappings], _MAPPING)
        changed = [{"kind": kind, "source_value": value} for kind, value in spec.changed_mappings]
        _replace(connection, "mapping_new", changed, _MAPPING_NEW)
        write_billing_terms(connection, spec.billing or BillingTerms(spec.as_of.date()), spec.milestones)
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def write_billing_terms(
    connection: duckdb.DuckDBPyConnection, terms: BillingTerms, milestones: Sequence[MilestoneEntry] = ()
) -> None:
    """Write what the comparison with the ERP has to know of invoices: of each comparison anew, as its day is not that of the build."""
    _replace(connection, "billing_terms", [asdict(terms)], _BILLING_TERMS)
    _replace(connection, "milestone", [asdict(one) for one in milestones], _MILESTONE)


def mark_applied(connection: duckdb.DuckDBPyConnection, spec: BuildSpec, project_hash: str) -> None:
    """All models of the build have succeeded: later builds may rely on the rows."""
    connection.execute("BEGIN")
    connection.execute("DELETE FROM ops.started_build")
    connection.execute("DELETE FROM ops.unfinished_entity")
    connection.execute("DELETE FROM ops.applied_build WHERE build_id = ?", [spec.build_id])
    connection.execute(
        "INSERT INTO ops.applied_build VALUES (?, ?, ?, ?)",
        [spec.build_id, policy_hash(spec.policy), project_hash, spec.as_of],
    )
    connection.execute("COMMIT")


def _take_over(connection: duckdb.DuckDBPyConnection) -> None:
    """A build that failed half-way may have changed some marts for its entities and not others: recompute them too."""
    unfinished = connection.execute("SELECT count(*) FROM ops.started_build").fetchall() != [(0,)]
    schema, table = _TOUCHED.split(".")
    query = "SELECT column_name FROM information_schema.columns WHERE table_schema = ? AND table_name = ?"
    there = {name for (name,) in connection.execute(query, [schema, table]).fetchall()}
    if unfinished and there:
        by_replay = "by_replay" if "by_replay" in there else "false"  # models before it are replaced by this build
        columns = f"entity_key, document_kind, source, root_id, {by_replay}"
        connection.execute(f"INSERT INTO ops.unfinished_entity SELECT {columns} FROM {_TOUCHED}")
    connection.execute("DELETE FROM ops.started_build")


_BUILD = pa.schema(
    [
        ("build_id", pa.string()),
        ("mode", pa.string()),
        ("as_of", pa.timestamp("us", tz="UTC")),
        ("replay_from", pa.date32()),
        ("replay_to", pa.date32()),
    ]
)
_POLICY = pa.schema(
    [
        ("effective_from", pa.date32()),
        ("lines_limit", pa.int64()),
        ("customer_limit", pa.int64()),
        ("default_currency", pa.string()),
        ("tax_code", pa.string()),
        ("selling_entity", pa.string()),
        ("items", pa.bool_()),
        ("addresses", pa.bool_()),
    ]
)
_BILLING_TERMS = pa.schema(
    [
        ("today", pa.date32()),
        ("invoice_trigger", pa.string()),
        ("invoices_from", pa.date32()),
        ("months", pa.int32()),
        ("in_arrears", pa.bool_()),
    ]
)
_MILESTONE = pa.schema(
    [
        ("entity_key", pa.string()),
        ("percent", pa.decimal128(18, 4)),
        ("amount", pa.decimal128(18, 4)),
        ("reached_on", pa.date32()),
    ]
)
_MAPPING = pa.schema(
    [("kind", pa.string()), ("source_value", pa.string()), ("target_value", pa.string()), ("seq", pa.int64())]
)
_MAPPING_NEW = pa.schema([("kind", pa.string()), ("source_value", pa.string())])


def _build_row(spec: BuildSpec, mode: BuildMode) -> dict[str, Any]:
    first, last = spec.replay or (None, None)
    return {
        "build_id": spec.build_id,
        "mode": mode.value,
        "as_of": spec.as_of,
        "replay_from": first,
        "replay_to": last,
    }


def _policy_row(policy: Policy) -> dict[str, Any]:
    limits = {name: int(getattr(policy, name).total_seconds()) for name in ("lines_limit", "customer_limit")}
    return {**asdict(policy), **limits}


def _replace(connection: duckdb.DuckDBPyConnection, name: str, rows: list[dict[str, Any]], schema: pa.Schema) -> None:
    connection.register("extract_rows", pa.Table.from_pylist(rows, schema=schema))
    connection.execute(f"CREATE OR REPLACE TABLE ops.{name} AS SELECT * FROM extract_rows")
    connection.unregister("extract_rows")
