"""The close calendar: obeyed like a pause, by the clock that is passed in."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import yaml
from pydantic import ValidationError
from typer.testing import CliRunner

from meshline_dagster.cli import app
from meshline_dagster.core.errors import PausedError
from meshline_dagster.core.pauses import Freeze
from meshline_dagster.orchestration.components import load_settings
from meshline_dagster.orchestration.hold_settings import FreezeSettings
from meshline_dagster.store.calendar import freezes, remember_calendar
from meshline_dagster.store.engine import open_store
from meshline_dagster.testing.memory_erp import MemoryErp, MemoryWriter
from tests.integration.test_delivery_engine import OPTIONS, customer, order, plan_rows, run
from tests.integration.test_delivery_pauses import of, orders_of

CLOSE = Freeze(
    datetime(2026, 12, 31, 18, tzinfo=UTC), datetime(2027, 1, 2, 6, tzinfo=UTC), selling_entity="de", reason="year end"
)
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("at", "posted"),
    [
        (CLOSE.start - SECOND, ["1", "2"]),
        (CLOSE.start, ["2"]),
        (CLOSE.end - SECOND, ["2"]),
        (CLOSE.end, ["1", "2"]),
    ],
)
def test_a_frozen_selling_entity_waits_from_the_start_until_the_end(ops, at, posted):
    plan_rows(ops, [of(customer()), of(order(1), selling_entity="de"), of(order(2), selling_entity="us")])
    erp = MemoryErp()
    run(ops, MemoryWriter(erp), replace(OPTIONS, freezes=(CLOSE,), patience=0.5), clock=lambda: at)
    assert orders_of(erp) == posted


def test_a_freeze_of_everything_refuses_and_says_until_when(ops):
    plan_rows(ops, [of(customer())])
    options = replace(OPTIONS, freezes=(replace(CLOSE, selling_entity=None),))
    with pytest.raises(PausedError, match=r"by the close calendar .* until 2027-01-02 06:00 UTC \(year end\)$"):
        run(ops, MemoryWriter(MemoryErp()), options, clock=lambda: CLOSE.start)


def test_a_freeze_that_begins_in_the_middle_of_a_pass_stops_the_next_request(ops):
    plan_rows(ops, [of(customer())] + [of(order(n)) for n in range(20)])
    moment = [CLOSE.start - SECOND]

    def the_hour_strikes(document):
        if len(erp.writes) == 3:
            moment[0] = CLOSE.start

    erp = MemoryErp(faults=the_hour_strikes)
    options = replace(OPTIONS, freezes=(replace(CLOSE, selling_entity=None),))
    with pytest.raises(PausedError):
        run(ops, MemoryWriter(erp, slots=1), options, clock=lambda: moment[0])
    assert len(erp.writes) == 4


def test_the_calendar_is_remembered_and_each_change_of_it_is_audited(ops):
    for calendar in ((CLOSE,), (CLOSE,), (), ()):
        remember_calendar(ops, "erp", calendar, actor="run", now=CLOSE.start)
        with ops.read() as connection:
            assert freezes(connection, "erp") == list(calendar)
    with ops.read() as connection:
        entries = connection.exec_driver_sql("select action, detail from audit_entry order by seq").all()
    assert [row.action for row in entries] == ["posting.calendar"] * 2
    assert "2026-12-31 18:00:00.000000 to 2027-01-02 06:00:00.000000 de year end" in entries[0].detail


def test_status_shows_the_freeze_in_force_and_those_to_come(tmp_path, monkeypatch):
    monkeypatch.setenv("MESHLINE_HOME", str(tmp_path))
    now = datetime.now(UTC)
    running = Freeze(now - timedelta(hours=1), now + timedelta(hours=1), None, "close")
    coming = Freeze(now + timedelta(days=1), now + timedelta(days=2), "de", "next")
    store = open_store(f"sqlite:///{tmp_path / 'ops.db'}")
    remember_calendar(store, "sandbox", (coming, running), actor="run", now=now)
    store.close()
    monkeypatch.setenv("MESHLINE_STORE_URL", f"sqlite:///{tmp_path / 'ops.db'}")
    shown = json.loads(CliRunner().invoke(app, ["status", "--json"]).output)
    [one], [next_one] = shown["paused"], shown["freezes_to_come"]
    assert (one["actor"], one["reason"], one["until"]) == ("the close calendar", "close", running.end.isoformat())
    assert (next_one["selling_entity"], next_one["since"]) == ("de", coming.start.isoformat())
    assert "to come: posting to sandbox, selling entity de" in CliRunner().invoke(app, ["status"]).output


def test_a_freeze_in_yaml_is_days_or_instants(tmp_path):
    text = """
type: meshline_dagster.CrmToErpSync
attributes:
  origin: 2026-01-01
  sources: [{type: salesforce}]
  destination: {type: rest}
  freezes:
    - {from: 2026-12-31T18:00Z, to: 2027-01-02T06:00Z, selling_entity: de, reason: year end}
    - {from: 2027-01-31, to: 2027-01-31}
    - {from: "2027-02-28T18:00+01:00", to: 2027-03-01T06:00:00Z}
"""
    path = tmp_path / "defs.yaml"
    path.write_text(text)
    first, day, zoned = load_settings(path).delivery().freezes
    assert first == CLOSE
    assert (day.start, day.end) == (datetime(2027, 1, 31, tzinfo=UTC), datetime(2027, 2, 1, tzinfo=UTC))
    assert (zoned.start, zoned.end) == (datetime(2027, 2, 28, 17, tzinfo=UTC), datetime(2027, 3, 1, 6, tzinfo=UTC))
    for wrong, why in (
        ({"from": "2026-12-31T18:00", "to": "2027-01-01"}, "no time zone"),
        ({"from": "2027-01-02", "to": "2027-01-01"}, "ends after it began"),
    ):
        with pytest.raises(ValidationError, match=why):
            FreezeSettings.model_validate(yaml.safe_load(json.dumps(wrong)))
