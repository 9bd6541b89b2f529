"""Milestones from the command line: planned, reached, dropped, listed, and many at once from a file."""

import asyncio
import json

import pytest
from typer.testing import CliRunner

from meshline_dagster.cli import app
from meshline_dagster.delivery.engine import deliver
from meshline_dagster.store.engine import open_store
from meshline_dagster.store.location import store_url
from meshline_dagster.testing.memory_erp import MemoryErp, MemoryWriter
from tests.integration.test_delivery_engine import OPTIONS, customer, order, plan_rows

DEAL = order(1).entity_key.rpartition("/")[2]


@pytest.fixture
def meshline(tmp_path, monkeypatch):
    """The commands on a store that has two posted orders."""
    monkeypatch.setenv("MESHLINE_HOME", str(tmp_path))
    monkeypatch.delenv("MESHLINE_STORE_URL", raising=False)
    store = open_store(store_url())
    plan_rows(store, [customer(), order(1), order(2)], OPTIONS)
    asyncio.run(deliver(store, MemoryWriter(MemoryErp()), OPTIONS, actor="run-1"))
    store.close()

    def call(*words):
        return CliRunner().invoke(app, ["milestones", *words])

    return call


def listed(meshline, *words):
    return [json.loads(text) for text in meshline("list", *words, "--json").output.splitlines()]


def test_milestones_are_planned_reached_and_dropped(meshline):
    assert meshline("list").output == "no milestones are planned\n"
    assert meshline("plan", DEAL, "--name", "design", "--percent", "30").exit_code == 0
    assert meshline("plan", DEAL, "--name", "build", "--amount", "7", "--reason", "as signed").exit_code == 0
    reached = meshline("reach", DEAL, "design", "--on", "2026-04-01")
    assert reached.output == f"{order(1).entity_key}: design is reached on 2026-04-01\n"
    shown = [[one[name] for name in ("name", "percent", "amount", "reached_on", "reason")] for one in listed(meshline)]
    assert shown == [["build", None, "7", None, "as signed"], ["design", "30", None, "2026-04-01", ""]]
    assert listed(meshline, order(2).entity_key) == []
    assert meshline("drop", DEAL, "design").exit_code == 0
    assert meshline("drop", DEAL, "design").exit_code == 1
    assert [one["name"] for one in listed(meshline)] == ["build"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("plan", "nobody", "--name", "a", "--percent", "1"), "0 orders are called 'nobody'"),
        (("plan", DEAL, "--name", "a"), "needs a percentage or an amount"),
        (("plan", DEAL, "--name", "a", "--percent", "many"), "percent is a decimal number, not 'many'"),
        (("plan", DEAL, "--name", "a", "--percent", "NaN"), "percent is a decimal number, not 'NaN'"),
        (("reach", DEAL, "a", "--on", "2026-04-01"), "has no milestone 'a'"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(meshline, words, said):
    result = meshline(*words)
    assert result.exit_code == 1
    assert said in str(result.exception)
    assert listed(meshline) == []


def write(tmp_path, *lines):
    file = tmp_path / "milestones.csv"
    file.write_text("\n".join(["order,name,percent,amount,reached_on", *lines]))
    return str(file)


def test_a_file_has_many_planned_and_reached_or_none_where_a_line_is_wrong(meshline, tmp_path):
    good = [f"{DEAL},design,30,,2026-04-01", f"{DEAL},build,70,,", f"{order(2).entity_key},all,,10,"]
    for wrong in ("nobody,all,100,,", f"{DEAL},test,,,2026-13-01", f"{DEAL},test,x,,", f"{DEAL},test,,,2026-04-01"):
        refused = meshline("import", write(tmp_path, *good, wrong))
        assert refused.exit_code == 1
        assert listed(meshline) == []
    assert "line 5" in str(refused.exception)
    assert meshline("import", write(tmp_path, *good), "--reason", "the plan of April").output == "3 milestones\n"
    assert [(one["name"], one["reached_on"]) for one in listed(meshline)] == [
        ("design", "2026-04-01"),
        ("build", None),
        ("all", None),
    ]
    assert meshline("import", write(tmp_path, f"{DEAL},build,,,2026-05-01")).exit_code == 0
    assert listed(meshline, DEAL)[-1]["reached_on"] == "2026-05-01"
