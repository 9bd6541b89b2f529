"""dbt in the run's own process reports to Dagster what ``DbtCliResource`` reports of the same selection."""

import json
import shutil
import sys
from collections import Counter
from pathlib import Path

import dagster as dg
import pytest
from dagster_dbt import DbtCliResource, dbt_assets

from meshline_dagster.orchestration.dbt_events import DbtStep
from meshline_dagster.orchestration.manifest import dbt_target_path, manifest
from meshline_dagster.orchestration.translator import MeshlineDbtTranslator, dbt_specs
from meshline_dagster.store import location
from meshline_dagster.warehouse import dbt
from meshline_dagster.warehouse.build import DERIVE, RECONCILE
from meshline_dagster.warehouse.connection import open_warehouse
from meshline_dagster.warehouse.records import BuildMode
from tests.end_to_end.conftest import QUIET
from tests.integration.warehouse.landed import Project, account, deal, instant, line, product

pytestmark = pytest.mark.slow

DBT = str(Path(sys.executable).parent / "dbt")
NO_UNIT_TESTS = "resource_type:unit_test"
OF_THE_RUN = {"invocation_id", "Execution Duration"}
"""Metadata that differs from one run of dbt to the next; that it is there is compared, its value is not."""


def by_dagster_dbt(select, *arguments, folder):
    """The same selection by the book: ``@dbt_assets`` over a dbt process of its own."""

    @dbt_assets(
        manifest=manifest(), select=select, exclude=NO_UNIT_TESTS, dagster_dbt_translator=MeshlineDbtTranslator()
    )
    def reference(context: dg.AssetExecutionContext, dbt: DbtCliResource):
        yield from dbt.cli(list(arguments), context=context, target_path=folder / "reference").stream()

    project = str(dbt.project_dir())
    resource = DbtCliResource(project_dir=project, profiles_dir=project, dbt_executable=DBT)
    return run(reference, dbt=resource)


def in_process(select, *arguments):
    """The product's own way, in a step that is only that."""
    specs, checks = dbt_specs(manifest(), select, {})

    @dg.multi_asset(specs=specs, check_specs=checks)
    def ours(context: dg.AssetExecutionContext):
        path = location.warehouse_path()
        with open_warehouse(path):
            step = DbtStep([*arguments, "--select", select, "--exclude", NO_UNIT_TESTS], path)
        yield from step.report(context)

    return run(ours)


def run(assets, **resources):
    with dg.DagsterInstance.ephemeral() as instance:
        return dg.materialize([assets], instance=instance, resources=resources, run_config=QUIET, raise_on_error=False)


def told(result, node=None):
    """What Dagster was told, in no order: of every event its key, its verdict and its metadata."""
    steps = [event for event in result.all_events if node is None or event.step_key == node]
    made = [
        event.step_materialization_data.materialization
        for event in steps
        if event.event_type is dg.DagsterEventType.ASSET_MATERIALIZATION
    ]
    checked = [
        event.asset_check_evaluation_data
        for event in steps
        if event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION
    ]
    observed = [event for event in steps if event.event_type is dg.DagsterEventType.ASSET_OBSERVATION]
    return Counter(
        [
            *(("made", one.asset_key.to_user_string(), metadata(one)) for one in made),
            *(
                (
                    "checked",
                    one.asset_key.to_user_string(),
                    one.check_name,
                    one.passed,
                    one.severity.value,
                    metadata(one),
                )
                for one in checked
            ),
            *(("observed", one.asset_key.to_user_string()) for one in observed),
        ]
    )


def metadata(event):
    known = {name: None if name in OF_THE_RUN else value.value for name, value in event.metadata.items()}
    return json.dumps(known, sort_keys=True, default=str)


def kinds(events):
    return Counter(event[0] for event in events.elements())


def test_a_build_of_the_sync_is_told_as_dagster_dbt_tells_it(place, monkeypatch, tmp_path):
    result = place.run()
    assert result.success
    monkeypatch.setenv("MESHLINE_WAREHOUSE", str(location.warehouse_path()))
    for step, select in (("derive", DERIVE), ("reconcile", RECONCILE)):
        ours = told(result, f"crm_to_erp_{step}")
        theirs = by_dagster_dbt(
            select, "build", "--full-refresh", folder=tmp_path
        )  # the second finds what the first parsed
        assert theirs.success
        assert kinds(ours).keys() == {"made", "checked"}
        assert ours == told(theirs)


@pytest.fixture
def broken(tmp_path, monkeypatch):
    """A built warehouse in which somebody has copied a row of ``canonical_events``; one of the tests that see it only warns."""
    project = tmp_path / "dbt_project"
    shutil.copytree(dbt.project_dir(), project, ignore=shutil.ignore_patterns("target", "logs"))
    declared = project / "models" / "marts" / "canonical_events.yml"
    strict = "name: canonical_events_have_unique_ids\n              config:\n"
    assert strict in declared.read_text()
    declared.write_text(declared.read_text().replace(strict, f"{strict}                severity: warn\n"))
    monkeypatch.setattr(dbt, "project_dir", lambda: project)
    monkeypatch.setenv("MESHLINE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MESHLINE_WAREHOUSE", raising=False)
    landed = Project(tmp_path / "home", target=dbt_target_path())
    landed.land([account("A1"), product("P1", "SKU-1"), deal("D1", instant(1)), line("L1", "D1", instant(1))])
    landed.build(BuildMode.FULL)
    landed.query("INSERT INTO marts.canonical_events SELECT * FROM marts.canonical_events")


def test_tests_that_fail_or_warn_are_told_as_dagster_dbt_tells_them(broken, monkeypatch, tmp_path):
    monkeypatch.setenv("MESHLINE_WAREHOUSE", str(location.warehouse_path()))
    ours, theirs = in_process(DERIVE, "test"), by_dagster_dbt(DERIVE, "test", folder=tmp_path)
    assert not ours.success
    assert not theirs.success
    assert told(ours) == told(theirs)
    failed = {event[2]: event[4] for event in told(ours) if event[0] == "checked" and not event[3]}
    assert failed["canonical_events_have_unique_ids"] == "WARN"
    assert "ERROR" in failed.values()
