"""How often the dbt project is looked at: parsed by one of those who start together, and read once for a report."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event
from types import SimpleNamespace

import pytest

from meshline_dagster.orchestration import dbt_events, manifest


@pytest.fixture
def parses(tmp_path, monkeypatch):
    """The targets for which the project was parsed, in a home of its own."""
    monkeypatch.setenv("MESHLINE_HOME", str(tmp_path))
    monkeypatch.delenv("MESHLINE_WAREHOUSE", raising=False)
    found, together, parsed_twice = [], Barrier(2), Event()

    def parse(*, warehouse, target_path):
        found.append(target_path)
        if len(found) == 1:
            together.wait(timeout=5)
            parsed_twice.wait(timeout=0.3)
        else:
            parsed_twice.set()
        return {"nodes": {}}

    monkeypatch.setattr(manifest, "manifest_json", parse)
    return found, together


def test_of_two_that_want_the_manifest_at_once_one_parses_and_both_have_it(parses):
    found, together = parses

    def second():
        together.wait(timeout=5)  # the first is in the middle of it
        return manifest.manifest()

    with ThreadPoolExecutor() as pool:
        answers = [pool.submit(manifest.manifest), pool.submit(second)]
        assert [one.result(timeout=20) for one in answers] == [{"nodes": {}}] * 2
    assert found == [manifest.dbt_target_path()]


def test_a_report_reads_the_project_once_and_translates_no_event_but_results(parses, monkeypatch):
    hashed, translated = [], []
    monkeypatch.setattr(manifest, "project_hash", lambda: hashed.append(1) or "0" * 64)
    data = {"node_info": {"unique_id": "unit_test.meshline.outbox.one"}}  # a result that is no asset's
    monkeypatch.setattr(
        dbt_events,
        "msg_to_dict",
        lambda event: translated.append(event) or {"info": {"name": event.info.name}, "data": data},
    )
    parses[1].abort()
    monkeypatch.setattr(manifest, "manifest_json", lambda **_: {"nodes": {}})
    events = [SimpleNamespace(info=SimpleNamespace(name=name)) for name in ["Note", "LogTestResult", "SQLQuery"] * 50]
    assert list(dbt_events._dagster_events(events, None)) == []
    assert (len(hashed), len(translated)) == (2, 50)
