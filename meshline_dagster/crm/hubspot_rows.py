"""Records of HubSpot as rows of a feed.

Every property comes as a text, numbers and flags among them; an empty text means that there is no value. A record is kept in one
form whether a list or a search gave it, so that the same observation has the same payload.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from meshline_dagster.core.errors import SourceError
from meshline_dagster.crm.columns import convert, table_schema
from meshline_dagster.crm.protocol import FieldSpec, FieldType

__all__ = ["Record", "instant_of", "milliseconds", "table_of"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Record:
    """One record as read.

    Attributes:
        id: its number, as text.
        stamp: of the change.
        properties: as they came.
        links: ids of the other object with HubSpot's types of each link, where the object has such a link.
        more: columns that come from elsewhere, by name.
    """

    id: str
    stamp: datetime
    properties: Mapping[str, Any]
    links: Mapping[str, Sequence[int]] | None = None
    more: Mapping[str, str | None] = field(default_factory=dict)

    def payload(self, names: Sequence[str]) -> str:
        """Canonical JSON: the id, the properties of these names, the links; null where one has no value."""
        content: dict[str, Any] = {"id": self.id, "properties": {name: self.properties.get(name) for name in names}}
        if self.links is not None:
            content["links"] = {one: sorted(types) for one, types in self.links.items()}
        return json.dumps(content | dict(self.more), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def table_of(records: Sequence[Record], fields: Sequence[FieldSpec], names: Sequence[str], feed: str) -> pa.Table:
    """The records as one table, in ``(stamp, id)`` order.

    A number, day or instant that does not fit its column (people may enter a year 20206) is null there, lest one record stop all others;
    its text is in the payload.

    Args:
        names: the properties that were asked for.
        feed: whose records these are, for error messages.

    Raises:
        SourceError: a flag does not fit; null would mean that it is not set.
    """
    ordered = sorted(records, key=lambda one: (one.stamp, one.id))
    return pa.Table.from_pylist([_row(one, fields, names, feed) for one in ordered], schema=table_schema(fields))


def instant_of(text: str) -> datetime:
    """A stamp: ISO 8601 as answers have it, or milliseconds since 1970 as filters and some properties do.

    Raises:
        ValueError: it is neither, or lies outside of the years 1 to 9999.
    """
    try:
        if text.lstrip("-").isdigit():
            return _EPOCH + timedelta(milliseconds=int(text))
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ValueError(f"{text} has no time zone")
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"{text[:80]} is beyond the calendar") from error


def milliseconds(moment: datetime) -> str:
    """An instant as filters want it; a part of a millisecond counts as a whole one, so that bounds stay half-open."""
    return str(-((_EPOCH - moment) // timedelta(milliseconds=1)))


def _row(record: Record, fields: Sequence[FieldSpec], names: Sequence[str], feed: str) -> dict[str, Any]:
    row: dict[str, Any] = {"_id": record.id, "_stamp": record.stamp, "_deleted": False}
    row["_payload"] = record.payload(names)
    for spec in fields:
        value = record.more.get(spec.name) if spec.name in record.more else record.properties.get(spec.name)
        try:
            row[spec.name] = _value(value, spec.type)
        except ValueError as error:
            if spec.type is FieldType.BOOLEAN:
                raise SourceError(
                    f"{feed}: record {record.id}, property {spec.name}: {error}; correct the record at the source"
                ) from error
            row[spec.name] = None
    return row


def _value(value: Any, kind: FieldType) -> Any:
    if value is None or (kind is not FieldType.STRING and str(value).strip() == ""):
        return None
    if kind is FieldType.TIMESTAMP:
        return instant_of(str(value))
    if kind is FieldType.DATE:
        return instant_of(str(value)).date() if str(value).isdigit() else convert(str(value)[:10], kind)
    return convert(str(value) if kind is FieldType.DECIMAL else value, kind)
