"""The JSON Schema of a model of an event: what everything else is generated from and compared by.

Written flat: no references, a field that may be null has a list of types, and only words that :mod:`fields` or JSON Schema 2020-12 define.
"""

from collections.abc import Mapping
from typing import Any, Final

from meshline_dagster.core.events.event import Event
from meshline_dagster.core.events.fields import OWNER

__all__ = ["DIALECT", "NULL", "Schema", "is_nullable", "schema_of", "types_of"]

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
NULL: Final = "null"
_REFERENCE: Final = "#/$defs/"
_LEFT_OUT: Final = frozenset({"title", "default"})
_ORDER: Final = (
    "type",
    "description",
    "const",
    "enum",
    "format",
    "pattern",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
)

Schema = Mapping[str, Any]


def schema_of(model: type[Event], name: str, version: str) -> Schema:
    """The schema of one type and version, with the model's docstring as its description."""
    raw = model.model_json_schema(mode="validation")
    definitions = raw.get("$defs", {})
    flat = _flat(
        {key: raw[key] for key in ("properties", "required", "additionalProperties")} | {"type": "object"}, definitions
    )
    return {
        "$schema": DIALECT,
        "$id": f"urn:meshline:event:{name}:{version}",
        "title": name,
        "description": " ".join((model.__doc__ or "").split()),
        OWNER: model.owner,
        **flat,
    }


def types_of(schema: Schema) -> tuple[str, ...]:
    """The JSON types that a field may have, ``null`` left out."""
    said = schema.get("type", ())
    return tuple(one for one in ([said] if isinstance(said, str) else said) if one != NULL)


def is_nullable(schema: Schema) -> bool:
    """Whether a field may be null."""
    said = schema.get("type", ())
    return said == NULL or (not isinstance(said, str) and NULL in said)


def _flat(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """Without references, titles and defaults, in one order of words."""
    merged = dict(schema)
    if "$ref" in merged:
        merged = {**definitions[merged.pop("$ref").removeprefix(_REFERENCE)], **merged}
    if "anyOf" in merged:
        merged = _one_type(merged, definitions)
    merged = {key: value for key, value in merged.items() if key not in _LEFT_OUT}
    if "items" in merged:
        merged["items"] = _flat(merged["items"], definitions)
    if "properties" in merged:
        merged["properties"] = {name: _flat(one, definitions) for name, one in merged["properties"].items()}
    first = {key: merged.pop(key) for key in _ORDER if key in merged}
    return first | {key: merged[key] for key in sorted(merged)}


def _one_type(schema: dict[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """What is one thing or null as a list of types."""
    [one] = [_flat(choice, definitions) for choice in schema.pop("anyOf") if choice != {"type": NULL}]
    merged = {**one, **schema, "type": [one["type"], NULL]}
    if "const" in merged:
        merged["enum"] = [merged.pop("const")]
    if "enum" in merged:
        merged["enum"] = [*merged["enum"], None]
    return merged
