"""Turn an object's ``describe`` answer into schemas: all that is described, and what a feed reads of it.

Describe lists only what the integration user may read: a field hidden by field-level security is simply not there.
"""

from collections.abc import Sequence
from typing import Any

from meshline_dagster.core.errors import SourceError
from meshline_dagster.crm.protocol import FeedSchema, FieldSpec
from meshline_dagster.crm.salesforce_objects import field_type, is_optional, optional_type

__all__ = ["ABSENT", "described_schema", "read_schema"]

ABSENT = "absent"
"""The ``source_type`` of an optional field that the org does not have: its column is null."""


def described_schema(object_name: str, body: Any) -> FeedSchema:
    """Every field that the answer lists.

    Raises:
        SourceError: the answer has not the form of a describe.
    """
    try:
        specs = [_field(item) for item in body["fields"]]
    except (KeyError, TypeError) as error:
        raise SourceError(f"describe of {object_name} answered without usable fields: {str(body)[:200]}") from error
    return FeedSchema(object_name, tuple(sorted(specs, key=lambda spec: spec.name)))


def read_schema(described: FeedSchema, wanted: Sequence[str]) -> FeedSchema:
    """The wanted fields of what is described; optional ones that are missing stay, marked as absent.

    Raises:
        SourceError: a wanted field is neither described nor optional; the message names all of them.
    """
    known = {spec.name: spec for spec in described.fields}
    object_name = described.object_name
    hidden = [name for name in wanted if name not in known and not is_optional(object_name, name)]
    if hidden:
        raise SourceError(
            f"{object_name}: the integration user cannot read {', '.join(sorted(hidden))}: the org has no such field, or "
            "field-level security hides it. Grant read access to the connected app's user, or leave it out of the feed"
        )
    specs = [known.get(name) or FieldSpec(name, optional_type(name), ABSENT) for name in sorted(set(wanted))]
    return FeedSchema(object_name, tuple(specs))


def _field(item: Any) -> FieldSpec:
    values = [entry["value"] for entry in item.get("picklistValues") or () if entry.get("active", True)]
    return FieldSpec(
        name=item["name"],
        type=field_type(item["type"]),
        source_type=item["type"],
        nullable=bool(item.get("nillable", True)),
        length=int(item.get("length") or 0),
        precision=int(item.get("precision") or item.get("digits") or 0),
        scale=int(item.get("scale") or 0),
        picklist=tuple(sorted(values)),
    )
