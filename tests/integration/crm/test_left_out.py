"""What a feed has to leave out reaches the operators' queue; nothing is left out in silence."""

import time
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from pydantic import SecretStr

from meshline_dagster.crm.columns import table_schema
from meshline_dagster.crm.filedrop import FileDropFeed
from meshline_dagster.crm.filedrop_layout import FileColumn, FileFormat, FileLayout
from meshline_dagster.crm.poll import poll
from meshline_dagster.crm.protocol import FeedSchema, FieldType
from meshline_dagster.crm.salesforce_deletes import SalesforceDeletesFeed
from meshline_dagster.crm.salesforce_session import SalesforceSession
from meshline_dagster.landing.zone import LandingZone
from meshline_dagster.orchestration.findings import poll_findings
from meshline_dagster.orchestration.raw import _raise_left_out
from meshline_dagster.orchestration.resources import MeshlineResource
from meshline_dagster.sandbox.crm import CrmSandbox, create_app
from meshline_dagster.sandbox.crm.world import WorldBuilder
from meshline_dagster.sandbox.serve import serve
from meshline_dagster.store.engine import open_store
from meshline_dagster.store.exceptions import exceptions, open_keys

NOW = datetime(2026, 5, 1, 12, 0, 30, tzinfo=UTC)
ORIGIN = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def zone(tmp_path):
    store = open_store(f"sqlite:///{tmp_path / 'ops.db'}")
    yield LandingZone(str(tmp_path / "landing"), store)
    store.close()


def run(zone, feed):
    pace = {"overlap": timedelta(minutes=10), "lag": timedelta(0)}
    return poll(zone.store, zone, feed, run_id="r", origin=ORIGIN, **pace)


def test_a_bad_row_of_a_dropped_file_is_an_exception_with_file_line_and_reason_and_the_others_land(zone, tmp_path):
    drop = tmp_path / "drop"
    drop.mkdir()
    (drop / "deals.csv").write_text("Id,Amount\n1,10.50\n2,ten\n3,7\n")
    columns = (FileColumn("Id", FieldType.STRING), FileColumn("Amount", FieldType.DECIMAL))
    layout = FileLayout(format=FileFormat.CSV, columns=columns, id="Id", pattern="*.csv")
    later = datetime.now(UTC) + timedelta(hours=1)
    result = run(zone, FileDropFeed(str(drop), "deal", layout, clock=lambda: later))
    assert result.rows_landed == 2
    [finding] = poll_findings(result)
    assert (finding.origin, finding.owner, finding.code) == ("feed", "integrations", "row_not_landed")
    assert "deals.csv, line 3: " in finding.detail
    assert "Amount" in finding.detail
    assert finding.fix


def test_a_gap_in_the_list_of_deletes_is_an_exception_after_the_first_poll_and_none_in_it(zone):
    sandbox = CrmSandbox(WorldBuilder().build("empty", NOW))
    secrets = {"client_id": SecretStr("sandbox-client"), "client_secret": SecretStr("sandbox-secret")}
    with serve(create_app(sandbox)) as url, SalesforceSession(base_url=url, **secrets) as session:
        feed = SalesforceDeletesFeed(session, "Opportunity", accept_gaps=True)
        first = run(zone, feed)
        assert feed.gaps
        assert poll_findings(first) == []
        sandbox.clock.advance(20 * 86_400)
        late = run(zone, feed)
    [finding] = poll_findings(late)
    assert "no longer listed" in finding.detail
    assert first.window.end.date().isoformat() in finding.trace_key


COLUMNS = (
    FileColumn("Id", FieldType.STRING),
    FileColumn("Changed", FieldType.TIMESTAMP),
    FileColumn("Amount", FieldType.DECIMAL),
)


