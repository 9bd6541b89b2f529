"""A replay by the command line: what it would send, that it waits for its digest, and that it is sent once somebody else has approved it."""

import json

import dagster as dg
import pytest
from typer.testing import CliRunner

from meshline_dagster.cli import app
from meshline_dagster.cli.location import QUIET, job_of
from meshline_dagster.orchestration.partitions import today
from tests.end_to_end.conftest import ROOT

pytestmark = pytest.mark.slow

MODULE = f"""
import os
from pathlib import Path
from meshline_dagster.orchestration.components import load_settings
from meshline_dagster.orchestration.settings import SyncSettings
from meshline_dagster.orchestration.sync import build_sync

def defs():
    settings = load_settings(next(Path({str(ROOT)!r}, "assets/defs").glob("*/defs.yaml"))).model_dump()
    settings["effective_from"] = os.environ.get("CUT_OVER")
    return build_sync(SyncSettings(**settings))
"""
RANGE = ("--from", "2026-01-01", "--to", "2026-01-12", "--location", "replayed_sync")


@pytest.fixture
def location(tmp_path, monkeypatch):
    """A code location whose cut-over day is in ``CUT_OVER``."""
    (tmp_path / "replayed_sync.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    return "replayed_sync"


def job(location, name, **tags):
    with dg.DagsterInstance.get() as instance:
        found = job_of(location, f"crm_to_erp_{name}")
        return found.execute_in_process(run_config=QUIET, instance=instance, tags=tags, raise_on_error=False)


def command(user, *arguments):
    return CliRunner(env={"LOGNAME": user}).invoke(app, [*arguments])


def test_a_replay_sends_what_its_dry_run_showed_once_somebody_else_has_approved_it(place, location, monkeypatch):
    monkeypatch.setenv("CUT_OVER", "2026-01-20")
    day = {"dagster/asset_partition_range_start": today(), "dagster/asset_partition_range_end": today()}
    assert job(location, "sync", **day, **{"meshline/mode": "poll"}).success
    before = place.oracle()["journal"]  # action -> how often
    posted = place.figures().posted
    monkeypatch.delenv("CUT_OVER")
    left = set(place.home.iterdir())

    dry = command("ann", "replay", *RANGE, "--dry-run", "--json")
    shown = json.loads(dry.output.splitlines()[-1])
    assert shown["writes"] > 0
    assert set(place.home.iterdir()) == left
    assert place.figures().posted == posted
    assert command("ann", "approvals", "list", "--json").output == ""

    done = command("ann", "replay", *RANGE)
    assert done.exit_code == 0, done.output
    waits = json.loads(command("ann", "approvals", "list", "--json").output)
    assert (waits["digest"], waits["writes"]) == (shown["digest"], shown["writes"])
    assert waits["money"] == shown["money"]
    assert f"digest {shown['digest']}" in done.output
    assert place.oracle()["journal"] == before

    refused = command("ann", "approvals", "approve", shown["digest"], "--reason", "mine")
    assert "the approver is not the author" in str(refused.exception)
    assert command("ben", "approvals", "approve", shown["digest"][:12], "--reason", "compared").exit_code == 0
    assert job(location, "drain").success
    assert sum(place.oracle()["journal"].values()) - sum(before.values()) == shown["writes"]
    assert place.figures().duplicates_in_erp == 0
