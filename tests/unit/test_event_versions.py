"""Versions of contracts: what a change amounts to, what a version has to cover, and how older events come up to the newest."""

import copy
import json
from typing import Annotated, Literal

import pytest

from meshline_dagster.contracts.releases import release, released, violations
from meshline_dagster.contracts.vectors import example
from meshline_dagster.core.errors import ConfigError, ContractError, RefusedError
from meshline_dagster.core.events.compatibility import changes, level_of, refusal
from meshline_dagster.core.events.event import VERSION
from meshline_dagster.core.events.fields import Text, meaning
from meshline_dagster.core.events.registry import contract, contracts, contracts_of
from meshline_dagster.core.events.types.orders import OrderCreatedV1
from meshline_dagster.core.events.upcasting import upcast
from meshline_dagster.core.events.versions import Level, Version

CREATED = contract("order.created", "1.0.0").schema


class OrderCreatedV11(OrderCreatedV1):
    """With a channel, optional."""

    contract_version: Annotated[Literal["1.1.0"], VERSION]
    channel: Annotated[Text | None, meaning("How it was sold.", owner="revops", example="partner")] = None


class OrderCreatedV2(OrderCreatedV11):
    """The channel is required, and what had none was sold directly."""

    contract_version: Annotated[Literal["2.0.0"], VERSION]
    channel: Annotated[Text, meaning("How it was sold.", owner="revops", example="partner")]

    @classmethod
    def from_previous(cls, older):
        return {**older, "channel": older.get("channel") or "direct"}


class OrderCreatedStepless(OrderCreatedV11):
    """A major version that forgets those before it."""

    contract_version: Annotated[Literal["2.0.0"], VERSION]
    channel: Annotated[Text, meaning("How it was sold.", owner="revops", example="partner")]


class OrderCreatedBroken(OrderCreatedV1):
    """A breaking change under a minor version."""

    contract_version: Annotated[Literal["1.1.0"], VERSION]
    currency: Annotated[Text, meaning("Its currency.", owner="finance", example="USD")]


class OrderCreatedDemanding(OrderCreatedV1):
    """A field that may be null, but no longer left out."""

    contract_version: Annotated[Literal["1.1.0"], VERSION]
    po_number: Annotated[Text | None, meaning("The customer's order number.", owner="revops", example="PO-7")]


class OrderCreatedChanged(OrderCreatedV1):
    """A released version that was changed in place."""

    currency: Annotated[Text, meaning("Its currency.", owner="finance", example="USD")]


def altered(change):
    """CREATED after a change of its fields and of what is required of them."""
    schema = copy.deepcopy(dict(CREATED))
    change(schema["properties"], schema["required"], schema["properties"]["lines"]["items"])
    return schema


