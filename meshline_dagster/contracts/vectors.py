"""Test vectors of a contract, made of its schema and the examples in it: what a reader or writer of events in any language can be tested by.

``valid`` and ``invalid`` are single events. ``form`` tells what an invalid one is wrong in: in a ``value``, which a table can hold as well
and refuses, or in the ``notation`` of its JSON, which a table cannot have. ``duplicates`` and ``idempotency`` are events in a row, with what
each is to somebody who has seen those before it (:class:`~meshline_dagster.core.events.repeats.Repeat`).
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from meshline_dagster.contracts.rules import allowed_values
from meshline_dagster.core.events.fields import DECIMAL, FORMAT_NAME, MAXIMUM
from meshline_dagster.core.events.identity import event_id
from meshline_dagster.core.events.registry import Contract
from meshline_dagster.core.events.repeats import Repeat
from meshline_dagster.core.events.schema import Schema, is_nullable, types_of

__all__ = ["example", "example_record", "vectors"]

_Vector = dict[str, Any]

_NOTATIONS: Mapping[str, tuple[tuple[str, Any, str], ...]] = {
    DECIMAL: (
        ("a number instead of text", 1200.5, "a JSON number is a binary float; decimals are text"),
        ("a decimal comma", "1200,50", "the decimal point is a point"),
        ("an exponent", "1.2e3", "decimals are written without an exponent"),
        ("ten decimals", "0.1234567891", "there are at most nine digits after the point"),
    ),
    "date": (
        ("a day that is not there", "2026-02-30", "February has no 30th"),
        ("a day as it is written elsewhere", "02.03.2026", "days are ISO 8601: year, month, day"),
    ),
    "date-time": (
        ("an instant without offset", "2026-03-02T09:00:00", "an instant has its offset, or Z"),
        ("an instant as seconds", 1772442000, "an instant is RFC 3339 text"),
    ),
    "boolean": (("a flag as text", "true", "true and false stand without quotes"),),
    "integer": (
        ("a number as text", "1", "whole numbers stand without quotes"),
        ("a number beyond 31 bits", 2**31, "whole numbers are at most 2147483647"),
    ),
    "string": (("a text as number", 7, "texts stand in quotes"),),
}


def vectors(contract: Contract) -> Mapping[str, Any]:
    """All vectors of one contract."""
    schema = contract.schema
    return {
        "contract": schema["$id"],
        "valid": list(_valid(schema)),
        "invalid": [*_wrong_values(schema), *_wrong_notations(schema)],
        "duplicates": list(_duplicates(schema)),
        "idempotency": list(_idempotency(schema)),
    }


def example(schema: Schema, *, optional: bool = True) -> _Vector:
    """An event that fulfils a schema: its examples, under the id that they have together.

    Args:
        optional: with the fields that may be left out.
    """
    found = example_record(schema, optional=optional)
    return found | {"id": _id(found)}


def _id(event: Mapping[str, Any]) -> str:
    time = datetime.fromisoformat(event["time"])
    return event_id(event["source"], event["entity_key"], event["document_kind"], time, event["digest"])


def example_record(schema: Schema, *, optional: bool = True) -> _Vector:
    """A record that fulfils the schema of a list's items, as :func:`example`."""
    wanted = {name: one for name, one in schema["properties"].items() if optional or name in schema["required"]}
    return {name: _value(one, optional=optional) for name, one in wanted.items()}


def _value(schema: Schema, *, optional: bool) -> Any:
    values = allowed_values(schema)
    if values is not None:
        return values[0]
    if types_of(schema) == ("array",):
        many = optional and schema.get("maxItems", 1) > 0
        return [example_record(schema["items"], optional=optional)] if many or schema.get("minItems", 0) else []
    if types_of(schema) == ("object",):
        return example_record(schema, optional=optional)
    return schema["examples"][0] if "examples" in schema else schema["minimum"]


def _valid(schema: Schema) -> Iterator[_Vector]:
    full, least = example(schema), example(schema, optional=False)
    empty = {name: None for name in schema["properties"] if name not in schema["required"]}
    yield {"name": "everything said", "reason": "each field has a value of its kind", "event": full}
    yield {"name": "the least", "reason": "what is optional may be left out", "event": least}
    yield {"name": "nothing optional known", "reason": "what is optional may be null", "event": {**least, **empty}}
    broken = least | {"entity_key": f"{least['entity_key']}\n2"}
    reason = "an id is any text; only source and object have no slash"
    yield {"name": "a line break in an id", "reason": reason, "event": broken | {"id": _id(broken)}}


def _invalid(event: _Vector, field: str, name: str, reason: str, *, form: str = "value") -> _Vector:
    return {"name": name, "field": field, "reason": reason, "form": form, "event": event}


def _wrong_values(schema: Schema) -> Iterator[_Vector]:
    least = example(schema, optional=False)
    for name in schema["required"]:
        without = {one: value for one, value in least.items() if one != name}
        yield _invalid(without, name, f"without {name}", f"{name} is required")
    yield _invalid(least | {"digest": None}, "digest", "digest is null", "digest is required; null is no value")
    for name, one in schema["properties"].items():
        for value, what, reason in _broken(name, one):
            yield _invalid(least | {name: value}, name, what, reason)


