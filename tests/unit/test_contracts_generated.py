"""Generated files are what the models say, and `meshline contracts` tells, compares and checks."""

import json
from typing import Annotated, Literal

import duckdb
import pytest
import yaml
from typer.testing import CliRunner

from meshline_dagster.cli import app
from meshline_dagster.contracts import files, releases
from meshline_dagster.contracts.columns import columns
from meshline_dagster.contracts.vectors import example, vectors
from meshline_dagster.core.errors import ConfigError, MeshlineError
from meshline_dagster.core.events.event import TYPE, VERSION, Event, Record
from meshline_dagster.core.events.fields import Amount, Day, EntityKey, Text, meaning
from meshline_dagster.core.events.registry import contract, contracts_of, newest
from tests.event_rows import insert_event


def run(*arguments, stdin=None):
    done = CliRunner().invoke(app, ["contracts", *map(str, arguments)], input=stdin)
    assert done.exception is None or isinstance(done.exception, (SystemExit, MeshlineError)), done.exception
    error = f"error: {done.exception}" if isinstance(done.exception, MeshlineError) else ""
    return done.exit_code, done.output + error


def test_every_generated_file_is_in_step():
    found = files.out_of_step(files.source_root())
    assert found == {}, f"out of step with the models: run `{files.GENERATE}`"


def test_a_file_that_was_changed_by_hand_is_told_and_written_again(tmp_path):
    assert set(files.write(tmp_path).values()) == {"missing"}
    assert files.out_of_step(tmp_path) == {}
    changed, *_ = [path for path in files.generated() if path.suffix == ".sql"]
    obsolete = next(path for path in files.generated() if "schemas" in path.parts).with_name("order.lost@1.0.0.json")
    (tmp_path / changed).write_text("-- mine")
    (tmp_path / obsolete).write_text("{}")
    expected = {changed: "changed", obsolete: "obsolete"}
    assert files.out_of_step(tmp_path) == expected
    assert files.write(tmp_path) == expected
    assert files.write(tmp_path) == {}


def test_the_command_says_what_is_out_of_step_and_how_to_mend_it(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "source_root", lambda: tmp_path)
    code, said = run("generate", "--check")
    assert code == 1
    assert "missing: docs/event_contracts.md" in said
    assert "out of step; `meshline contracts generate` writes them" in said
    assert run("generate")[0] == 0
    assert run("generate", "--check") == (0, "every generated file is in step with the models\n")


def test_an_installed_package_says_where_contracts_are_generated(tmp_path, monkeypatch):
    monkeypatch.setattr(
        files, "__file__", str(tmp_path / "site-packages" / "meshline_dagster" / "contracts" / "files.py")
    )
    with pytest.raises(ConfigError, match="in a clone of the repository"):
        files.source_root()


class Share(Record):
    """What of a payment goes where."""

    invoice: Annotated[Text, meaning("Which invoice.", owner="finance", example="I-1")]
    how: Annotated[Literal["cash", "bank"] | None, meaning("Which way.", owner="finance")] = None


class _Paid(Event):
    shares: Annotated[list[Share] | None, meaning("Of what.", owner="finance")] = None
    amount: Annotated[Amount, meaning("What was paid.", owner="finance", unit="currency", example="7")]
    paid_on: Annotated[Day, meaning("When.", owner="finance", example="2026-03-02")]


class PaymentReceivedV1(_Paid):
    """Money came in."""

    type: Annotated[Literal["payment.received"], TYPE]
    contract_version: Annotated[Literal["1.0.0"], VERSION]
    document_kind: Annotated[Literal["payment"], meaning("The kind.", owner="finance")]


class PaymentReceivedV2(_Paid):
    """Money came in."""

    type: Annotated[Literal["payment.received"], TYPE]
    contract_version: Annotated[Literal["2.0.0"], VERSION]
    amount: Annotated[Text, meaning("What was paid.", owner="finance", example="seven")]  # type: ignore[assignment]