CASES = {
    "optional, added": (lambda f, r, n: f.update(x={"type": ["string", "null"]}), Level.MINOR, "x: added, optional"),
    "required, added": (
        lambda f, r, n: (f.update(x={"type": "string"}), r.append("x")),
        Level.MAJOR,
        "x: added and required; older events lack it",
    ),
    "required though it may be null, added": (
        lambda f, r, n: (f.update(x={"type": ["string", "null"]}), r.append("x")),
        Level.MAJOR,
        "x: added and required; older events lack it",
    ),
    "newly required though it may be null": (
        lambda f, r, n: r.append("po_number"),
        Level.MAJOR,
        "po_number: newly required; older events may lack it",
    ),
    "null no more, left out as before": (
        lambda f, r, n: f["po_number"].update(type="string"),
        Level.MAJOR,
        "po_number: may be null no more; older events may have it so",
    ),
    "null where there was always a value": (
        lambda f, r, n: f["order_id"].update(type=["string", "null"]),
        Level.MAJOR,
        "order_id: may be null now; a reader may rely on a value",
    ),
    "removed": (lambda f, r, n: f.pop("subject"), Level.MAJOR, "subject: removed; a reader misses it"),
    "retyped": (
        lambda f, r, n: f["position"].update(type="string"),
        Level.MAJOR,
        "position: retyped from integer to string",
    ),
    "another format": (
        lambda f, r, n: f["booking_date"].update(format="date-time"),
        Level.MAJOR,
        "booking_date: retyped from date to date-time",
    ),
    "newly required": (
        lambda f, r, n: (f["currency"].update(type="string"), r.append("currency")),
        Level.MAJOR,
        "currency: newly required; older events may lack it",
    ),
    "no longer required": (
        lambda f, r, n: r.remove("order_id"),
        Level.MAJOR,
        "order_id: may be missing now; a reader may rely on it",
    ),
    "enumeration, widened": (
        lambda f, r, n: (f["status"].pop("const"), f["status"].update(enum=["open", "paused"])),
        Level.MINOR,
        "status: widened: paused is a value too",
    ),
    "enumeration, narrowed": (
        lambda f, r, n: (f["status"].pop("const"), f["status"].update(enum=["live"])),
        Level.MAJOR,
        "status: narrowed: open is no value any more; older events have it",
    ),
    "enumeration, new": (
        lambda f, r, n: f["currency"].update(enum=["USD", None]),
        Level.MAJOR,
        "currency: narrowed to USD",
    ),
    "enumeration, gone": (
        lambda f, r, n: f["specversion"].pop("const"),
        Level.MAJOR,
        "specversion: may be anything now; a reader knows 1.0",
    ),
    "form, new": (
        lambda f, r, n: f["currency"].update(pattern="^[A-Z]{3}$"),
        Level.MAJOR,
        "currency: narrowed to the form ^[A-Z]{3}$",
    ),
    "form, gone": (
        lambda f, r, n: f["entity_key"].pop("pattern"),
        Level.MAJOR,
        "entity_key: may have another form than ^",
    ),
    "another form": (lambda f, r, n: f["id"].update(pattern="^[0-9]+$"), Level.MAJOR, "id: its form was"),
    "bound, new": (
        lambda f, r, n: f["amount"].update({"x-minimum": "0"}),
        Level.MAJOR,
        "narrowed: its minimum was none and is 0",
    ),
    "bound, wider": (
        lambda f, r, n: n["properties"]["line_id"].update(maxLength=5) or f["lines"].update(minItems=0),
        Level.MAJOR,
        "lines[].line_id: narrowed: its maxLength was none and is 5",
    ),
    "unit": (
        lambda f, r, n: f["amount"].update({"x-unit": "cents"}),
        Level.MAJOR,
        "amount: its unit was currency and is cents: the numbers mean something else",
    ),
    "unique no more": (lambda f, r, n: f["id"].pop("x-unique"), Level.MAJOR, "id: is unique no more"),
    "in a line": (
        lambda f, r, n: n["properties"].pop("discount"),
        Level.MAJOR,
        "lines[].discount: removed; a reader misses it",
    ),
    "a word of JSON Schema that nobody judges": (
        lambda f, r, n: f["currency"].update({"not": {"const": "X"}}),
        Level.MAJOR,
        "currency: not was none and is",
    ),
    "meaning": (
        lambda f, r, n: f["currency"].update(description="Money."),
        Level.PATCH,
        "currency: other words: description",
    ),
    "owner": (lambda f, r, n: f["currency"].update({"x-owner": "revops"}), Level.PATCH, "currency: other words: owner"),
    "the version": (lambda f, r, n: f["contract_version"].update(const="1.0.1"), Level.NONE, ""),
}


@pytest.mark.parametrize("case", CASES)
def test_a_change_is_as_far_reaching_as_what_it_does_to_readers_and_to_older_events(case):
    change, level, said = CASES[case]
    found = changes(CREATED, altered(change))
    assert level_of(found) is level
    assert said in "\n".join(map(str, found))


