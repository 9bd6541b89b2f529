"""Contracts on the warehouse: what a build leaves passes Soda's, and a broken table fails by name. On the shared set of events dbt's contract
and Soda's agree with each other and with pydantic and JSON Schema, of which `tests/unit/test_event_models.py` tells; a fault of notation (a
JSON number for a decimal) has no row to be tested as.
"""

import json
import shutil

import duckdb
import jsonschema
import pytest

from meshline_dagster.contracts.mart import ROW_CHECKS
from meshline_dagster.contracts.releases import FOLDER
from meshline_dagster.core.errors import ConfigError
from meshline_dagster.core.events.identity import event_id
from meshline_dagster.core.events.reading import read_row
from meshline_dagster.core.events.registry import contract, newest
from meshline_dagster.core.identity import sha256_hex
from meshline_dagster.warehouse.connection import open_warehouse
from meshline_dagster.warehouse.records import BuildMode
from meshline_dagster.warehouse.soda import contracts, verify_contract
from tests.event_rows import insert_event
from tests.integration.warehouse.landed import Project, account, deal, instant, line, product

# dbt's constraints on the tables would refuse most of the breakages below.
_UNCONSTRAINED = [
    f"CREATE OR REPLACE TABLE marts.{table} AS FROM marts.{table}"
    for table in ("canonical_events", "event_dispositions", "outbox")
]

EVENTS = [one.name for one in newest().values()]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    project = Project(tmp_path_factory.mktemp("contracts"))
    project.land([account("A1"), product("P1", "SKU-1")])
    for number in (1, 2):
        project.land([deal(f"D{number}", instant(1)), line(f"L{number}", f"D{number}", instant(1))])
    project.land([deal("D2", instant(9), won=False), deal("D3", instant(9), CurrencyIsoCode=None)])
    project.land([deal("D\n4", instant(1)), line("L4", "D\n4", instant(1))])
    project.land([deal("D1", instant(9), amount=600), line("L1", "D1", instant(9), quantity=6)])
    project.build(BuildMode.FULL)
    return project


@pytest.fixture
def verify(built, tmp_path):
    copy = shutil.copy(built.warehouse, tmp_path / "warehouse.duckdb")

    def _verify(table, *breakages):
        with open_warehouse(copy) as connection:
            for statement in (*_UNCONSTRAINED, *breakages):
                connection.execute(statement)
            return verify_contract(connection, contracts()[table])

    return _verify


def test_the_tables_under_contract_are_those_that_the_writer_relies_on():
    assert list(contracts()) == ["canonical_events", "outbox"]


@pytest.mark.parametrize("table", ["canonical_events", "outbox"])
def test_what_a_build_leaves_fulfils_every_check_of_its_contract(verify, table):
    checks = verify(table)
    assert len(checks) >= 20
    assert [check for check in checks if not check.passed] == []


@pytest.mark.parametrize(
    ("table", "breakage", "column", "name"),
    [
        ("outbox", "INSERT INTO marts.outbox FROM marts.outbox LIMIT 1", "event_id", "No duplicate values"),
        ("outbox", "UPDATE marts.outbox SET external_id = NULL", "external_id", "No missing values"),
        (
            "outbox",
            "UPDATE marts.outbox SET external_id = 'MLO-1' WHERE document_kind = 'sales_order'",
            None,
            "an order's external id is a name that we give",
        ),
        ("outbox", "UPDATE marts.outbox SET operation = 'delete'", "operation", "No invalid values"),
        ("outbox", "UPDATE marts.outbox SET amount = -1", "amount", "No invalid values"),
        ("outbox", "UPDATE marts.outbox SET currency = 'US'", "currency", "is an ISO 4217 code"),
        ("outbox", "UPDATE marts.outbox SET currency = NULL", "currency", "No missing values"),
        ("outbox", "UPDATE marts.outbox SET payload = 'x'", "payload", "is a JSON object"),
        ("outbox", "ALTER TABLE marts.outbox DROP depends_on", None, "Schema matches expected structure"),
        ("outbox", "ALTER TABLE marts.outbox ALTER amount TYPE double", None, "Schema matches expected structure"),
        (
            "outbox",
            "UPDATE marts.event_dispositions SET disposition = 'hold'",
            None,
            "an order's event is to be posted",
        ),
        ("outbox", "DELETE FROM marts.outbox WHERE document_kind <> 'customer'", None, "every postable event is there"),
        (
            "outbox",
            "DELETE FROM marts.outbox WHERE document_kind = 'customer'",
            None,
            "the masters that an order waits for are there",
        ),
        (
            "outbox",
            "UPDATE marts.outbox SET external_id = 'MLO-00000000000000000000'",
            None,
            "an entity has one document, and an order's document one entity",
        ),
        (
            "outbox",
            'UPDATE marts.outbox SET payload = replace(payload, \'"amount":"300"\', \'"amount":"299"\')',
            None,
            "the payload's amount is the row's, and the sum of its lines",
        ),
        ("canonical_events", "UPDATE marts.canonical_events SET id = 'x'", "id", "is a SHA-256"),
        ("canonical_events", "UPDATE marts.canonical_events SET type = 'order.lost'", "type", "No invalid values"),
        (
            "canonical_events",
            "UPDATE marts.canonical_events SET entity_key = 'D1'",
            "entity_key",
            "is source, object and id",
        ),
        (
            "canonical_events",
            "UPDATE marts.canonical_events SET position = position + 1",
            None,
            "positions of an order run from 1 in the order of time",
        ),
        ("canonical_events", "TRUNCATE marts.event_dispositions", None, "each event has one disposition"),
        (
            "canonical_events",
            "UPDATE marts.canonical_events SET amount = 1",
            None,
            "amount is as its type of event has it",
        ),
        (
            "canonical_events",
            "UPDATE marts.canonical_events SET lines = [{'line_id': NULL}] WHERE type <> 'order.cancelled'",
            None,
            "lines is as the contract has it",
        ),
        (
            "canonical_events",
            "ALTER TABLE marts.canonical_events ADD COLUMN mine varchar",
            None,
            "Schema matches expected structure",
        ),
        (
            "canonical_events",
            "ALTER TABLE marts.canonical_events DROP lines",
            None,
            "Schema matches expected structure",
        ),
    ],
)
def test_a_broken_table_fails_the_check_that_names_the_breach(verify, table, breakage, column, name):
    failed = {(check.column, check.name): check.detail for check in verify(table, breakage) if not check.passed}
    assert (column, name) in failed
    assert failed[column, name].startswith("failed")


