"""The change feed of one HubSpot object, over the CRM API v3.

A window that reaches back to where the feed begins is read from the list of all records, any other by a search on the change stamp. A
search lags: what changed may become visible a good while later, so :attr:`HubSpotFeed.again_after` asks for every stamp to be read
once more when it has aged. The same catches links that were made later and moved no stamp.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa

from meshline_dagster.core.cursors import Window
from meshline_dagster.core.errors import SourceError
from meshline_dagster.crm.hubspot_associations import linked_id, read_links
from meshline_dagster.crm.hubspot_describe import ABSENT, described_schema, read_schema
from meshline_dagster.crm.hubspot_objects import ASSOCIATIONS, DEFAULT_PROPERTIES, PORTAL_FIELDS, stamp_of
from meshline_dagster.crm.hubspot_pages import filters_of, listed, newest, searched
from meshline_dagster.crm.hubspot_rows import Record, instant_of, table_of
from meshline_dagster.crm.hubspot_session import HubSpotSession
from meshline_dagster.crm.protocol import FeedSchema, FieldSpec, Peek

__all__ = ["HubSpotFeed"]

_AGAIN = (timedelta(hours=1), timedelta(days=1), timedelta(days=7))


class HubSpotFeed:
    """One object's change stream; a :class:`~meshline_dagster.crm.protocol.Feed` that reads again.

    Args:
        session: the portal.
        object_name: as in the API's paths, e.g. ``line_items``.
        instance: names the portal in the feed's name.
        properties: what to read instead of the default list; the change stamp is always read.
        begins: where the history begins: windows from there on are read from the list. None: always searched.
        again_after: how old stamps are when they are read once more, shortest first.
        rows_per_page: fewer rows than HubSpot gives, for tests.
    """

    def __init__(
        self,
        session: HubSpotSession,
        object_name: str,
        *,
        instance: str = "hubspot",
        properties: Sequence[str] | None = None,
        begins: datetime | None = None,
        again_after: Sequence[timedelta] = _AGAIN,
        rows_per_page: int | None = None,
    ) -> None:
        wanted = properties if properties is not None else DEFAULT_PROPERTIES.get(object_name, ())
        self._session = session
        self._object = object_name
        self._stamp = stamp_of(object_name)
        self._wanted = tuple(sorted({*wanted, self._stamp}))
        self._begins = begins
        self._rows = rows_per_page
        self._described: FeedSchema | None = None
        self.again_after = tuple(again_after)
        """How old stamps are when they are read once more."""
        self.name = f"{instance}/{object_name}"

    @property
    def unread_properties(self) -> tuple[str, ...]:
        """Properties that the last ``describe`` listed and this feed does not read: they are not landed."""
        described = self._described.fields if self._described else ()
        return tuple(spec.name for spec in described if spec.name not in self._wanted)

    def now(self) -> datetime:
        """The portal's present, UTC."""
        return self._session.now()

    def describe(self) -> FeedSchema:
        """Ask which properties there are; later reads use this answer.

        Raises:
            SourceError: a property asked for cannot be read, or does not exist.
        """
        body = self._session.get(f"/crm/v3/properties/{self._object}")
        described = described_schema(self._object, body)
        schema = read_schema(described, self._wanted)
        self._described = described
        return schema

    def peek(self, since: datetime | None) -> Peek:
        """Count what lies at or after ``since`` and name the newest stamp, in one request.

        A watermark that is as old as the first of :attr:`again_after` wants a poll, too, lest what surfaced late waits for the next change.
        """
        filters = filters_of(self._stamp, Window(since, since))[:1] if since else []
        total, stamp = newest(self._session, self._object, self._stamp, filters)
        age = self._session.answered_at - since if since else timedelta()
        is_due = bool(self.again_after) and age >= self.again_after[0]
        return Peek(changed=total > 0 or is_due, hint=f"{stamp}/{total}")

    def read(self, window: Window) -> Iterator[pa.Table]:
        """All records whose latest change lies in the window, one table for each page."""
        if window.is_empty:
            return
        schema = read_schema(self._described, self._wanted) if self._described else self.describe()
        names = [name for name in self._wanted if _is_there(schema, name)]
        for page in self._pages(names, window):
            records = self._records(page, window)
            if records:
                yield table_of(records, schema.fields, names, self.name)

    def _pages(self, names: Sequence[str], window: Window) -> Iterator[list[dict[str, Any]]]:
        if self._begins is not None and window.start <= self._begins:
            return listed(self._session, self._object, names, archived=False, rows=self._rows)
        return searched(self._session, self._object, names, filters_of(self._stamp, window), rows=self._rows)

    def _records(self, page: Sequence[Mapping[str, Any]], window: Window) -> list[Record]:
        """Those of a page that lie in the window (a list, and an index that is behind, give others too), with their links."""
        inside = [(one, stamp) for one in page if window.start <= (stamp := self._stamp_of(one)) < window.end]
        link = ASSOCIATIONS.get(self._object)
        ids = [str(one["id"]) for one, _ in inside]
        links = read_links(self._session, self._object, link.to, ids) if link else {}
        portal = self._portal() if inside else {}
        records = []
        for one, stamp in inside:
            own = str(one["id"])
            more = portal | ({link.field: linked_id(links[own], link)} if link else {})
            records.append(Record(own, stamp, one["properties"], links.get(own), more))
        return records

    def _stamp_of(self, record: Mapping[str, Any]) -> datetime:
        text = record["properties"].get(self._stamp)
        try:
            return instant_of(str(text))
        except ValueError as error:
            raise SourceError(f"{self.name}: record {record['id']} has no readable {self._stamp}: {text!r}") from error

    def _portal(self) -> dict[str, str | None]:
        wanted = PORTAL_FIELDS.get(self._object, ())
        if not wanted:
            return {}
        account = self._session.account
        known = {"portal_currency": account.currency, "portal_time_zone": account.time_zone}
        return {name: known[name] for name in wanted}


def _is_there(schema: FeedSchema, name: str) -> bool:
    spec: FieldSpec | None = next((one for one in schema.fields if one.name == name), None)
    return spec is not None and spec.source_type != ABSENT
