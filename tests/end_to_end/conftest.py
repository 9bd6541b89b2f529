"""A whole sync in a folder of its own: sandbox CRM and ERP over HTTP, the reference code location, Dagster's storage."""

import json
import os
import shutil
import subprocess
import sys
from contextlib import nullcontext
from functools import cache
from pathlib import Path

import dagster as dg
import httpx
import pytest
from typer.testing import CliRunner

from meshline_dagster.cli import app
from meshline_dagster.cli.demo import dagster_home
from meshline_dagster.governance.figures import read_figures
from meshline_dagster.orchestration.manifest import dbt_target_path
from meshline_dagster.sandbox.crm import CrmSandbox, create_app, generate
from meshline_dagster.sandbox.erp.app import create_app as create_erp
from meshline_dagster.sandbox.serve import serve
from meshline_dagster.store import location
from meshline_dagster.store.engine import open_store
from tests.made_once import parsed_project

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
ROOT = Path(__file__).resolve().parents[2]
WORKER = Path(__file__).with_name("run_job.py")


def reference_location():
    from assets.definitions import defs

    return defs()


class Place:
    """One installation: its stores, its servers, its code location."""

    def __init__(self, home, crm, erp_url, world, instance):
        self.home, self.crm, self.erp_url, self.world, self.instance = home, crm, erp_url, world, instance
        self.definitions = cache(reference_location)
        self.http = httpx.Client(
            timeout=60
        )  # one for all: tests ask again and again, and to make one takes longer than to ask

    def run(self, job="crm_to_erp_sync", *, mode="poll", days=None, ops=None):
        """Run a job of the reference code location in this process; a poll unless told otherwise."""
        from meshline_dagster.orchestration.partitions import today

        first, last = days or (today(), today())
        tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
        if mode is not None:
            tags["meshline/mode"] = mode
        definition = self.definitions().get_repository_def().get_job(job)
        if ops is not None:
            definition = definition.get_subset(asset_selection={dg.AssetKey(key) for key in ops})
        with self.dagster() as instance:
            return definition.execute_in_process(run_config=QUIET, instance=instance, tags=tags, raise_on_error=False)

    def dagster(self):
        """Dagster's instance, to be used in a ``with``."""
        return dg.DagsterInstance.get() if self.instance is None else nullcontext(self.instance)

    def start(self, *arguments, **environment):
        """The same in a process of its own."""
        return subprocess.Popen(
            [sys.executable, str(WORKER), *arguments],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def command(self, *arguments):
        """The command line, as a user types it. Each command is typed by one test at least; what is only asked, :meth:`said` knows sooner."""
        command = [sys.executable, "-c", "from meshline_dagster.cli import main; main()", *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    def said(self, *arguments):
        """What a command says, in this process: one of its own imports for a second and more."""
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, (done.output, done.exception)
        return done.stdout

    def store(self):
        return open_store(location.store_url())

    def figures(self):
        store = self.store()
        try:
            return read_figures(store, location.published_path(), "sandbox")
        finally:
            store.close()

    def oracle(self):
        """What the ERP itself says that it holds."""
        return self.http.get(f"{self.erp_url}/control/oracle").json()

    def orders(self):
        return self.oracle()["orders"]

    def faults(self, *plan):
        httpx.post(f"{self.erp_url}/control/faults", json={"plan": list(plan)}, timeout=10).raise_for_status()

    def status(self):
        return json.loads(self.said("status", "--json"))


@pytest.fixture(scope="session")
def parsed():
    """The parsed dbt project, made once for all places."""
    return parsed_project()


@pytest.fixture
def world():
    """Override it to serve other records."""
    return generate(11, deals=60, days=30, bad_share=0.2)


@pytest.fixture
def dagster_storage():
    """Override it with "stored" where other processes read what Dagster keeps; a run costs half as much in memory."""
    return "memory"


@pytest.fixture
def place(tmp_path, monkeypatch, parsed, world, dagster_storage):
    home = tmp_path / "meshline"
    monkeypatch.setenv("MESHLINE_HOME", str(home))
    for name in ("MESHLINE_STORE_URL", "MESHLINE_LANDING", "MESHLINE_WAREHOUSE", "MESHLINE_ALERT_URLS"):
        monkeypatch.delenv(name, raising=False)
    shutil.copytree(parsed, dbt_target_path())
    monkeypatch.setenv("DAGSTER_HOME", str(dagster_home(home / "dagster")))
    crm = CrmSandbox(world)
    with serve(create_app(crm)) as crm_url, serve(create_erp(home / "erp.db")) as erp_url:
        monkeypatch.setenv("MESHLINE_CRM_URL", crm_url)
        monkeypatch.setenv("MESHLINE_CRM_CLIENT_ID", "sandbox-client")
        monkeypatch.setenv("MESHLINE_CRM_CLIENT_SECRET", "sandbox-secret")
        monkeypatch.setenv("MESHLINE_ERP_URL", erp_url)
        monkeypatch.setenv("MESHLINE_ERP_TOKEN", "sandbox")
        with dg.DagsterInstance.ephemeral() as instance:
            place = Place(home, crm, erp_url, world, instance if dagster_storage == "memory" else None)
            with place.http:
                yield place