def test_a_contract_for_a_table_that_is_not_there_fails(verify):
    checks = verify("outbox", "DROP TABLE marts.outbox")
    assert not any(check.passed for check in checks)


def test_a_dataset_named_with_its_database_does_not_pass_unchecked(built, tmp_path):
    contract = tmp_path / "contract.yml"
    contract.write_text(contracts()["outbox"].read_text().replace("meshline/marts", "meshline/warehouse/marts"))
    with open_warehouse(built.warehouse) as connection:
        checks = verify_contract(connection, contract)
    assert [check.detail for check in checks if not check.passed] == ["not_evaluated"]


def test_what_is_no_contract_is_an_error_that_quotes_soda(built, tmp_path):
    contract = tmp_path / "contract.yml"
    contract.write_text("dataset: meshline/marts/outbox\nchecks: [nonsense]\n")
    with open_warehouse(built.warehouse) as connection, pytest.raises(ConfigError, match=r"contract\.yml.*columns"):
        verify_contract(connection, contract)


def vectors(name):
    found = json.loads((FOLDER.with_name("vectors") / f"{name}.json").read_text())
    return found["valid"], [one for one in found["invalid"] if one["form"] == "value"]


@pytest.fixture(scope="module")
def table(built):
    """The columns of the table that dbt made, and the statement that makes it, constraints and all."""
    with open_warehouse(built.warehouse) as connection:
        columns = connection.execute(
            "SELECT column_name, data_type FROM duckdb_columns() WHERE schema_name = 'marts' AND table_name = 'canonical_events'"
            " ORDER BY column_index"
        ).fetchall()
        ((statement,),) = connection.execute(
            "SELECT sql FROM duckdb_tables() WHERE table_name = 'canonical_events'"
        ).fetchall()
    return dict(columns), statement


def insert(connection, columns, event):
    schema = newest().get(event.get("type"), contract("order.created")).schema
    insert_event(connection, "marts.canonical_events", columns, event, schema)


@pytest.mark.parametrize("name", EVENTS)
def test_dbts_contract_takes_what_is_valid_and_refuses_what_is_not(table, name):
    columns, statement = table
    valid, invalid = vectors(name)
    with duckdb.connect() as connection:
        connection.execute("CREATE SCHEMA marts")
        connection.execute(statement)
        for vector in valid:
            insert(connection, columns, vector["event"])
        for vector in invalid:
            with pytest.raises(duckdb.ConstraintException):
                insert(connection, columns, vector["event"])


def failed_fields(connection, columns, events):
    """The columns that Soda finds broken in a table of these events, and of no others."""
    connection.execute("TRUNCATE marts.canonical_events")
    for number, event in enumerate(events):
        own = {"id": sha256_hex(str(number).encode())} if len(event.get("id") or "") == 64 else {}
        insert(connection, columns, event | own)
    checks = verify_contract(connection, contracts()["canonical_events"])
    between = {check.name for check in ROW_CHECKS}
    failed = [check for check in checks if not check.passed and check.name not in between]
    return {check.column or check.name.partition(" ")[0] for check in failed}


@pytest.mark.parametrize("name", EVENTS)
def test_sodas_contract_passes_what_is_valid_and_fails_what_is_not(table, name):
    columns, _ = table
    valid, invalid = vectors(name)
    by_field = {}
    for vector in invalid:
        by_field.setdefault(vector["field"], []).append(vector["event"])
    with duckdb.connect() as connection:
        connection.execute("CREATE SCHEMA marts")
        connection.execute("CREATE TABLE marts.event_dispositions (event_id varchar)")
        unconstrained = ", ".join(f'"{one}" {kind}' for one, kind in columns.items())
        connection.execute(f"CREATE TABLE marts.canonical_events ({unconstrained})")
        assert failed_fields(connection, columns, [one["event"] for one in valid]) == set()
        for number in range(max(map(len, by_field.values()))):
            broken = {field: events[number] for field, events in by_field.items() if number < len(events)}
            assert failed_fields(connection, columns, broken.values()) == set(broken)


def test_what_a_build_derives_are_events_by_all_four(built):
    columns = "SELECT * FROM marts.canonical_events ORDER BY entity_key, position"
    with open_warehouse(built.warehouse) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        found = connection.execute(columns)
        names = [one[0] for one in found.description]
        rows = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
    assert {row["type"] for row in rows} == {"order.created", "order.amended", "order.cancelled"}
    assert "D\n4" in {row["order_id"] for row in rows}
    assert all(row["contract_version"] == str(newest()[row["type"]].version) for row in rows)
    for row in rows:
        event = read_row(row)
        assert event.id == event_id(event.source, event.entity_key, event.document_kind, event.time, event.digest)
        schema = contract(event.type, event.contract_version).schema
        jsonschema.Draft202012Validator(schema).validate(event.model_dump(mode="json"))