def test_a_bound_that_goes_back_is_wider_and_what_is_breaking_comes_first():
    bounded = altered(lambda f, _, __: f["lines"].update(maxItems=5))
    assert [str(one) for one in changes(bounded, CREATED)] == ["lines: widened: its maxItems was 5 and is none"]
    mixed = altered(lambda f, _, __: (f.update(x={"type": ["string", "null"]}), f.pop("subject")))
    assert [one.field for one in changes(CREATED, mixed)] == ["subject", "x"]


def test_a_field_that_could_have_no_value_may_have_none_in_the_other_way_too():
    known_as_null = altered(lambda f, r, _: r.append("po_number"))
    assert [(str(one), one.level) for one in changes(known_as_null, CREATED)] == [
        ("po_number: may be missing now; a reader knows it as null", Level.MINOR)
    ]
    known_as_missing = altered(lambda f, _, __: f["po_number"].update(type="string"))
    assert [(str(one), one.level) for one in changes(known_as_missing, CREATED)] == [
        ("po_number: may be null now; a reader knows it as missing", Level.MINOR)
    ]


def test_a_model_whose_optional_field_loses_its_default_is_breaking(tmp_path):
    (tmp_path / "order.created@1.0.0.json").write_text(json.dumps(CREATED))
    [said] = violations(tmp_path, contracts_of([OrderCreatedV1, OrderCreatedDemanding]))
    assert "the change is major: po_number: newly required; older events may lack it" in said


TAGS = {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}}


@pytest.mark.parametrize(
    ("items", "level", "said"),
    [
        ({"type": "integer"}, Level.MAJOR, "tags[]: retyped from string to integer"),
        ({"type": "object", "properties": {}}, Level.MAJOR, "tags[]: retyped from string to object"),
        ({}, Level.MAJOR, "tags[]: retyped from string to anything"),
        ({"type": "string"}, Level.MAJOR, "tags[]: may be anything now; a reader knows a, b"),
        ({"type": "string", "enum": ["a"]}, Level.MAJOR, "tags[]: narrowed: b is no value any more"),
        ({"type": "string", "enum": ["a", "b", "c"]}, Level.MINOR, "tags[]: widened: c is a value too"),
        ({"type": ["string", "null"], "enum": ["a", "b", None]}, Level.MAJOR, "tags[]: may be null now"),
        ({**TAGS["items"], "description": "A tag."}, Level.PATCH, "tags[]: other words: description"),
    ],
)
def test_the_values_in_a_list_are_compared_as_a_field_is(items, level, said):
    tagged, other = (altered(lambda f, _, __, one=one: f.update(tags=one)) for one in (TAGS, {**TAGS, "items": items}))
    [found] = changes(tagged, other)
    assert (found.level, str(found).startswith(said)) == (level, True), str(found)
    assert changes(tagged, tagged) == []


def test_a_form_that_says_no_more_than_the_bounds_is_compared_by_them():
    cancelled = contract("order.cancelled", "1.0.0").schema["properties"]["amount"]
    nothing = altered(lambda f, _, __: f["amount"].update({**cancelled, "type": f["amount"]["type"]}))
    assert {(one.level, one.what.partition(":")[0]) for one in changes(nothing, CREATED)} >= {(Level.MINOR, "widened")}
    assert level_of(changes(nothing, CREATED)) is Level.MINOR

    def bounded(form):
        return altered(lambda f, _, __: f["amount"].update({"x-minimum": "0", "pattern": form}))

    plain = CREATED["properties"]["amount"]["pattern"]
    assert [str(one) for one in changes(bounded(plain), bounded("^[0-9]{1,3}$"))] == [
        f"amount: its form was {plain} and is ^[0-9]{{1,3}}$; whether that is wider cannot be told"
    ]


def test_a_version_covers_what_it_changes_or_is_refused():
    def versioned(version, change=lambda *_: None):
        return altered(lambda f, r, n: (f["contract_version"].update(const=version), change(f, r, n)))

    added, removed = CASES["optional, added"][0], CASES["removed"][0]
    assert refusal(CREATED, versioned("1.0.0", CASES["meaning"][0])) is None
    assert refusal(CREATED, versioned("1.1.0", added)) is None
    assert refusal(CREATED, versioned("2.0.0", removed)) is None
    assert "1.0.0 to 1.0.1 is patch, and the change is minor: x: added" in refusal(CREATED, versioned("1.0.1", added))
    assert "1.0.0 to 1.9.0 is minor, and the change is major: subject" in refusal(CREATED, versioned("1.9.0", removed))
    assert "1.0.0 to 0.9.0 is none" in refusal(CREATED, versioned("0.9.0", removed))


