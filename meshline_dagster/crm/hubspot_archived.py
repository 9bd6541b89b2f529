"""The archived records of one HubSpot object as a feed of their own.

Archiving moves no change stamp, and a search does not show what is archived. There is only the list of all archived records, which keeps
each for 90 days and says when it was archived.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa

from meshline_dagster.core.cursors import Window
from meshline_dagster.core.errors import SourceError
from meshline_dagster.crm.columns import table_schema
from meshline_dagster.crm.hubspot_pages import listed
from meshline_dagster.crm.hubspot_rows import instant_of
from meshline_dagster.crm.hubspot_session import HubSpotSession
from meshline_dagster.crm.protocol import FeedProblem, FeedSchema, FieldSpec, FieldType, Peek

__all__ = ["HubSpotArchivedFeed"]

_KEPT = timedelta(days=90)
_AGAIN = timedelta(hours=1)
_FIELDS = (
    FieldSpec("archivedAt", FieldType.TIMESTAMP, "datetime", nullable=False),
    FieldSpec("id", FieldType.STRING, "id", nullable=False),
)


class HubSpotArchivedFeed:
    """What was archived of one object; a :class:`~meshline_dagster.crm.protocol.Feed` whose rows all have ``_deleted``.

    Args:
        session: the portal.
        object_name: as in the API's paths, e.g. ``deals``.
        instance: names the portal in the feed's name.
        rows_per_page: fewer rows than HubSpot gives, for tests.
    """

    def __init__(
        self,
        session: HubSpotSession,
        object_name: str,
        *,
        instance: str = "hubspot",
        rows_per_page: int | None = None,
    ) -> None:
        self._session = session
        self._object = object_name
        self._rows = rows_per_page
        self._gap: Window | None = None
        self.name = f"{instance}/{object_name}_archived"

    def problems(self) -> list[FeedProblem]:
        """The time for which the last read could not learn what was archived."""
        if self._gap is None:
            return []
        start, end = self._gap.start.isoformat(), self._gap.end.isoformat()
        return [
            FeedProblem(
                key=f"gap:{start}",
                detail=f"what was archived from {start} to {end} is no longer listed by the source",
                fix="Compare all ids with what is landed, cancel by hand what the source no longer has, then "
                "`meshline exceptions resolve KEY --reason TEXT`.",
                of_history=True,
            )
        ]

    def settled(self, _names: Collection[str]) -> set[str]:
        """None ever: what the source no longer lists it will not list again."""
        return set()

    def now(self) -> datetime:
        """The portal's present, UTC."""
        return self._session.now()

    def describe(self) -> FeedSchema:
        """Id and time of the archiving; nothing else is read."""
        return FeedSchema(f"{self._object}_archived", _FIELDS)

    def peek(self, since: datetime | None) -> Peek:
        """Tell whether the first page of the list has anything archived at or after ``since``.

        The list is in no order of time. Where it has more pages, a watermark that is an hour old wants a poll, whatever the first one says.
        """
        pages = listed(self._session, self._object, (), archived=True, rows=self._rows)
        stamps = [stamp for stamp, _ in map(self._key, next(pages)) if since is None or stamp >= since]
        is_due = since is not None and self._session.answered_at - since >= _AGAIN
        latest = max(stamps).isoformat() if stamps else ""
        return Peek(changed=bool(stamps) or is_due, hint=f"{latest}/{len(stamps)}")

    def read(self, window: Window) -> Iterator[pa.Table]:
        """What was archived in the window. Of a window that begins before the list does, the rest is one of :meth:`problems`."""
        self._gap = None
        if window.is_empty:
            return
        found: set[tuple[datetime, str]] = set()
        for page in listed(self._session, self._object, (), archived=True, rows=self._rows):
            found |= {key for key in map(self._key, page) if window.start <= key[0] < window.end}
        oldest = self._session.answered_at - _KEPT
        if window.start < oldest:
            self._gap = Window(window.start, min(oldest, window.end))
        if found:
            yield pa.Table.from_pylist([_row(*key) for key in sorted(found)], schema=table_schema(_FIELDS))

    def _key(self, record: Mapping[str, Any]) -> tuple[datetime, str]:
        try:
            return instant_of(str(record["archivedAt"])), str(record["id"])
        except (KeyError, ValueError) as error:
            raise SourceError(
                f"{self.name}: a record that does not say when it was archived: {record['id']}"
            ) from error


def _row(stamp: datetime, one: str) -> dict[str, Any]:
    payload = json.dumps({"archivedAt": stamp.isoformat(), "id": one}, separators=(",", ":"))
    return {"_id": one, "_stamp": stamp, "_deleted": True, "_payload": payload, "archivedAt": stamp, "id": one}
