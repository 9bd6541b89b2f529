"""The documentation page of the contracts."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from meshline_dagster.contracts.rules import allowed_values
from meshline_dagster.contracts.yaml_text import HEADER
from meshline_dagster.core.events.fields import DECIMAL, FORMAT_NAME, MAXIMUM, MINIMUM, OWNER, UNIQUE, UNIT
from meshline_dagster.core.events.registry import Contract
from meshline_dagster.core.events.schema import Schema, types_of

__all__ = ["page"]

_HEAD = ("field", "kind", "required", "unit", "owner", "meaning")
_KINDS = {DECIMAL: "decimal text", "date": "day", "date-time": "instant"}

_INTRODUCTION = """\
An event is a row of `marts.canonical_events`, where it has a null in each column of other types, or as JSON an object of its own fields.
What one is, by type and version, is one pydantic model in `meshline_dagster/core/events/types/`; everything else here is generated from it:

| what | where |
|---|---|
| JSON Schema (2020-12) | `meshline_dagster/contracts/published/schemas/` |
| the dbt contract of the table: columns, types, constraints | `dbt_project/models/marts/canonical_events.yml` |
| the Soda contract, which the writer obeys | `meshline_dagster/warehouse/contracts/canonical_events.yml` |
| Open Data Contract Standard, 3.1.0 | `meshline_dagster/contracts/published/odcs/` |
| test vectors: valid, invalid, duplicate, idempotency | `meshline_dagster/contracts/published/vectors/` |
| this page | `docs/event_contracts.md` |

`meshline contracts generate` writes them, and a test fails while one is out of step. What is under `meshline_dagster/contracts/published/` is
in the wheel too, where `importlib.resources` finds it.

Decimals are text, never JSON numbers, which are binary floats; instants have their offset; days have no time zone. The unit of a number is the
field that names it, or the unit itself. What is optional may be null or left out, and a field that the contract does not have is refused. A
validator of JSON Schema has to assert formats: that February has no 30th stands in no pattern.

An event says what the source says, right or wrong: one without currency is a valid event, which is reviewed instead of posted. Whether an
event may be posted is its disposition.
"""

_VERSIONS = """\
Versions are semantic, for each type of event by itself, and an event carries its own in `contract_version`.

- **major**: somebody has to change something. A field is removed or newly required, may be null no more, has another type or unit, another form
  or none, another enumeration than one with more values, tighter bounds, or may be missing or null where it always had a value.
- **minor**: who wrote or read the version before goes on. A field is added that may be left out, one that could be null may be left out as well
  or the reverse, an enumeration has a value more, a bound is wider. So a reader takes a value that it does not know for "something else".
- **patch**: descriptions, owners, examples. They may also be mended in place.

`meshline contracts diff OLD NEW` says which it is and why, field by field. What was released is kept in `meshline_dagster/contracts/published/released/`; a model
that differs from it by more than its version allows fails the tests. `meshline contracts release TYPE` adds the newest version to it.

A version is a model of its own, and the older ones stay: `meshline contracts upcast FILE` lifts events that somebody kept, one version at a
time. A minor version needs nothing for that; a major one says in its model's `from_previous` what becomes of the version before. A replay
in Meshline needs neither: it derives all events anew from the landing zone, in the newest version.
"""

_CHANGE = """\
1. Write the model, in a module of `meshline_dagster/core/events/types/`: a new type, or the next version of one as a class of its own.
2. `meshline contracts diff TYPE@1.0.0 TYPE` says what its version has to be.
3. `meshline contracts generate`, and, with the release, `meshline contracts release TYPE`.

`meshline contracts validate FILE` tells of events in a file (JSON, or one a line) what is wrong with them, and which are repetitions.
"""


def page(newest: Sequence[Contract], every: Sequence[Contract]) -> str:
    """The page, in Markdown."""
    common = _common(newest)
    parts = [
        f"<!-- {HEADER} -->",
        "# Event contracts",
        _INTRODUCTION,
        "## Types",
        _table(("type", "version", "owner", "what happened"), _types(newest)),
        "## Fields of all types" if len(newest) > 1 else "## Fields",
        _table(_HEAD, [_row(name, schema, required=required) for name, (schema, required) in common.items()]),
    ]
    for one in newest:
        own = [(name, field, needed) for name, field, needed in _fields(one.schema) if name not in common]
        if own:
            parts += [f"## `{one.event_type}`", f"{one.schema['description']} Beside the fields of all types:"]
            parts += [_table(_HEAD, [_row(name, schema, required=needed) for name, schema, needed in own])]
    for title, records in _records(newest).items():
        rows = [_row(name, schema, required=needed) for name, schema, needed in _fields(records)]
        parts += [f"## Each of `{title}`", str(records["description"]), _table(_HEAD, rows)]
    older = sorted({one.name for one in every} - {one.name for one in newest})
    parts += ["## Versions", _VERSIONS + (f"\nOlder versions: {', '.join(older)}.\n" if older else "")]
    parts += ["## To change a contract", _CHANGE]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _types(newest: Sequence[Contract]) -> list[tuple[str, ...]]:
    return [(f"`{one.event_type}`", str(one.version), one.schema[OWNER], one.schema["description"]) for one in newest]


def _fields(schema: Schema) -> Iterator[tuple[str, Schema, bool]]:
    for name, one in schema["properties"].items():
        yield name, one, name in schema.get("required", ())


def _common(newest: Sequence[Contract]) -> Mapping[str, tuple[Schema, bool]]:
    """What is the same in all types."""
    found = [{name: (schema, needed) for name, schema, needed in _fields(one.schema)} for one in newest]
    first = found[0]
    return {name: value for name, value in first.items() if all(_same(value, other.get(name)) for other in found)}


def _same(one: tuple[Schema, bool], other: tuple[Schema, bool] | None) -> bool:
    return other is not None and other[1] == one[1] and _said(other[0]) == _said(one[0])


def _said(schema: Schema) -> dict[str, Any]:
    return {name: value for name, value in schema.items() if name != "examples"}


def _records(newest: Sequence[Contract]) -> Mapping[str, Schema]:
    return {
        name: field["items"]
        for one in newest
        for name, field, _ in _fields(one.schema)
        if types_of(field) == ("array",)
    }


def _row(name: str, schema: Schema, *, required: bool) -> tuple[str, ...]:
    return (
        f"`{name}`",
        _kind(schema),
        "yes" if required else "",
        schema.get(UNIT, ""),
        schema[OWNER],
        schema["description"],
    )


def _kind(schema: Schema) -> str:
    values = allowed_values(schema)
    if values is not None:
        return " or ".join(f"`{value}`" for value in values)
    [one] = types_of(schema)
    kind = {"array": "list", "string": "text"}.get(one, one)
    said = [_KINDS.get(schema.get("format", ""), kind)]
    if schema.get("maxItems") == 0:
        return "empty list"
    if MINIMUM in schema and schema[MINIMUM] == schema.get(MAXIMUM):
        return f"{said[0]}, always {schema[MINIMUM]}"
    bounds = (
        (("minimum", MINIMUM), "at least"),
        (("maximum", MAXIMUM), "at most"),
        (("minItems",), "at least"),
        (("maxItems",), "at most"),
    )
    said += [f"{words} {schema[keyword]}" for keywords, words in bounds for keyword in keywords if keyword in schema]
    said += [str(schema[FORMAT_NAME])] if FORMAT_NAME in schema else []
    return ", ".join(said + (["unique"] if schema.get(UNIQUE) else []))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
