"""The landing zone on a local folder and on another file system."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from threading import Thread

import duckdb
import pyarrow as pa
import pytest

from meshline_dagster.core.cursors import Window
from meshline_dagster.core.errors import LeaseLostError
from meshline_dagster.crm.compaction import FeedCompaction, compact_feed
from meshline_dagster.crm.poll import feed_lease
from meshline_dagster.landing.compaction import sweep
from meshline_dagster.landing.rows import fingerprinted
from meshline_dagster.landing.storage import Storage
from meshline_dagster.landing.zone import LandingZone, Provenance
from meshline_dagster.store.builds import finish_build, mark_planned, start_build
from meshline_dagster.store.engine import open_store
from meshline_dagster.store.leases import acquire
from meshline_dagster.store.manifest import live_files, new_files, rows_by_day

FEED = "crm/deal"
ORIGIN = datetime(2026, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 3, 1, tzinfo=UTC)
PROVENANCE = Provenance("run-1", Window(ORIGIN, NOW), NOW, "s1")


@pytest.fixture(params=["folder", "memory"])
def zone(request, tmp_path):
    store = open_store(f"sqlite:///{tmp_path / 'ops.db'}")
    location = str(tmp_path / "landing") if request.param == "folder" else f"memory://{tmp_path.name}/landing"
    yield LandingZone(location, store)
    store.close()


def rows(*records, extra=None):
    table = pa.table(
        {
            "_id": pa.array([record[0] for record in records], pa.string()),
            "_stamp": pa.array([record[1] for record in records], pa.timestamp("us", tz="UTC")),
            "_deleted": pa.array([False] * len(records)),
            "_payload": pa.array([f'{{"amount":{record[2]}}}' for record in records], pa.string()),
            "Amount": pa.array([Decimal(record[2]) for record in records], pa.decimal128(38, 9)),
        }
    )
    return table if extra is None else table.append_column(extra, pa.array(["x"] * len(records)))


def at(day, hour=12):
    return datetime(2026, 2, day, hour, tzinfo=UTC)


def land(zone, table, provenance=PROVENANCE):
    with feed_lease(zone.store, FEED, "test") as held:
        return zone.land(FEED, table, provenance, origin=ORIGIN, now=NOW, held=held)


def compacted(zone, now, **limits):
    return compact_feed(zone, FEED, holder="test", clock=lambda: now, wait=0.2, **limits)


def landed(zone, columns="_id, _stamp, Amount"):
    with zone.store.read() as connection:
        paths = [zone.absolute(file.path) for file in live_files(connection, FEED)]
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        if zone.filesystem is not None:
            connection.register_filesystem(zone.filesystem)
        query = f"SELECT {columns} FROM read_parquet(?, union_by_name = true) ORDER BY _stamp, _id, _hash"
        return connection.execute(query, [paths]).fetchall()


def test_rows_are_filed_under_their_change_day_in_utc(zone):
    result = land(zone, rows(("a", at(3, 23), 1), ("b", at(4, 0), 2), ("c", at(3, 1), 3)))
    assert dict(result.days) == {date(2026, 2, 3): 2, date(2026, 2, 4): 1}
    with zone.store.read() as connection:
        files = live_files(connection, FEED)
    assert sorted(file.path.rsplit("/", 1)[0] for file in files) == ["crm/deal/2026-02-03", "crm/deal/2026-02-04"]
    assert [row[0] for row in landed(zone)] == ["c", "a", "b"]


def test_landing_the_same_page_twice_adds_nothing_even_from_another_run_and_window(zone):
    page = rows(("a", at(3), 1), ("b", at(4), 2))
    land(zone, page)
    again = land(zone, page, Provenance("run-2", Window(at(1), NOW), NOW + timedelta(hours=1), "s2"))
    assert (again.rows_read, again.rows_landed, again.rows_dropped) == (2, 0, 2)
    assert len(landed(zone)) == 2


def test_a_repeat_inside_one_page_counts_once(zone):
    result = land(zone, rows(("a", at(3), 1), ("a", at(3), 1)))
    assert (result.rows_landed, result.rows_dropped) == (1, 1)


def test_another_content_at_the_same_stamp_is_another_observation(zone):
    land(zone, rows(("a", at(3), 1)))
    assert land(zone, rows(("a", at(3), 2))).rows_landed == 1
    assert sorted(row[2] for row in landed(zone)) == [Decimal(1), Decimal(2)]


def test_a_deletion_with_the_payload_and_stamp_of_what_it_deletes_is_another_observation(zone):
    land(zone, rows(("a", at(3), 1)))
    gone = rows(("a", at(3), 1))
    gone = gone.set_column(gone.schema.get_field_index("_deleted"), "_deleted", pa.array([True]))
    assert land(zone, gone).rows_landed == 1
    assert sorted(row[0] for row in landed(zone, "_deleted")) == [False, True]


def test_a_page_that_is_partly_landed_adds_the_rest(zone):
    land(zone, rows(("a", at(3), 1), ("b", at(4), 2)))
    result = land(zone, rows(("b", at(4), 2), ("c", at(4), 3), ("d", at(5), 4)))
    assert (result.rows_landed, result.rows_dropped) == (2, 1)
    assert [row[0] for row in landed(zone)] == ["a", "b", "c", "d"]


def test_the_content_hash_is_that_of_deletion_flag_and_payload(zone):
    land(zone, rows(("a", at(3), 1)))
    [(payload, digest)] = landed(zone, "_payload, _hash")
    assert digest == sha256(b"0" + payload.encode()).hexdigest()[:32]


def test_the_hash_of_a_row_does_not_depend_on_how_its_table_is_cut():
    whole = rows(*((f"{number}", at(3), number) for number in range(7)))
    parts = pa.concat_tables([whole.slice(0, 2), whole.slice(2, 0), whole.slice(2, 4), whole.slice(6)])
    expected = [sha256(b"0" + text.encode()).hexdigest()[:32] for text in whole["_payload"].to_pylist()]
    for table in (whole, parts, pa.concat_tables([whole.slice(3), whole.slice(0, 3)]).slice(4)):
        wanted = expected if table.num_rows == 7 else expected[:3]
        assert fingerprinted(table)["_hash"].to_pylist() == wanted


def test_only_files_whose_stamps_reach_into_the_tables_are_opened(zone, monkeypatch):
    opened = []
    read = Storage.read
    monkeypatch.setattr(
        Storage, "read", lambda self, paths, columns: opened.append(len(paths)) or read(self, paths, columns)
    )
    for hour in range(6):
        land(zone, rows((f"a{hour}", at(3, hour), hour)))
    assert opened == []
    assert land(zone, rows(("a2", at(3, 2), 2), ("new", at(3, 2), 9))).rows_landed == 1
    assert land(zone, rows(("a5", at(3, 5), 5))).rows_landed == 0
    assert opened == [1, 1]


def test_rows_that_come_in_no_order_are_filed_in_stamp_and_id_order_and_once(zone):
    result = land(zone, rows(("b", at(4), 2), ("a", at(3), 1), ("a", at(4), 3), ("b", at(4), 2), ("a", at(4), 4)))
    assert (result.rows_landed, result.rows_dropped) == (4, 1)
    assert {(row[0], row[2]) for row in landed(zone)} == {("a", 1), ("b", 2), ("a", 3), ("a", 4)}
    with zone.store.read() as connection:
        files = [file for file in live_files(connection, FEED) if file.day == date(2026, 2, 4)]
    table = zone.storage.read_all([file.path for file in files])
    assert table["_id"].to_pylist() == ["a", "a", "b"]


def test_rows_that_belong_to_no_change_day_are_told_and_the_others_landed(zone):
    table = rows(
        ("early", ORIGIN - timedelta(seconds=1), 1), ("future", NOW + timedelta(days=2), 2), ("good", at(3), 3)
    )
    result = land(zone, table)
    assert result.rows_landed == 1
    assert {one.id: one.reason.split(" lies ")[1][:6] for one in result.rejected} == {
        "early": "before",
        "future": "after ",
    }


def test_new_columns_stand_beside_old_files(zone):
    land(zone, rows(("a", at(3), 1)))
    land(zone, rows(("b", at(3, 13), 2), extra="Region"))
    assert landed(zone, '_id, "Region"') == [("a", None), ("b", "x")]


def test_raw_payload_and_provenance_stand_beside_the_typed_columns(zone):
    land(zone, rows(("a", at(3), 1)))
    found = landed(zone, "_payload, _run_id, _window_start, _window_end, _observed_at, _schema_hash")
    assert found == [('{"amount":1}', "run-1", ORIGIN, NOW, NOW, "s1")]


def test_a_taken_over_lease_lists_nothing(zone):
    with feed_lease(zone.store, FEED, "sleeper") as held:
        with zone.store.write() as connection:
            later = datetime.now(UTC) + timedelta(hours=1)
            assert acquire(connection, f"feed:{FEED}", "other", now=later, ttl=timedelta(hours=2)) is not None
        with pytest.raises(LeaseLostError):
            zone.land(FEED, rows(("a", at(3), 1)), PROVENANCE, origin=ORIGIN, now=NOW, held=held)
    with zone.store.read() as connection:
        assert live_files(connection, FEED) == []


def test_compaction_leaves_one_file_a_day_with_the_same_rows(zone):
    for number in range(4):
        land(zone, rows((f"a{number}", at(3, number + 1), number), (f"b{number}", at(4, number + 1), number)))
    land(zone, rows(("z", at(3, 22), 9), extra="Region"))
    before = landed(zone, "*")
    with zone.store.read() as connection:
        seen = {file.seq for file in new_files(connection, FEED, 0, 1_000)}
    done = compacted(zone, at(4))
    assert (done.days, done.files_before, done.days_left) == (1, 5, 0)
    assert sorted(map(repr, landed(zone, "*"))) == sorted(map(repr, before))
    with zone.store.read() as connection:
        days = rows_by_day(connection, FEED, date(2026, 2, 1), date(2026, 2, 28))
        assert {day: info["files"] for day, info in days.items()} == {date(2026, 2, 3): 1, date(2026, 2, 4): 4}
        assert {file.seq for file in new_files(connection, FEED, 0, 1_000)} == seen
    assert land(zone, rows(("a0", at(3, 1), 0))).rows_landed == 0


def test_replaced_files_stay_until_a_planned_build_has_seen_them(zone):
    for number in range(3):
        land(zone, rows((f"a{number}", at(3, number + 1), number)))
    compacted(zone, NOW)
    later = NOW + timedelta(days=30)
    assert sweep(zone, FEED, now=later, keep=timedelta(days=7)) == 0
    with zone.store.write() as connection:
        build = start_build(connection, run_id="r", as_of=NOW)
        finish_build(connection, build.id, succeeded=True, now=NOW)
        mark_planned(connection, build.id, now=NOW)
    assert sweep(zone, FEED, now=later, keep=timedelta(days=7)) == 3
    assert len(landed(zone)) == 3


def test_a_file_that_was_never_listed_is_swept_when_it_is_old(zone):
    land(zone, rows(("a", at(3), 1)))
    zone.new_file(FEED, date(2026, 2, 3), _complete(zone), schema_hash="s", run_id="dead")
    now = datetime.now(UTC)
    assert sweep(zone, FEED, now=now, keep=timedelta(days=7)) == 0
    assert sweep(zone, FEED, now=now + timedelta(days=8), keep=timedelta(days=7)) == 1
    assert len(landed(zone)) == 1


def _complete(zone):
    with zone.store.read() as connection:
        return zone.storage.read_all([file.path for file in live_files(connection, FEED)])


def small_files(zone, *days, each=3):
    for number in range(each):
        land(zone, rows(*((f"{day}-{number}", at(day, number + 1), number) for day in days)))


def test_one_call_reads_a_bounded_number_of_files_oldest_day_first_and_the_next_goes_on(zone):
    small_files(zone, 3, 4, 5)
    done = [compacted(zone, NOW, most_files=4) for _ in range(3)]
    assert [(one.days, one.files_before, one.days_left) for one in done] == [(2, 6, 1), (1, 3, 0), (0, 0, 0)]
    assert len(landed(zone)) == 9


def test_a_feed_that_is_being_polled_is_left_to_the_next_call(zone):
    small_files(zone, 3)
    with feed_lease(zone.store, FEED, "poll"):
        assert compacted(zone, NOW) == FeedCompaction(FEED, days_left=1, busy=True)
    assert compacted(zone, NOW).days == 1


def test_files_of_a_column_whose_type_has_changed_stay_apart_and_the_other_days_become_one(zone):
    small_files(zone, 3, 4)
    page = rows(("x", at(3), 1))
    land(zone, page.set_column(page.schema.get_field_index("Amount"), "Amount", pa.array(["a lot"])))
    before = len(landed(zone, "_id"))
    done = compacted(zone, NOW)
    assert (done.days, done.days_left) == (1, 1)
    assert "crm/deal, 2026-02-03: the 4 files of the day stay apart" in done.problems[0]
    assert len(landed(zone, "_id")) == before


def test_polls_land_while_days_are_compacted_and_every_row_is_there_once(zone):
    def poll():
        for number in range(25):
            land(zone, rows((f"p{number}", at(3, number % 20), number)))

    small_files(zone, 3)
    polls = Thread(target=poll)
    polls.start()
    others = Thread(target=lambda: [compacted(zone, NOW) for _ in range(8)])
    others.start()
    while polls.is_alive():
        compacted(zone, NOW)
    polls.join()
    others.join()
    compacted(zone, NOW)
    found = [row[0] for row in landed(zone)]
    assert sorted(found) == sorted([*(f"3-{number}" for number in range(3)), *(f"p{number}" for number in range(25))])
