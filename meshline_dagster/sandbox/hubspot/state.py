"""What the sandbox portal knows between requests: records, links, clock, limits and planned faults."""

import itertools
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from meshline_dagster.sandbox.crm.clock import SandboxClock
from meshline_dagster.sandbox.crm.records import RecordTable, Version
from meshline_dagster.sandbox.crm.state import Fault, take_fault
from meshline_dagster.sandbox.crm.world import World
from meshline_dagster.sandbox.hubspot.objects import LINKS, OBJECTS

__all__ = ["LINKED", "TIME_ZONE", "HubSpotSandbox", "HubSpotSettings", "milliseconds_of", "stamp_text"]

LINKED = "@linked"
"""The key under which a version keeps the ids that it is linked to, the primary one first. No property."""

TIME_ZONE = "US/Eastern"
"""The portal's, unless told otherwise."""

_ARCHIVED = "IsDeleted"
_FIRST_ID = 999_999_990  # ids soon get a digit more: they do not sort as texts do


@dataclass(slots=True)
class HubSpotSettings:
    """How the sandbox behaves.

    Attributes:
        token: the private app's token that it accepts.
        list_rows, search_rows: the most records in a page.
        search_cap: how many rows of a search can be reached.
        search_lag: how long a change is invisible to searches.
        archived_kept: how long the list of archived records keeps one.
        links_per_page: links of one record in one answer.
        own_label: the type number of a label that the portal's users have made, which every link has but a primary one.
        daily_requests: the portal's limit for a day.
        requests_per_interval, interval_milliseconds: the rolling limit, by the wall clock; None for none.
        merge_makes_new: whether a merge makes a new record; portals of before 2025 kept one of the two.
        currency, more_currencies, time_zone: what the portal says of itself.
        hidden: ``object.property`` names that the app may not read.
    """

    token: str = "sandbox-token"  # noqa: S105 - opens nothing but the sandbox
    list_rows: int = 100
    search_rows: int = 200
    search_cap: int = 10_000
    search_lag: timedelta = timedelta(seconds=1)
    archived_kept: timedelta = timedelta(days=90)
    links_per_page: int = 500
    own_label: int | None = None
    daily_requests: int = 1_000_000
    requests_per_interval: int | None = None
    interval_milliseconds: int = 10_000
    merge_makes_new: bool = True
    currency: str = "USD"
    more_currencies: tuple[str, ...] = ("EUR", "GBP", "JPY")
    time_zone: str = TIME_ZONE
    hidden: frozenset[str] = frozenset()


def milliseconds_of(moment: datetime) -> int:
    """A moment as milliseconds since 1970."""
    return round(moment.timestamp() * 1000)


