"""What a stranger does with the package: Dagster's own tools on the reference location, and a project that only has the wheel."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent

PROJECT = """
[project]
name = "stranger"
version = "0.0.1"
requires-python = ">=3.11"

[tool.dg]
directory_type = "project"

[tool.dg.project]
root_module = "stranger"
code_location_target_module = "stranger.definitions"
"""
DEFINITIONS = """
from pathlib import Path
import dagster as dg

@dg.definitions
def defs():
    return dg.load_from_defs_folder(path_within_project=Path(__file__).resolve().parent)
"""


def tool(*command, cwd=ROOT, **environment):
    done = subprocess.run(
        [str(BIN / command[0]), *command[1:]],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "VIRTUAL_ENV": str(BIN.parent), **environment},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_dagsters_own_tools_accept_the_reference_location(place):
    assert "All definitions loaded successfully" in tool("dg", "check", "defs")
    assert "meshline_dagster.CrmToErpSync" in tool("dg", "list", "components")
    assert "All code locations passed validation" in tool("dagster", "definitions", "validate", "-w", "workspace.yaml")


def test_a_project_that_only_has_the_wheel_scaffolds_a_sync_and_runs_it(place, tmp_path):
    tool("python", "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path / "dist"), str(ROOT))
    [wheel] = (tmp_path / "dist").glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"meshline_dagster", "meshline_dagster-0.1.0.dist-info"}
    published = "meshline_dagster/contracts/published"
    assert {f"{published}/{one}" for one in ("vectors/order.created@1.0.0.json", "odcs/order.created@1.0.0.yaml")} < {
        *names
    }
    site, project = tmp_path / "site", tmp_path / "project"
    zipfile.ZipFile(wheel).extractall(site)
    (project / "stranger" / "defs").mkdir(parents=True)
    (project / "pyproject.toml").write_text(PROJECT)
    (project / "stranger" / "__init__.py").write_text("")
    (project / "stranger" / "definitions.py").write_text(DEFINITIONS)
    environment = {"PYTHONPATH": f"{site}{os.pathsep}{project}"}
    tool("dg", "scaffold", "defs", "meshline_dagster.CrmToErpSync", "orders", cwd=project, **environment)
    declared = project / "stranger" / "defs" / "orders" / "defs.yaml"
    declared.write_text(declared.read_text().replace("mode: shadow", "mode: live"))
    where = tool(
        "python", "-c", "import meshline_dagster; print(meshline_dagster.__file__)", cwd=project, **environment
    )
    assert str(site) in where
    partition = "from meshline_dagster.orchestration.partitions import today; print(today())"
    day = tool("python", "-c", partition, cwd=project, **environment).strip()
    tags = json.dumps({"meshline/mode": "poll", "dagster/partition": day})
    tool(
        *("dagster", "job", "execute", "-m", "stranger.definitions", "-j", "orders_sync", "--tags", tags),
        cwd=project,
        **environment,
    )
    due = [order for order in place.world.ground_truth["orders"].values() if order["class"] == "post"]
    assert place.orders() != {}
    assert sum(count for name, count in place.orders().items() if name.endswith(" open")) == sum(
        order["status"] == "open" for order in due
    )
