"""One poll of one feed: read a window, land it, move the watermark.

The watermark moves by compare-and-set after everything is durable, so a poll that dies is read again by the next one, and what it
had landed is dropped as landed before.
"""

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc

from meshline_dagster.core.cursors import Window, later_windows, next_window
from meshline_dagster.core.errors import LeaseHeldError, MeshlineError
from meshline_dagster.crm.prefetch import map_ahead
from meshline_dagster.crm.protocol import Feed, FeedProblem, ReadsAgain, ReportsProblems
from meshline_dagster.landing.rows import RejectedRow, fingerprinted
from meshline_dagster.landing.zone import LandingZone, LandResult, Provenance
from meshline_dagster.store.engine import Store
from meshline_dagster.store.exceptions import open_keys
from meshline_dagster.store.feeds import advance_watermark, feed_state_of, record_schema
from meshline_dagster.store.leases import Lease, acquire, check, release, renew

__all__ = ["PollResult", "feed_lease", "left_out_key", "poll", "re_extract"]

_ABOUT = "feed:"
_TTL = timedelta(seconds=60)
_ROWS_PER_LANDING = 50_000
_WAIT_SECONDS = 120.0
_POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class PollResult:
    """What a poll did.

    Attributes:
        days: change day -> rows that were filed under it.
        problems: what the feed itself left out; of history only where there was an earlier poll.
        schema_before: the schema seen before this one, as JSON, when it has changed.
        moved: whether the watermark moved; a re-extract moves none.
        corrected: trace keys of open exceptions about rows left out earlier that this poll settles; see :func:`left_out_key`.
    """

    feed: str
    window: Window
    rows_read: int
    rows_landed: int
    rows_dropped: int
    rejected: Sequence[RejectedRow]
    days: Mapping[date, int] = field(default_factory=dict)
    problems: Sequence[FeedProblem] = ()
    schema_before: Mapping[str, object] | None = None
    moved: bool = False
    corrected: Sequence[str] = ()


def poll(
    store: Store,
    zone: LandingZone,
    feed: Feed,
    *,
    run_id: str,
    origin: datetime,
    overlap: timedelta,
    lag: timedelta,
    wait: float = _WAIT_SECONDS,
) -> PollResult:
    """Read the next window of a feed, ``[watermark - overlap, now - lag)`` by the source's clock, and again what has aged since the last
    poll where the feed asks for it.

    Args:
        wait: seconds to wait for another poll of the same feed.

    Raises:
        LeaseHeldError: another poll held the feed for all of ``wait``.
        LeaseLostError: our lease was taken over; what is landed stays, the watermark is as it was.
        MeshlineError: as the feed raises; what was landed before stays, and the next poll reads the window again.
    """
    with feed_lease(store, feed.name, run_id, wait=wait) as lease:
        with store.read() as connection:
            before = feed_state_of(connection, feed.name)
            waiting = _Waiting.of(feed.name, open_keys(connection, "feed"))
        window = next_window(watermark=before.watermark, origin=origin, now=feed.now(), overlap=overlap, lag=lag)
        windows = [window, *_windows_again(feed, window, before.watermark, origin=origin, overlap=overlap)]
        result = _read_windows(store, zone, feed, windows, run_id=run_id, origin=origin, lease=lease, waiting=waiting)
        if before.watermark is None:
            result = replace(result, problems=[one for one in result.problems if not one.of_history])
        with store.write() as connection:
            check(connection, [lease])
            advance_watermark(connection, before, window.end, now=datetime.now(UTC))
    return replace(result, moved=True, corrected=waiting.corrected(feed))


def re_extract(
    store: Store,
    zone: LandingZone,
    feed: Feed,
    window: Window,
    *,
    run_id: str,
    origin: datetime,
    wait: float = _WAIT_SECONDS,
) -> PollResult:
    """Read a window again. It adds what is new, removes nothing (a source that keeps current versions only has moved rows out of
    old windows), and moves no watermark.

    Raises:
        LeaseHeldError: another poll held the feed for all of ``wait``.
    """
    with feed_lease(store, feed.name, run_id, wait=wait) as lease:
        capped = Window(window.start, max(window.start, min(window.end, feed.now())))
        return _read_windows(store, zone, feed, [capped], run_id=run_id, origin=origin, lease=lease)


