"""The contract of an event as an Open Data Contract Standard document, version 3.1.0 (Bitol, https://bitol-io.github.io/open-data-contract-standard/)."""

from collections.abc import Iterator, Mapping
from typing import Any

from meshline_dagster.contracts import mart
from meshline_dagster.contracts.rules import allowed_values, sql_type
from meshline_dagster.contracts.yaml_text import yaml_text
from meshline_dagster.core.events.fields import DECIMAL, OWNER, UNIQUE, UNIT
from meshline_dagster.core.events.registry import Contract
from meshline_dagster.core.events.schema import Schema, is_nullable, types_of

__all__ = ["API_VERSION", "document"]

API_VERSION = "v3.1.0"

_TYPES = {"integer": "integer", "boolean": "boolean", "array": "array", "object": "object", "string": "string"}
_FORMATS = {DECIMAL: "number", "date": "date", "date-time": "timestamp"}


def document(contract: Contract) -> str:
    """One document for one type and version of an event, whose schema is the event."""
    schema = contract.schema
    columns = schema["properties"]
    return yaml_text(
        {
            "apiVersion": API_VERSION,
            "kind": "DataContract",
            "id": schema["$id"],
            "name": contract.event_type,
            "version": str(contract.version),
            "status": "active",
            "domain": "revenue operations",
            "description": {
                "purpose": schema["description"],
                "usage": f"A row of {mart.SCHEMA}.{mart.NAME} whose type is {contract.event_type}, or an object of the same fields as JSON.",
                "limitations": "It says what the source says. Whether it may be posted is its disposition, in event_dispositions.",
            },
            "schema": [
                {
                    "name": contract.event_type,
                    "physicalName": f"{mart.SCHEMA}.{mart.NAME}",
                    "logicalType": "object",
                    "physicalType": "table",
                    "description": schema["description"],
                    "dataGranularityDescription": "One state of one entity.",
                    "properties": [
                        _property(name, one, required=name in schema["required"]) for name, one in columns.items()
                    ],
                }
            ],
            "team": {"name": schema[OWNER]},
        }
    )


def _property(name: str, schema: Schema, *, required: bool) -> dict[str, Any]:
    said: dict[str, Any] = {"name": name, **_kind(schema), "physicalType": sql_type(name, schema)}
    said["required"] = required and not is_nullable(schema)
    if schema.get(UNIQUE):
        said |= {"unique": True, "primaryKey": True, "primaryKeyPosition": 1}
    said["description"] = schema["description"]
    options = dict(_options(schema))
    if options:
        said["logicalTypeOptions"] = options
    if "examples" in schema:
        said["examples"] = list(schema["examples"])
    if types_of(schema) == ("array",):
        said["items"] = _items(schema["items"])
    said["customProperties"] = list(_custom(schema))
    return said


def _kind(schema: Schema) -> Mapping[str, str]:
    [one] = types_of(schema)
    return {"logicalType": _FORMATS.get(schema.get("format", ""), _TYPES[one])}


def _items(schema: Schema) -> dict[str, Any]:
    required = schema.get("required", ())
    return {
        "name": "item",
        "logicalType": "object",
        "description": schema["description"],
        "properties": [
            _property(name, one, required=name in required) for name, one in schema.get("properties", {}).items()
        ],
    }


def _options(schema: Schema) -> Iterator[tuple[str, Any]]:
    """What the standard has words for; of a text's pattern only where it is no notation of something else."""
    if "format" not in schema and "pattern" in schema:
        yield "pattern", schema["pattern"]
    names = ("minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems")
    yield from ((name, schema[name]) for name in names if name in schema)


def _custom(schema: Schema) -> Iterator[dict[str, Any]]:
    yield {"property": "owner", "value": schema[OWNER]}
    if UNIT in schema:
        yield {"property": "unit", "value": schema[UNIT]}
    values = allowed_values(schema)
    if values is not None:
        yield {"property": "enumeration", "value": list(values)}