def stamp_text(stamp: int) -> str:
    """The wire form of a stamp: ``2026-03-09T20:29:45.981Z``."""
    moment = datetime.fromtimestamp(stamp // 1000, tz=UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{stamp % 1000:03d}Z"


class HubSpotSandbox:
    """The state behind one application. Calls are serialised by its ``lock``.

    Args:
        world: versions of the objects, e.g. of :func:`~meshline_dagster.sandbox.hubspot.translation.hubspot_world`.
    """

    def __init__(self, world: World, settings: HubSpotSettings | None = None, *, running: bool = False) -> None:
        self.settings = settings or HubSpotSettings()
        self.world = world
        self.clock = SandboxClock(world.now, running=running)
        self.tables = {name: RecordTable(list(world.versions.get(name, ()))) for name in OBJECTS}
        self.lags: dict[str, timedelta] = {}
        """Records whose changes are invisible to searches for another time than ``search_lag``."""
        self.relinked: dict[tuple[str, str], tuple[str, ...]] = {}
        """Links that were made without a change of the record, by object and record."""
        self.faults: list[Fault] = []
        self.used_requests = 0
        self.requests: list[str] = []
        self.lock = threading.Lock()
        self._recent: deque[float] = deque()
        self._numbers = itertools.count(_FIRST_ID)

    def table(self, object_name: str) -> RecordTable:
        """The object's records as of the clock."""
        table = self.tables[object_name]
        table.reveal(milliseconds_of(self.clock.now()))
        return table

    def is_indexed(self, version: Version) -> bool:
        """Whether searches see this version yet."""
        lag = self.lags.get(version.id, self.settings.search_lag)
        return version.stamp + int(lag.total_seconds() * 1000) <= milliseconds_of(self.clock.now())

    def links_of(self, object_name: str, version: Version) -> Sequence[str]:
        """The ids that a record is linked to now, the primary one first."""
        return self.relinked.get((object_name, version.id)) or version.values.get(LINKED) or ()

    def take_fault(self, path: str) -> Fault | None:
        """The fault that this request meets, if any; counts it down."""
        return take_fault(self.faults, path)

    def is_within_interval(self) -> bool:
        """Count a request against the rolling limit; whether it still fits."""
        limit = self.settings.requests_per_interval
        if limit is None:
            return True
        now = time.monotonic()
        while self._recent and now - self._recent[0] >= self.settings.interval_milliseconds / 1000:
            self._recent.popleft()
        if len(self._recent) >= limit:
            return False
        self._recent.append(now)
        return True

    def upsert(
        self,
        object_name: str,
        properties: Mapping[str, str | None],
        *,
        one: str | None = None,
        linked: Sequence[str] = (),
    ) -> Version:
        """Add a version now: of the record ``one``, or of a new one.

        Raises:
            KeyError: the object, or a property, does not exist; the argument names it.
        """
        unknown = properties.keys() - OBJECTS[object_name].keys()
        if unknown:
            raise KeyError(f"{object_name}.{min(unknown)}")
        table = self.table(object_name)
        stamp = milliseconds_of(self.clock.now())
        own = one or str(next(self._numbers))
        before = table.get(own)
        values: dict[str, Any] = dict(before.values) if before else {"createdate": stamp_text(stamp)}
        values |= {**properties, "hs_object_id": own, "hs_lastmodifieddate": stamp_text(stamp), _ARCHIVED: False}
        if linked:
            values[LINKED] = tuple(linked)
            self.relinked.pop((object_name, own), None)
        version = Version(own, stamp, values)
        table.add(version)
        return version

    def archive(self, object_name: str, one: str) -> Version:
        """Archive a record: its change stamp stays as it was.

        Raises:
            KeyError: there is no such object or record.
        """
        return self._replace(object_name, one, purged=False)

    def merge(self, object_name: str, kept: str, gone: str) -> Version:
        """Merge one record into another: both are nowhere any more but in the record that the merge makes (where ``merge_makes_new`` says
        otherwise, only the latter is). What was linked to them is linked to that one, without a change of its own.

        Raises:
            KeyError: there is no such object or record.
        """
        table, ended = self.table(object_name), [gone, kept] if self.settings.merge_makes_new else [gone]
        before = table.get(kept)
        if before is None or table.get(gone) is None:
            raise KeyError(kept)
        values = {name: before.values.get(name) for name in OBJECTS[object_name]}
        linked = self.links_of(object_name, before)
        known = [values["hs_merged_object_ids"], (table.get(gone) or before).values.get("hs_merged_object_ids"), *ended]
        values["hs_merged_object_ids"] = ";".join(dict.fromkeys(filter(None, known)))
        for one in ended:
            self._replace(object_name, one, purged=True)
        own = None if self.settings.merge_makes_new else kept
        made = self.upsert(object_name, values, one=own, linked=linked)
        for source, target in LINKS:
            if target == object_name:
                for version in list(self.table(source).between(None, None)):
                    if not {kept, gone}.isdisjoint(self.links_of(source, version)):
                        self.relinked[source, version.id] = (made.id,)
        return made

    def associate(self, object_name: str, one: str, linked: Sequence[str]) -> None:
        """Link a record without changing it."""
        self.relinked[object_name, one] = tuple(linked)

    def _replace(self, object_name: str, one: str, *, purged: bool) -> Version:
        table = self.table(object_name)
        before = table.get(one)
        if before is None or before.deleted:
            raise KeyError(one)
        version = Version(
            one, milliseconds_of(self.clock.now()), dict(before.values) | {_ARCHIVED: True}, purged=purged
        )
        table.add(version)
        return version
