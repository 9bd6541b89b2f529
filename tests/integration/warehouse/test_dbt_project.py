"""The dbt project by itself: everything that `dbt build` runs, unit tests included."""

import pytest
import yaml

from meshline_dagster.warehouse.build import prepare
from meshline_dagster.warehouse.connection import open_warehouse
from meshline_dagster.warehouse.dbt import project_dir, run_dbt
from meshline_dagster.warehouse.records import BuildMode
from tests.integration.warehouse.landed import Project, account, deal, instant, line, product


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    project = Project(tmp_path_factory.mktemp("project"))
    project.land([account("A1"), product("P1", "SKU-1"), deal("D1", instant()), line("L1", "D1", instant())])
    with open_warehouse(project.warehouse) as connection:
        prepare(connection, project.spec(BuildMode.FULL))
        result = run_dbt(["build", "--full-refresh"], warehouse=project.warehouse, target_path=project.target)
    result.raise_for_failure()
    return project, result.nodes


def test_every_model_test_and_unit_test_passes(built):
    _, nodes = built
    assert {node.status for node in nodes} == {"success", "pass"}
    kinds = {node.unique_id.partition(".")[0] for node in nodes}
    assert kinds == {"model", "test", "unit_test"}


@pytest.mark.parametrize("mart", ["canonical_events", "event_dispositions", "outbox", "fct_reconciliation"])
def test_a_unit_test_stands_beside_the_mart(built, mart):
    _, nodes = built
    assert any(node.unique_id.startswith(f"unit_test.meshline.{mart}.") for node in nodes)


def test_every_model_is_described_and_every_described_column_is_there(built):
    models = project_dir() / "models"
    described = {
        model["name"]: model
        for file in models.rglob("*.yml")
        for model in yaml.safe_load(file.read_text()).get("models", ())
    }
    assert sorted(described) == sorted(path.stem for path in models.rglob("*.sql"))
    project, _ = built
    columns = set(project.query("SELECT table_name, column_name FROM information_schema.columns"))
    for name, model in described.items():
        assert model["description"].strip().endswith(".")
        missing = {column["name"] for column in model.get("columns", ())} - {
            one for table, one in columns if table == name
        }
        assert not missing, name


def test_the_marts_have_enforced_contracts_that_name_every_column(built):
    project, _ = built
    for file in (project_dir() / "models" / "marts").glob("*.yml"):
        content = yaml.safe_load(file.read_text())
        if "models" not in content:
            assert list(content) == ["version", "unit_tests"]
            continue
        [model] = content["models"]
        assert model["config"]["contract"]["enforced"] is True
        found = project.query(
            "SELECT column_name FROM information_schema.columns WHERE table_schema = 'marts'"
            f" AND table_name = '{model['name']}' ORDER BY ordinal_position"
        )
        assert [column["name"] for column in model["columns"]] == [name for (name,) in found]
