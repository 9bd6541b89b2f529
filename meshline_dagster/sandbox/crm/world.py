"""A world: every version of every record that a sandbox CRM will ever show, and what must come out of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from meshline_dagster.sandbox.crm.objects import OBJECTS
from meshline_dagster.sandbox.crm.records import Version, instant_text, stamp_of

__all__ = ["World", "WorldBuilder"]


@dataclass(frozen=True, slots=True)
class World:
    """What a sandbox serves.

    Attributes:
        name: names it in logs and answers.
        versions: object name -> all versions.
        now: where its clock starts unless told otherwise, UTC.
        ground_truth: plain JSON; what a correct pipeline makes of it.
    """

    name: str
    versions: Mapping[str, Sequence[Version]]
    now: datetime
    ground_truth: Mapping[str, Any] = field(default_factory=dict)


class WorldBuilder:
    """Collects versions; fields that are left out are null, and later versions inherit from earlier ones."""

    def __init__(self) -> None:
        self._versions: dict[str, list[Version]] = {name: [] for name in OBJECTS}
        self._latest: dict[str, dict[str, Any]] = {}

    def put(self, object_name: str, record_id: str, moment: datetime, **values: Any) -> str:
        """Add the version of ``moment``; calls for one record must come in the order of time. Returns the id."""
        stamp = stamp_of(moment)
        text = instant_text(stamp)
        before = self._latest.get(record_id)
        if before is None:
            before = dict.fromkeys(OBJECTS[object_name].fields) | {"IsDeleted": False, "CreatedDate": text}
        unknown = values.keys() - before.keys()
        if unknown:
            raise ValueError(f"{object_name} has no field {', '.join(sorted(unknown))}")
        record = before | values | {"Id": record_id, "LastModifiedDate": text, "SystemModstamp": text}
        self._latest[record_id] = record
        self._versions[object_name].append(Version(record_id, stamp, record))
        return record_id

    def build(self, name: str, now: datetime, ground_truth: Mapping[str, Any] | None = None) -> World:
        """The finished world."""
        return World(name, self._versions, now, ground_truth or {})
