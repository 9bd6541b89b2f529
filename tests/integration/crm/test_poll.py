"""Polls of a source whose answers we choose: windows, watermark, what survives a poll that dies."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from threading import Thread

import pyarrow as pa
import pytest

from meshline_dagster.core.cursors import Window
from meshline_dagster.core.errors import LeaseHeldError, QuotaExhaustedError
from meshline_dagster.crm.poll import feed_lease, poll, re_extract
from meshline_dagster.crm.protocol import FeedSchema, FieldSpec, FieldType, Peek
from meshline_dagster.landing.zone import LandingZone
from meshline_dagster.store.engine import open_store
from meshline_dagster.store.feeds import feed_state_of
from meshline_dagster.store.manifest import rows_total

ORIGIN = datetime(2026, 1, 1, tzinfo=UTC)
NOON = datetime(2026, 2, 1, 12, tzinfo=UTC)
PACE = {"origin": ORIGIN, "overlap": timedelta(minutes=10), "lag": timedelta(seconds=3)}


class ScriptedFeed:
    """A source of which each page is one table; an error may stand in the place of a page."""

    name = "crm/deal"

    def __init__(self, *pages, now=NOON, fields=("Amount",)):
        self.pages, self.present, self.fields, self.windows = list(pages), now, fields, []

    def now(self):
        return self.present

    def describe(self):
        return FeedSchema("Deal", tuple(FieldSpec(name, FieldType.DECIMAL, "currency") for name in self.fields))

    def peek(self, since):
        return Peek(changed=True, hint="")

    def read(self, window):
        self.windows.append(window)
        for page in self.pages:
            if isinstance(page, Exception):
                raise page
            yield page


def page(*records):
    return pa.table(
        {
            "_id": pa.array([record[0] for record in records], pa.string()),
            "_stamp": pa.array([record[1] for record in records], pa.timestamp("us", tz="UTC")),
            "_deleted": pa.array([False] * len(records)),
            "_payload": pa.array([f'{{"amount":{record[2]}}}' for record in records], pa.string()),
            "Amount": pa.array([Decimal(record[2]) for record in records], pa.decimal128(38, 9)),
        }
    )


@pytest.fixture
def zone(tmp_path):
    store = open_store(f"sqlite:///{tmp_path / 'ops.db'}")
    yield LandingZone(str(tmp_path / "landing"), store)
    store.close()


def run(zone, feed, **options):
    return poll(zone.store, zone, feed, run_id="run", **{**PACE, **options})


def state(zone):
    with zone.store.read() as connection:
        return feed_state_of(connection, "crm/deal")


def test_windows_go_from_the_watermark_less_the_overlap_to_now_less_the_lag_by_the_sources_clock(zone):
    feed = ScriptedFeed(page(("a", NOON - timedelta(hours=1), 1)))
    first = run(zone, feed)
    feed.present = NOON + timedelta(hours=1)
    second = run(zone, feed)
    end = NOON - timedelta(seconds=3)
    assert feed.windows == [Window(ORIGIN, end), Window(end - timedelta(minutes=10), end + timedelta(hours=1))]
    assert (first.rows_landed, second.rows_landed, second.rows_dropped) == (1, 0, 1)
    assert state(zone).watermark == second.window.end


def test_a_poll_that_meets_its_quota_keeps_what_it_landed_and_its_watermark(zone):
    stamp = NOON - timedelta(hours=1)
    with pytest.raises(QuotaExhaustedError):
        run(zone, ScriptedFeed(page(("a", stamp, 1)), QuotaExhaustedError()))
    with zone.store.read() as connection:
        assert rows_total(connection) == {"crm/deal": 1}
    assert state(zone).watermark is None
    again = run(zone, ScriptedFeed(page(("a", stamp, 1)), page(("b", stamp, 2))))
    assert (again.rows_landed, again.rows_dropped, again.moved) == (1, 1, True)


def test_a_re_extract_adds_and_moves_no_watermark(zone):
    run(zone, ScriptedFeed(page(("a", NOON - timedelta(days=2), 1))))
    before = state(zone)
    window = Window(NOON - timedelta(days=3), NOON + timedelta(days=3))
    feed = ScriptedFeed(page(("a", NOON - timedelta(days=2), 1), ("late", NOON - timedelta(days=2), 5)))
    result = re_extract(zone.store, zone, feed, window, run_id="again", origin=ORIGIN)
    assert (result.rows_landed, result.rows_dropped, result.moved) == (1, 1, False)
    assert feed.windows == [Window(window.start, NOON)]
    assert state(zone) == before


def test_a_schema_that_changed_is_told_once(zone):
    assert run(zone, ScriptedFeed()).schema_before is None
    changed = run(zone, ScriptedFeed(fields=("Amount", "Discount")))
    assert [field["name"] for field in changed.schema_before["fields"]] == ["Amount"]
    assert run(zone, ScriptedFeed(fields=("Amount", "Discount"))).schema_before is None


def test_polls_of_one_feed_take_turns(zone):
    with feed_lease(zone.store, "crm/deal", "other"), pytest.raises(LeaseHeldError):
        run(zone, ScriptedFeed(), wait=0.0)
    results = []
    feed = ScriptedFeed(page(("a", NOON - timedelta(hours=1), 1)))
    threads = [Thread(target=lambda: results.append(run(zone, feed))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(result.rows_landed for result in results) == [0, 0, 1]
    assert state(zone).generation == 3
