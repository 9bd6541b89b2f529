"""Turn an object's list of properties into schemas: all that is described, and what a feed reads of it."""

from collections.abc import Sequence
from typing import Any

from meshline_dagster.core.errors import SourceError
from meshline_dagster.crm.hubspot_objects import ASSOCIATIONS, PORTAL_FIELDS, field_type, optional_type
from meshline_dagster.crm.protocol import FeedSchema, FieldSpec, FieldType

__all__ = ["ABSENT", "described_schema", "read_schema"]

ABSENT = "absent"
"""The ``source_type`` of an optional property that the portal does not have: its column is null."""


def described_schema(object_name: str, body: Any) -> FeedSchema:
    """Every property that the answer lists, with the options of enumerations.

    Raises:
        SourceError: the answer has not the form of a list of properties.
    """
    try:
        specs = [_field(item) for item in body["results"] if not item.get("archived", False)]
    except (KeyError, TypeError, AttributeError) as error:
        raise SourceError(f"the properties of {object_name} came in no usable form: {str(body)[:200]}") from error
    return FeedSchema(object_name, tuple(sorted(specs, key=lambda spec: spec.name)))


def read_schema(described: FeedSchema, wanted: Sequence[str]) -> FeedSchema:
    """The wanted properties of what is described, and what rows say besides: their link, and of the portal.

    Raises:
        SourceError: a wanted property is neither described nor optional; the message names all of them.
    """
    known = {spec.name: spec for spec in described.fields}
    object_name = described.object_name
    missing = [name for name in wanted if name not in known and optional_type(name) is None]
    if missing:
        raise SourceError(
            f"{object_name}: the private app cannot read {', '.join(sorted(missing))}: the portal has no such property, or the "
            "app lacks the scope for it. Grant the scope, or leave it out of the feed"
        )
    specs = [
        known.get(name) or FieldSpec(name, optional_type(name) or FieldType.STRING, ABSENT) for name in set(wanted)
    ]
    link = ASSOCIATIONS.get(object_name)
    specs += [FieldSpec(link.field, FieldType.STRING, "association")] if link else []
    specs += [FieldSpec(name, FieldType.STRING, "portal") for name in PORTAL_FIELDS.get(object_name, ())]
    return FeedSchema(object_name, tuple(sorted(specs, key=lambda spec: spec.name)))


def _field(item: Any) -> FieldSpec:
    options = [str(one["value"]) for one in item.get("options") or () if not one.get("hidden", False)]
    return FieldSpec(
        name=item["name"],
        type=field_type(item["name"], item["type"]),
        source_type=item["type"],
        picklist=tuple(sorted(options)),
    )
