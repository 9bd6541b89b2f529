"""Models of events: what they accept is what their JSON Schema accepts, and what they refuse they say clearly."""

import hashlib
import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Literal

import jsonschema
import pytest

from meshline_dagster.contracts.releases import FOLDER
from meshline_dagster.contracts.vectors import example
from meshline_dagster.core.errors import ConfigError, ContractError
from meshline_dagster.core.events.event import TYPE, VERSION, Event
from meshline_dagster.core.events.fields import Amount, meaning
from meshline_dagster.core.events.identity import event_id
from meshline_dagster.core.events.reading import problems, read_event, read_row
from meshline_dagster.core.events.registry import contract, contracts, contracts_of, newest
from meshline_dagster.core.events.repeats import repeat_of

VECTORS = FOLDER.with_name("vectors")
NAMES = [one.name for one in contracts()]


def vectors(name):
    return json.loads((VECTORS / f"{name}.json").read_text())


def by_schema(one, event):
    """What the JSON Schema says of an event."""
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    return [
        error.message
        for error in jsonschema.Draft202012Validator(one.schema, format_checker=checker).iter_errors(event)
    ]


def contract_named(name):
    event_type, _, version = name.partition("@")
    return contract(event_type, version)


@pytest.mark.parametrize("name", NAMES)
def test_pydantic_and_json_schema_agree_on_every_vector(name):
    one, found = contract_named(name), vectors(name)
    jsonschema.Draft202012Validator.check_schema(one.schema)
    assert len(found["valid"]) >= 3
    assert len(found["invalid"]) >= 30
    for vector in found["valid"]:
        assert (vector["name"], by_schema(one, vector["event"]), problems(vector["event"])) == (vector["name"], [], ())
    agreed = [(bool(by_schema(one, vector["event"])), bool(problems(vector["event"]))) for vector in found["invalid"]]
    assert agreed == [(True, True)] * len(agreed), [vector["name"] for vector in found["invalid"]]


@pytest.mark.parametrize("name", NAMES)
def test_an_invalid_event_breaks_the_field_that_its_vector_names_and_no_other(name):
    for vector in vectors(name)["invalid"]:
        assert vector["reason"]
        fields = {problem.field.partition(".")[0] for problem in problems(vector["event"])}
        expected = {""} if vector["field"] in {"type", "contract_version"} else {vector["field"]}
        assert fields == expected, vector["name"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("part", ["duplicates", "idempotency"])
def test_a_row_of_events_is_new_or_a_repetition_as_its_vector_says(name, part):
    found = vectors(name)[part]
    assert len(found) >= 2
    for vector in found:
        seen, outcomes = {}, []
        for step in vector["events"]:
            event = read_event(step["event"])
            outcomes.append(repeat_of(event, seen.get(event.id)).value)
            seen.setdefault(event.id, event)
        assert outcomes == [step["outcome"] for step in vector["events"]], vector["name"]


def test_what_the_warehouse_derives_is_under_contract():
    derived = (FOLDER.parents[3] / "dbt_project/models/marts/canonical_events.sql").read_text()
    types = set(re.findall(r"(?:then|else) '([a-z]+\.[a-z]+)'", derived))
    assert {"order.created", "order.cancelled"} < types <= set(newest())


def test_every_field_says_what_it_means_and_who_owns_it():
    for one in contracts():
        records = [one.schema, *(field["items"] for field in one.schema["properties"].values() if "items" in field)]
        for record in records:
            for name, field in record["properties"].items():
                assert field["description"].endswith("."), name
                assert field["x-owner"] in {"revops", "integrations", "finance"}, name
                assert field.get("format") != "decimal" or field["x-unit"], name


def test_an_event_says_all_that_is_wrong_with_it_and_where():
    event = example(contract("order.created").schema)
    event |= {"amount": 1200.5, "currrency": "USD", "lines": [{"line_id": "L1", "quantity": "1,5"}]}
    del event["digest"]
    with pytest.raises(ContractError) as raised:
        read_event(event)
    said = str(raised.value)
    assert said.startswith(f"{contract('order.created').name}: ")
    assert "digest is missing: it is required" in said
    assert 'amount 1200.5 is not a decimal as text, such as "1200.50"' in said
    assert "lines.0.quantity '1,5' is not a decimal as text" in said
    assert "currrency is no field of this event: take it out, or correct its name" in said


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ([], "an event is a JSON object, not list"),
        ({}, "the event has no type"),
        ({"type": "order.created"}, "the event has no contract_version"),
        (
            {"type": "order.lost", "contract_version": "1.0.0"},
            "'order.lost' is no type of event; there are order.created",
        ),
        ({"type": "order.created", "contract_version": "9.0.0"}, "order.created has no version 9.0.0; it has 1.0.0"),
    ],
)
def test_what_names_no_contract_is_told_which_there_are(event, said):
    assert said in str(problems(event)[0])


