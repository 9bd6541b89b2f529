"""Pausing from the command line, and what the status says of it."""

import json

import pytest
from typer.testing import CliRunner

from meshline_dagster.cli import app


@pytest.fixture
def meshline(tmp_path, monkeypatch):
    monkeypatch.setenv("MESHLINE_HOME", str(tmp_path))
    monkeypatch.delenv("MESHLINE_STORE_URL", raising=False)

    def call(*words):
        return CliRunner().invoke(app, list(words))

    return call


def test_pauses_are_set_shown_and_ended_by_the_same_options(meshline):
    assert meshline("pause", "--customer", "001", "--reason", "dispute").exit_code == 0
    assert (
        "`meshline resume sandbox --selling-entity de` ends it"
        in meshline("pause", "sandbox", "--selling-entity", "de").output
    )
    shown = json.loads(meshline("status", "--json").output)["paused"]
    assert [(one["destination"], one["selling_entity"], one["customer"], one["reason"]) for one in shown] == [
        (None, None, "001", "dispute"),
        ("sandbox", "de", None, ""),
    ]
    assert all(one["actor"].startswith("cli:") and one["since"].endswith("+00:00") for one in shown)
    assert "posting to all, customer 001 is paused by cli:" in meshline("status").output
    wrong = meshline("resume")
    assert wrong.exit_code == 1
    assert "posting to all is not paused by that name" in wrong.stderr
    assert "all, customer 001 is still paused (`meshline resume --customer 001` ends that)" in wrong.stderr
    assert meshline("resume", "--customer", "001").exit_code == 0
    assert len(json.loads(meshline("status", "--json").output)["paused"]) == 1
