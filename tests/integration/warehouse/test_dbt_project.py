"""The dbt project by itself: everything that `dbt build` runs, unit tests included."""

import pytest

from meshline_dagster.warehouse.build import prepare
from meshline_dagster.warehouse.connection import open_warehouse
from meshline_dagster.warehouse.dbt import run_dbt
from meshline_dagster.warehouse.records import BuildMode
from tests.integration.warehouse.landed import Project, account, deal, instant, line, product


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    project = Project(tmp_path_factory.mktemp("project"))
    project.land([account("A1"), product("P1", "SKU-1"), deal("D1", instant()), line("L1", "D1", instant())])
    with open_warehouse(project.warehouse) as connection:
        prepare(connection, project.spec(BuildMode.FULL))
        result = run_dbt(["build", "--full-refresh"], warehouse=project.warehouse, target_path=project.target)
    result.raise_for_failure()
    return result.nodes


def test_every_model_test_and_unit_test_passes(nodes):
    assert {node.status for node in nodes} == {"success", "pass"}
    kinds = {node.unique_id.partition(".")[0] for node in nodes}
    assert kinds == {"model", "test", "unit_test"}


@pytest.mark.parametrize("mart", ["canonical_events", "event_dispositions", "outbox", "fct_reconciliation"])
def test_a_unit_test_stands_beside_the_mart(nodes, mart):
    assert any(node.unique_id.startswith(f"unit_test.meshline.{mart}.") for node in nodes)