def _broken(name: str, schema: Schema) -> Iterator[tuple[Any, str, str]]:
    """Values of the right notation that break a rule of a field, and why."""
    values = allowed_values(schema)
    if values is not None:
        yield _other(values), f"{name} is none of its values", f"{name} is {_listed(values)}"
    if FORMAT_NAME in schema:
        yield "x", f"{name} is of another form", f"{name} is {schema[FORMAT_NAME]}"
    if "minimum" in schema:
        yield schema["minimum"] - 1, f"{name} is too small", f"{name} is at least {schema['minimum']}"
    if MAXIMUM in schema:
        yield f"{schema[MAXIMUM]}.01", f"{name} is too large", f"{name} is at most {schema[MAXIMUM]}"
    if types_of(schema) == ("array",):
        one = example_record(schema["items"], optional=True)
        most = schema.get("maxItems")
        if most is not None:
            yield [one] * (most + 1), f"{name} has too many", f"{name} has at most {most}"
            return
        for member in schema["items"].get("required", ()):
            lacking = {key: value for key, value in one.items() if key != member}
            yield [one, lacking], f"one of {name} without {member}", f"{member} is required in each of {name}"
        for member, what in schema["items"].get("properties", {}).items():
            known = allowed_values(what)
            if known is not None:
                other = one | {member: _other(known)}
                yield [one, other], f"{member} in one of {name} is none of its values", f"{member} is {_listed(known)}"


def _other(values: tuple[Any, ...]) -> Any:
    return max(values) + 1 if isinstance(values[0], int) else "something else"


def _listed(values: tuple[Any, ...]) -> str:
    return " or ".join(map(str, values))


def _wrong_notations(schema: Schema) -> Iterator[_Vector]:
    """What a typed column cannot have: once for each kind of value, at the first field of it."""
    least = example(schema, optional=False)
    done: set[str] = set()
    for name, one in schema["properties"].items():
        kind = _kind(one)
        if kind in _NOTATIONS and kind not in done and allowed_values(one) is None and MAXIMUM not in one:
            done.add(kind)
            for what, value, reason in _NOTATIONS[kind]:
                yield _invalid(least | {name: value}, name, f"{name}: {what}", reason, form="notation")
    yield _invalid(
        least | {"unheard_of": "x"},
        "unheard_of",
        "a field that is none",
        "an event has no other fields",
        form="notation",
    )


def _kind(schema: Schema) -> str:
    return str(schema.get("format") or types_of(schema)[0])


def _sequence(name: str, reason: str, *events: tuple[_Vector, Repeat]) -> _Vector:
    steps = [{"outcome": outcome.value, "event": event} for event, outcome in events]
    return {"name": name, "reason": reason, "events": steps}


def _duplicates(schema: Schema) -> Iterator[_Vector]:
    event = example(schema)
    first = (event, Repeat.NEW)
    yield _sequence("the same event again", "its id was seen", first, (event, Repeat.DUPLICATE))
    written = {name: _rewritten(value, schema["properties"][name]) for name, value in event.items()}
    yield _sequence(
        "the same event, written otherwise", "1200.5 is 1200.50, and Z is +00:00", first, (written, Repeat.DUPLICATE)
    )
    if allowed_values(schema["properties"]["position"]) is None:
        later = event | {"position": event["position"] + 1}
        yield _sequence(
            "the same event at another position",
            "position is a label, which changes when an earlier version surfaces late",
            first,
            (later, Repeat.DUPLICATE),
        )


def _rewritten(value: Any, schema: Schema) -> Any:
    if _kind(schema) == "date-time":
        return value.replace("Z", "+00:00")
    if _kind(schema) == DECIMAL and value is not None:
        return f"{value}0" if "." in value else f"{value}.00"
    return value


def _idempotency(schema: Schema) -> Iterator[_Vector]:
    event = example(schema)
    first = (event, Repeat.NEW)
    other = event | {"source": f"{event['source']}-2", "entity_key": f"{event['source']}-2/opportunity/1"}
    other["id"] = _id(other)
    yield _sequence(
        "the same content of another source", "source and entity are part of the id", first, (other, Repeat.NEW)
    )
    name, value = _enriched(event, schema)
    yield _sequence(
        f"the same id with another {name}",
        "the id covers the source's own fields; what was done with the first stands, and people decide about the difference",
        first,
        (event | {name: value}, Repeat.RESTATED),
    )
    digest = event["digest"][::-1]
    yield _sequence(
        "the same id with another digest",
        "the id is a function of the digest, so that it cannot be that of both",
        first,
        (event | {"digest": digest}, Repeat.CONFLICT),
    )


def _enriched(event: _Vector, schema: Schema) -> tuple[str, Any]:
    """A field that is no part of the identity, with another value than the example has."""
    free = [name for name, one in schema["properties"].items() if is_nullable(one) and types_of(one) == ("string",)]
    plain = [name for name in free if "format" not in schema["properties"][name]]
    name = plain[-1]
    return name, f"{event[name]} too"
