"""What changed between two schemas of a feed, in words."""

from collections.abc import Mapping
from typing import Any

__all__ = ["schema_changes"]

_ATTRIBUTES = ("type", "source_type", "nullable", "length", "precision", "scale", "picklist")


def schema_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """One line for each field that was added, removed or changed.

    Args:
        before: a schema as :meth:`~meshline_dagster.crm.protocol.FeedSchema.as_json` gives it.
        after: the one that took its place.
    """
    old = {field["name"]: field for field in before["fields"]}
    new = {field["name"]: field for field in after["fields"]}
    lines = [f"{name} was added ({new[name]['source_type']})" for name in new if name not in old]
    lines += [f"{name} was removed ({old[name]['source_type']})" for name in old if name not in new]
    for name in old.keys() & new.keys():
        changed = [key for key in _ATTRIBUTES if old[name].get(key) != new[name].get(key)]
        lines += [f"{name}: {key} {old[name].get(key)} became {new[name].get(key)}" for key in changed]
    return sorted(lines)