def test_an_event_of_python_values_is_the_event_of_their_notation():
    written = example(contract("order.created").schema)
    lines = [written["lines"][0] | {"amount": Decimal("1200.50")}]
    values = written | {"time": datetime(2026, 3, 2, 9, tzinfo=UTC), "amount": Decimal("1200.5000"), "lines": lines}
    assert read_event(values) == read_event(written)
    assert read_event(values).model_dump(mode="json", exclude_none=True) == written
    with pytest.raises(ContractError, match="time has no time zone"):
        read_event(written | {"time": datetime(2026, 3, 2, 9)})  # noqa: DTZ001 - what is refused
    with pytest.raises(ContractError, match="29 digits"):
        read_event(written | {"amount": Decimal("0.1234567891")})


def test_an_id_is_a_function_of_source_entity_kind_stamp_and_digest():
    time = datetime(2026, 3, 2, 9, tzinfo=UTC)
    text = "3:crm18:crm/opportunity/D111:sales_order16:17724420000000001:a"
    assert event_id("crm", "crm/opportunity/D1", "sales_order", time, "a") == hashlib.sha256(text.encode()).hexdigest()


class _Payment(Event):
    amount: Annotated[Amount, meaning("What was paid.", owner="finance", unit="currency", example="7")]


class PaymentReceivedV1(_Payment):
    """Money came in."""

    type: Annotated[Literal["payment.received"], TYPE]
    contract_version: Annotated[Literal["1.0.0"], VERSION]


class PaymentReceivedAgain(PaymentReceivedV1):
    """The same version twice."""


def test_another_type_of_event_is_one_more_model_and_nothing_else():
    from meshline_dagster.contracts import odcs, page, vectors

    [one] = contracts_of([PaymentReceivedV1])
    assert one.name == "payment.received@1.0.0"
    made = vectors.vectors(one)
    for vector in made["valid"]:
        assert (by_schema(one, vector["event"]), problems(vector["event"], [one])) == ([], ())
    for vector in made["invalid"]:
        assert by_schema(one, vector["event"]), vector["name"]
        assert problems(vector["event"], [one]), vector["name"]
    assert "payment.received" in odcs.document(one)
    assert "What was paid." in page.page([*newest().values(), one], [*contracts(), one])


def test_a_row_has_nulls_in_the_columns_of_other_types():
    event = example(contract("order.created").schema)
    assert read_row(event | {"paid_on": None}) == read_event(event)
    with pytest.raises(ContractError, match="paid_on is no field of this event"):
        read_row(event | {"paid_on": "2026-03-02"})


def test_two_models_of_one_version_or_a_model_of_none_are_refused_by_name():
    with pytest.raises(
        ConfigError, match=r"payment\.received@1\.0\.0 is claimed by PaymentReceivedV1 and PaymentReceivedAgain"
    ):
        contracts_of([PaymentReceivedV1, PaymentReceivedAgain])
    with pytest.raises(ConfigError, match=r"_Payment\.type says no single value"):
        contracts_of([_Payment])