def test_a_table_of_several_types_demands_of_each_what_its_own_contract_does():
    [paid] = contracts_of([PaymentReceivedV1])
    found = {column.name: column for column in columns({**newest(), "payment.received": paid})}
    assert found["amount"].required is False
    assert "when 'payment.received' then \"amount\" is not null" in found["amount"].by_type.expression
    assert found["paid_on"].required is False
    assert "when 'order.created' then \"paid_on\" is null" in found["paid_on"].by_type.expression
    assert "when 'payment.received' then \"lines\" is null" in found["lines"].by_type.expression
    assert "line_id" in found["lines"].rules[0].expression
    assert "'sales_order', 'payment'" in found["document_kind"].rules[0].expression
    assert "'payment.received'" in found["type"].rules[0].expression
    assert found["type"].by_type is None
    assert found["document_kind"].description.endswith("payment.received: The kind.")


def test_a_table_of_several_types_takes_the_valid_events_of_each_and_refuses_the_others():
    [paid] = contracts_of([PaymentReceivedV1])
    wanted = {**newest(), "payment.received": paid}
    table = columns(wanted)
    rules = {one.name: [*one.rules, *([one.by_type] if one.by_type else [])] for one in table}
    lines = [
        f'"{one.name}" {one.sql_type} {"not null" if one.required else ""}'
        + "".join(f" check ({rule.expression})" for rule in rules[one.name])
        for one in table
    ]
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE events ({', '.join(lines)})")
        kinds = {one.name: one.sql_type for one in table}
        for one in wanted.values():
            made = vectors(one)
            for vector in made["valid"]:
                insert_event(connection, "events", kinds, vector["event"], one.schema)
            wrong = [vector for vector in made["invalid"] if vector["form"] == "value" and vector["field"] != "type"]
            assert len(wrong) > 15
            for vector in wrong:
                with pytest.raises(duckdb.ConstraintException):
                    insert_event(connection, "events", kinds, vector["event"], one.schema)
    named = {vector["name"] for vector in vectors(paid)["invalid"]}
    assert {"one of shares without invoice", "how in one of shares is none of its values"} <= named


class Odd(Record):
    """A record with a form that no constraint can check."""

    order: Annotated[EntityKey, meaning("Which order.", owner="finance", example="crm/opportunity/D1")]


class PaymentOddV1(_Paid):
    """Money came in."""

    type: Annotated[Literal["payment.odd"], TYPE]
    contract_version: Annotated[Literal["1.0.0"], VERSION]
    orders: Annotated[list[Odd], meaning("Of what.", owner="finance")]


def test_what_no_table_can_check_in_a_record_is_refused_when_it_is_generated():
    [odd] = contracts_of([PaymentOddV1])
    with pytest.raises(ConfigError, match=r"no table can check the form or the bounds of orders\[\]\.order"):
        columns({"payment.odd": odd})


def test_two_types_that_want_different_columns_under_one_name_are_refused():
    [paid] = contracts_of([PaymentReceivedV2])
    with pytest.raises(
        ConfigError, match=r"one column cannot hold amount as decimal.*order.created.*varchar in payment.received"
    ):
        columns({**newest(), "payment.received": paid})


def test_an_open_data_contract_says_of_each_field_type_need_meaning_and_owner():
    made = {path.name: text for path, text in files.generated().items()}
    content = yaml.safe_load(made["order.created@1.0.0.yaml"])
    assert (content["apiVersion"], content["kind"], content["version"]) == ("v3.1.0", "DataContract", "1.0.0")
    [table] = content["schema"]
    fields = {one["name"]: one for one in table["properties"]}
    assert list(fields) == list(contract("order.created", "1.0.0").schema["properties"])
    assert fields["id"] | {"primaryKey": True, "required": True} == fields["id"]
    assert (fields["amount"]["logicalType"], fields["amount"]["physicalType"]) == ("number", "decimal(38,9)")
    assert {"property": "unit", "value": "currency"} in fields["amount"]["customProperties"]
    assert fields["time"]["logicalType"] == "timestamp"
    assert [one["name"] for one in fields["lines"]["items"]["properties"]][:2] == ["line_id", "source_sku"]