@contextmanager
def feed_lease(store: Store, feed: str, holder: str, *, wait: float = _WAIT_SECONDS) -> Iterator[Lease]:
    """Hold a feed: one poll, re-extract or compaction of it at a time.

    The lease runs out a minute after the last renewal, and what is written under it is checked against a take-over, so a holder
    that died or sleeps blocks nobody for long and can do no harm when it wakes up.

    Raises:
        LeaseHeldError: somebody else held it for all of ``wait`` seconds.
    """
    deadline = time.monotonic() + wait
    while True:
        with store.write() as connection:
            lease = acquire(connection, f"feed:{feed}", holder, now=datetime.now(UTC), ttl=_TTL)
        if lease is not None:
            break
        if time.monotonic() >= deadline:
            raise LeaseHeldError(
                f"the feed {feed} is being read by another run. Wait for that run; if it died, its lease ends within a minute",
                feed=feed,
            )
        time.sleep(_POLL_SECONDS)
    try:
        yield lease
    finally:
        with store.write() as connection:
            release(connection, lease, now=datetime.now(UTC))


def left_out_key(feed: str, name: str) -> str:
    """The trace key of what a feed, or the landing zone, left out. A name begins with the record's id and a colon, where it is known."""
    return f"{_ABOUT}{feed}:{name}"[:400]


@dataclass(slots=True)
class _Waiting:
    """What earlier reads of a feed left out and nobody has settled: name -> trace key; and the records of these that were read now."""

    keys: Mapping[str, str]
    records: Mapping[str, set[str]]
    seen: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, feed: str, open_now: Collection[str]) -> Self:
        start = left_out_key(feed, "")
        keys = {key.removeprefix(start): key for key in open_now if key.startswith(start)}
        records: dict[str, set[str]] = {}
        for name in keys:  # an id may hold colons, too
            for place in (place for place, letter in enumerate(name) if letter == ":"):
                records.setdefault(name[:place], set()).add(name)
        return cls(keys, records)

    def note(self, rows: pa.Table, rejected: Sequence[RejectedRow]) -> None:
        """Remember which of the records were read and filed. Costs nothing where nothing waits."""
        if self.records:
            ids = rows["_id"]
            found = ids.filter(pc.is_in(ids, value_set=pa.array(self.records, pa.string()))).to_pylist()
            self.seen |= set(found) - {row.id for row in rejected}

    def corrected(self, feed: Feed) -> list[str]:
        names = {name for record in self.seen for name in self.records[record]}
        names |= feed.settled(self.keys) if self.keys and isinstance(feed, ReportsProblems) else set()
        return sorted(self.keys[name] for name in names)


def _windows_again(
    feed: Feed, window: Window, watermark: datetime | None, *, origin: datetime, overlap: timedelta
) -> list[Window]:
    again = feed.again_after if isinstance(feed, ReadsAgain) else ()
    return later_windows(window, watermark=watermark, origin=origin, overlap=overlap, again_after=again)


def _read_windows(
    store: Store,
    zone: LandingZone,
    feed: Feed,
    windows: Sequence[Window],
    *,
    run_id: str,
    origin: datetime,
    lease: Lease,
    waiting: _Waiting | None = None,
) -> PollResult:
    """Read and land windows, the poll's own first: what the feed left out is asked for right after that."""
    schema = feed.describe()
    with store.write() as connection:
        schema_before = record_schema(connection, feed.name, schema.hash, schema.as_json(), now=datetime.now(UTC))

    def land_window(window: Window) -> LandResult:
        def land(batch: pa.Table) -> LandResult:
            now = datetime.now(UTC)
            provenance = Provenance(run_id, window, now, schema.hash)
            landed = zone.land(feed.name, batch, provenance, origin=origin, now=max(now, window.end), held=lease)
            if waiting is not None:
                waiting.note(batch, landed.rejected)
            return landed

        tables = map(fingerprinted, _alive(store, lease, feed.read(window)))
        return sum(map_ahead(land, _batches(tables), ahead=1), LandResult())

    landed = land_window(windows[0])
    problems = feed.problems() if isinstance(feed, ReportsProblems) else ()
    landed = sum(map(land_window, windows[1:]), landed)
    return PollResult(
        feed=feed.name,
        window=windows[0],
        rows_read=landed.rows_read,
        rows_landed=landed.rows_landed,
        rows_dropped=landed.rows_dropped,
        rejected=landed.rejected,
        days=landed.days,
        problems=problems,
        schema_before=schema_before,
    )


def _alive(store: Store, lease: Lease, tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Renew the lease whenever the source has given something."""
    for table in tables:
        with store.write() as connection:
            renew(connection, lease, now=datetime.now(UTC), ttl=_TTL)
        yield table


def _batches(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Larger tables for fewer files. What was read before an error is handed on first: it is landed, and only then the error rises."""
    waiting: list[pa.Table] = []
    failure: MeshlineError | None = None
    try:
        for table in tables:
            waiting.append(table)
            if sum(one.num_rows for one in waiting) >= _ROWS_PER_LANDING:
                yield pa.concat_tables(waiting, promote_options="default")
                waiting = []
    except MeshlineError as error:
        failure = error
    if waiting:
        yield pa.concat_tables(waiting, promote_options="default")
    if failure is not None:
        raise failure