class Drop:
    """A folder whose files are polled, and the exceptions that are open about them."""

    def __init__(self, zone, folder, *, stamp):
        self.zone, self.folder = zone, folder
        self.meshline = MeshlineResource(store_url=str(zone.store.engine.url))
        layout = FileLayout(format=FileFormat.CSV, columns=COLUMNS, id="Id", stamp=stamp, pattern="*.csv")
        folder.mkdir()
        self.feed = FileDropFeed(str(folder), "deal", layout)

    def poll(self, name=None, *lines, overlap=timedelta(0)):
        """Drop a file, poll, and tell what is left out as the raw asset does; returns how many exceptions are open."""
        if name is not None:
            time.sleep(0.05)  # a file's time may lie a tick before the clock's
            (self.folder / name).write_text("\n".join(["Id,Changed,Amount", *lines]) + "\n")
            time.sleep(0.05)
        made = poll(
            *(self.zone.store, self.zone, self.feed), run_id="r", origin=ORIGIN, overlap=overlap, lag=timedelta(0)
        )
        _raise_left_out(self.meshline, made)
        with self.zone.store.read() as connection:
            return len(open_keys(connection, "feed"))


STAMPED = pytest.mark.parametrize("stamp", [None, "Changed"])
GOOD, BAD = "D1,2026-02-01T09:00:00Z,10.50", "D1,2026-02-01T09:00:00Z,ten"


@STAMPED
def test_a_corrected_row_in_a_later_file_resolves_the_exception_of_the_bad_one_for_good(zone, tmp_path, stamp):
    drop = Drop(zone, tmp_path / "drop", stamp=stamp)
    assert drop.poll("night-1.csv", BAD, "D2,2026-02-01T09:00:00Z,1") == 1
    assert drop.poll() == 1
    assert drop.poll("night-2.csv", "D3,2026-02-01T09:00:00Z,7") == 1
    assert drop.poll("night-3.csv", GOOD) == 0
    assert drop.poll(overlap=timedelta(minutes=10)) == 0  # the bad row is read once more
    assert drop.poll() == 0


@STAMPED
def test_a_bad_row_after_a_good_one_of_its_record_stays_an_exception(zone, tmp_path, stamp):
    drop = Drop(zone, tmp_path / "drop", stamp=stamp)
    assert drop.poll("night-1.csv", GOOD) == 0
    assert drop.poll("night-2.csv", BAD, overlap=timedelta(minutes=10)) == 1
    assert drop.poll(overlap=timedelta(minutes=10)) == 1


@STAMPED
def test_a_line_whose_record_nobody_can_read_is_settled_by_the_same_file_with_the_line_corrected(zone, tmp_path, stamp):
    drop = Drop(zone, tmp_path / "drop", stamp=stamp)
    assert drop.poll("night-1.csv", "D2,2026-02-01T09:00:00Z,1", "D1,10.50") == 1
    assert drop.poll("night-2.csv", GOOD) == 1
    assert drop.poll("night-1.csv", "D2,2026-02-01T09:00:00Z,1", GOOD) == 0


def test_a_row_from_before_the_origin_is_settled_when_its_record_lands(zone, tmp_path):
    drop = Drop(zone, tmp_path / "drop", stamp="Changed")
    assert drop.poll("night-1.csv", "D1,2025-02-01T09:00:00Z,10.50", "D9,2026-02-01T09:00:00Z,1") == 1
    assert drop.poll("night-2.csv", "D9,2026-02-02T09:00:00Z,2") == 1
    assert drop.poll("night-3.csv", GOOD) == 0
    with zone.store.read() as connection:
        [item] = exceptions(connection, only_open=False)
    assert (item.status, item.resolution) == ("resolved", "the record has been read and landed since")


class Source:
    """A feed that gives the rows that a test puts into it."""

    name = "crm/deal"
    rows = ()

    def describe(self):
        return FeedSchema("deal", ())

    def now(self):
        return NOW

    def read(self, _):
        rows = [{"_id": one, "_stamp": stamp, "_deleted": False, "_payload": "{}"} for one, stamp in self.rows]
        yield pa.Table.from_pylist(rows, schema=table_schema(()))


def test_a_record_that_is_refused_again_for_another_reason_settles_nothing(zone):
    source, meshline = Source(), MeshlineResource(store_url=str(zone.store.engine.url))
    future = datetime.now(UTC) + timedelta(days=9)
    for rows, left in (
        ([("D1", datetime(2025, 1, 1, tzinfo=UTC))], 1),
        ([("D1", future), ("D2", NOW)], 2),
        ([("D1", NOW)], 0),
    ):
        source.rows = rows
        _raise_left_out(meshline, run(zone, source))
        with zone.store.read() as connection:
            assert len(open_keys(connection, "feed")) == left
