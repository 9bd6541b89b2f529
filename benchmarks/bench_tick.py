"""One tick against a bare run, through the same daemon and code location. Target: at most 2 times.

A tick: one deal changes in the CRM, the sensor asks for a run, the order is amended in the ERP. Measured from the run's creation to the
end of its posting step. The bare run has two assets that do nothing, launched over GraphQL, from creation to its end.
Run: python benchmarks/bench_tick.py [REPEATS]
"""

import os
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from meshline_dagster.cli.demo import dagster_home
from meshline_dagster.sandbox.crm import CrmSandbox, create_app, generate
from meshline_dagster.sandbox.erp.app import create_app as create_erp
from meshline_dagster.sandbox.serve import serve

ROOT = Path(__file__).resolve().parents[1]
PORT = 3917
LOCATION = """
import dagster as dg
import assets.definitions as reference

@dg.asset
def bare_one():
    return None

@dg.asset(deps=[bare_one])
def bare_two():
    return None

@dg.definitions
def defs():
    bare = dg.Definitions(assets=[bare_one, bare_two], jobs=[dg.define_asset_job("bare", [bare_one, bare_two])])
    return dg.Definitions.merge(reference.defs(), bare)
"""
LAUNCH = """mutation { launchRun(executionParams: {mode: "default", selector: {jobName: "bare",
  repositoryName: "__repository__", repositoryLocationName: "bench"}}) {
  __typename ... on LaunchRunSuccess { run { runId } } } }"""
RUNS = """{ runsOrError(limit: 5) { ... on Runs { results { runId jobName status creationTime endTime
  stepStats { stepKey endTime } } } } }"""


def ask(query: str) -> Any:
    answer = httpx.post(f"http://127.0.0.1:{PORT}/graphql", json={"query": query}, timeout=60).json()
    assert "errors" not in answer, answer
    return answer["data"]


def runs() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ask(RUNS)["runsOrError"]["results"]
    return found


def wait_for(found: Callable[[], Any], seconds: float = 180.0) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            value = found()
        except httpx.TransportError:
            value = None
        if value:
            return value
        time.sleep(0.5)
    raise AssertionError("it did not happen in time")


def finished(known: set[str], job: str) -> dict[str, Any] | None:
    for run in runs():
        if run["runId"] not in known and run["jobName"] == job:
            assert run["status"] != "FAILURE", run
            if run["status"] == "SUCCESS":
                return run
    return None


def quiet() -> bool:
    return all(run["status"] in {"SUCCESS", "FAILURE"} for run in runs())


def bare() -> float:
    known = {run["runId"] for run in runs()}
    ask(LAUNCH)
    run = wait_for(lambda: finished(known, "bare"))
    return float(run["endTime"] - run["creationTime"])


def tick(crm: CrmSandbox, deal: str, number: int) -> float:
    known = {run["runId"] for run in runs()}
    crm.clock.advance(60)
    crm.upsert("Opportunity", {"Id": deal, "PO_Number__c": f"PO-{number}"})
    crm.clock.advance(60)
    run = wait_for(lambda: finished(known, "crm_to_erp_sync"))
    [posted] = [step["endTime"] for step in run["stepStats"] if step["stepKey"] == "sandbox__postings"]
    return float(posted - run["creationTime"])


def main() -> None:
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    crm = CrmSandbox(generate(3, deals=100, days=30))
    orders = crm.world.ground_truth["orders"].items()
    deal = next(key for key, order in orders if order["class"] == "post" and order["status"] == "open")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        (home / "bench_location.py").write_text(textwrap.dedent(LOCATION))
        (home / "workspace.yaml").write_text(
            "load_from:\n  - python_module:\n      module_name: bench_location\n      location_name: bench\n"
            f"      working_directory: {home}\n"
        )
        with serve(create_app(crm)) as crm_url, serve(create_erp(home / "erp.db")) as erp_url:
            environment = {
                **os.environ,
                "MESHLINE_CRM_URL": crm_url,
                "MESHLINE_CRM_CLIENT_ID": "sandbox-client",
                "MESHLINE_CRM_CLIENT_SECRET": "sandbox-secret",
                "MESHLINE_ERP_URL": erp_url,
                "MESHLINE_ERP_TOKEN": "sandbox",
                "MESHLINE_HOME": str(home),
                "DAGSTER_HOME": str(dagster_home(home / "dagster")),
                "PYTHONPATH": str(ROOT),
            }
            commands = (
                ["dagster_webserver", "-w", f"{home}/workspace.yaml", "-h", "127.0.0.1", "-p", str(PORT)],
                ["dagster._daemon", "run", "-w", f"{home}/workspace.yaml"],
            )
            log = (home / "log").open("wb")
            processes = [
                subprocess.Popen([sys.executable, "-m", *command], env=environment, stdout=log, stderr=log)
                for command in commands
            ]
            try:
                wait_for(lambda: finished(set(), "crm_to_erp_sync"))
                wait_for(quiet)
                pairs = []
                for number in range(repeats):
                    pairs.append((bare(), tick(crm, deal, number)))
                    wait_for(quiet)
                    print(
                        f"bare run {pairs[-1][0]:.1f} s, tick {pairs[-1][1]:.1f} s, ratio {pairs[-1][1] / pairs[-1][0]:.2f}"
                    )
            except AssertionError:
                print((home / "log").read_text()[-4000:])
                raise
            finally:
                for process in processes:
                    process.terminate()
                for process in processes:
                    process.wait()
                log.close()
    print(f"median ratio {statistics.median(tick / alone for alone, tick in pairs):.2f} (target at most 2)")


if __name__ == "__main__":
    main()