def test_what_is_no_contract_or_another_type_is_not_compared():
    with pytest.raises(ConfigError, match=r"order\.created and order\.amended are different types"):
        changes(CREATED, contract("order.amended").schema)
    with pytest.raises(ConfigError, match="no JSON Schema of an event"):
        changes(CREATED, {"type": "object"})
    for text in ("1.0", "1.0.0-rc1", "01.0.0", "x"):
        with pytest.raises(ConfigError, match="is no version"):
            Version.parse(text)


def test_no_model_breaks_what_was_released():
    assert violations() == []
    kept = {(event_type, version) for event_type, versions in released().items() for version in versions}
    assert {("order.created", Version(1, 0, 0)), ("order.amended", Version(1, 0, 0))} < kept
    assert kept <= {(one.event_type, one.version) for one in contracts()}


@pytest.mark.parametrize(
    ("models", "said"),
    [
        ([OrderCreatedV1, OrderCreatedV11], None),
        ([OrderCreatedV1, OrderCreatedV11, OrderCreatedV2], None),
        ([OrderCreatedV1, OrderCreatedV2], None),
        (
            [OrderCreatedV1, OrderCreatedBroken],
            "1.0.0 to 1.1.0 is minor, and the change is major: currency: newly required",
        ),
        (
            [OrderCreatedChanged],
            "order.created@1.0.0 is released and its model is another now (currency: newly required",
        ),
        ([OrderCreatedV11], "order.created@1.0.0 was released and has no model any more"),
        ([OrderCreatedV1, OrderCreatedStepless], "does not say in `from_previous` what becomes of an event of 1.0.0"),
    ],
)
def test_a_breaking_change_without_a_major_version_is_a_violation(tmp_path, models, said):
    (tmp_path / "order.created@1.0.0.json").write_text(json.dumps(CREATED))
    found = violations(tmp_path, contracts_of(models))
    assert found == [] if said is None else said in "\n".join(found)


def test_a_release_keeps_a_version_once(tmp_path):
    path = release("order.created", tmp_path)
    assert json.loads(path.read_text()) == contract("order.created").schema
    with pytest.raises(RefusedError, match=r"order\.created@.* is released already"):
        release("order.created", tmp_path)
    path.write_text(json.dumps(altered(CASES["removed"][0]) | {"$id": "x"}))
    path.rename(tmp_path / "order.created@0.9.0.json")
    with pytest.raises(RefusedError, match="has no model any more"):
        release("order.created", tmp_path)


def test_an_older_event_comes_up_to_the_newest_version_step_by_step():
    known = contracts_of([OrderCreatedV1, OrderCreatedV11, OrderCreatedV2])
    old = example(CREATED)
    lifted = upcast(old, known)
    assert type(lifted) is OrderCreatedV2
    assert lifted.channel == "direct"
    assert lifted.model_dump(mode="json", exclude_none=True) == old | {"contract_version": "2.0.0", "channel": "direct"}
    partner = upcast(old | {"contract_version": "1.1.0", "channel": "partner"}, known)
    assert partner.channel == "partner"
    assert upcast(partner.model_dump(), known) == partner


def test_what_breaks_its_own_contract_or_has_no_step_is_not_lifted():
    known = contracts_of([OrderCreatedV1, OrderCreatedStepless])
    with pytest.raises(ConfigError, match="OrderCreatedStepless does not say in `from_previous`"):
        upcast(example(CREATED), known)
    with pytest.raises(ContractError, match="digest is missing"):
        upcast({name: value for name, value in example(CREATED).items() if name != "digest"})
