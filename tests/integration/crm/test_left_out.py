"""What a feed has to leave out reaches the operators' queue; nothing is left out in silence."""

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr

from meshline_dagster.crm.filedrop import FileDropFeed
from meshline_dagster.crm.filedrop_layout import FileColumn, FileFormat, FileLayout
from meshline_dagster.crm.poll import poll
from meshline_dagster.crm.protocol import FieldType
from meshline_dagster.crm.salesforce_deletes import SalesforceDeletesFeed
from meshline_dagster.crm.salesforce_session import SalesforceSession
from meshline_dagster.landing.zone import LandingZone
from meshline_dagster.orchestration.findings import poll_findings
from meshline_dagster.sandbox.crm import CrmSandbox, create_app
from meshline_dagster.sandbox.crm.world import WorldBuilder
from meshline_dagster.sandbox.serve import serve
from meshline_dagster.store.engine import open_store

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