def test_the_difference_of_two_contracts_is_told_field_by_field(tmp_path):
    name, old = contract("order.created").name, dict(contract("order.created").schema)
    older = tmp_path / "older.json"
    older.write_text(json.dumps(old | {"properties": {**old["properties"], "region": {"type": ["string", "null"]}}}))
    code, said = run("diff", older, "order.created")
    assert code == 1
    assert "breaking\tregion: removed; a reader misses it" in said
    assert f"{name} (its model) against older.json: breaking, needs a major version" in said
    assert "is none, and the change is major: give it the next major version" in said
    code, said = run("diff", "order.created@1.0.0", "order.created@1.0.0")
    assert (code, said) == (
        0,
        "order.created@1.0.0 (as released) against order.created@1.0.0 (as released): compatible, nothing differs\n",
    )


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("order.lost", "'order.lost' is no type of event; there are order.created"),
        ("order.created@3.0.0", "order.created has no version 3.0.0; it has 1.0.0"),
        ("order.created@new", "'new' is no version: write three numbers"),
        ("older.json", "there is no file older.json; a contract is named as TYPE or TYPE@VERSION"),
    ],
)
def test_a_contract_that_is_not_there_is_told_with_those_that_are(name, said):
    code, output = run("diff", name, "order.created")
    assert code == 1
    assert said in output


def test_a_file_that_holds_no_schema_is_told(tmp_path):
    for content, said in (("x", "is no JSON"), ("[]", "holds no JSON object"), ("{}", "is no JSON Schema of an event")):
        (tmp_path / "x.json").write_text(content)
        assert said in run("diff", tmp_path / "x.json", "order.created")[1]


def test_a_version_is_released_once_and_the_file_to_commit_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(releases, "FOLDER", tmp_path)
    name = contract("order.created").name
    assert run("release", "order.created") == (0, f"released: {tmp_path / f'{name}.json'}; commit it\n")
    assert f"{name} is released already and stays as it was" in run("release", "order.created")[1]


def test_events_are_checked_one_by_one_and_repetitions_told(tmp_path):
    event = example(contract("order.created").schema)
    lines = [
        event,
        event | {"amount": 1200.5},
        event | {"amount": "1200.50"},
        event | {"currency": "EUR"},
        event | {"digest": event["digest"][::-1]},
    ]
    file = tmp_path / "events.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    code, said = run("validate", file)
    assert code == 1
    assert f"line 2: {contract('order.created').name}: amount 1200.5 is not a decimal as text" in said
    assert "line 3: duplicate of line 1: the same event, nothing to do" in said
    assert "line 4: restated of line 1: the same id with other content" in said
    assert "line 5: conflict of line 1: an id that cannot be that of both" in said
    assert said.endswith("1 wrong, 1 new, 1 duplicate, 1 restated, 1 conflict\n")
    code, said = run("validate", "-", stdin=json.dumps([event]))
    assert (code, said) == (0, "0 wrong, 1 new, 0 duplicate, 0 restated, 0 conflict\n")


def test_what_is_no_file_of_events_is_told_with_its_place(tmp_path):
    assert "cannot be read" in run("validate", tmp_path / "none.json")[1]
    assert "line 2 is no JSON" in run("validate", "-", stdin='{"a": 1}\n{')[1]


def test_older_events_are_lifted_one_a_line():
    event = example(contract("order.created").schema)
    code, said = run("upcast", "-", stdin=json.dumps(event))
    assert code == 0
    assert {name: value for name, value in json.loads(said).items() if value is not None} == event
    assert (
        f"event 1: {contract('order.created').name}: position 2 is wrong"
        in run("upcast", "-", stdin=json.dumps(event | {"position": 2}))[1]
    )
