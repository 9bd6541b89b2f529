"""``make up``: webserver, daemon and sandbox come up, the sensor starts a run that posts, and everything ends with it."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are found by /proc"),
    pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed"),
]

ROOT = Path(__file__).resolve().parents[2]
RUNS = '{ runsOrError(filter: {pipelineName: "crm_to_erp_sync"}) { ... on Runs { results { status tags { key value } } } } }'
SENSORS = """{ workspaceOrError { ... on Workspace { locationEntries { locationOrLoadError { ... on RepositoryLocation {
  repositories { sensors { name sensorState { status } } } } } } } } }"""


class Up:
    """One ``make up`` with a home of its own, in a session of its own, as a terminal starts it."""

    def __init__(self, home, log):
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self.port = listener.getsockname()[1]
        self.home, self.log = home, log
        absent = {"MESHLINE_STORE_URL", "MESHLINE_LANDING", "MESHLINE_WAREHOUSE", "MESHLINE_ALERT_URLS", "DAGSTER_HOME"}
        environment = {name: value for name, value in os.environ.items() if name not in absent}
        environment |= {
            "MESHLINE_HOME": str(home),
            "MESHLINE_SHARED_DATA": str(home / "absent"),
            "PYTHONUNBUFFERED": "1",
        }
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                ["make", "up", f"PORT={self.port}"],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_for(self, done, seconds, *, alive=True):
        deadline = time.monotonic() + seconds
        while True:
            try:
                if found := done():
                    return found
            except httpx.TransportError:
                pass
            assert not alive or self.process.poll() is None, self.said()
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.3)

    def said(self):
        return self.log.read_text(errors="replace")[-6000:]

    def url(self, name):
        found = re.search(rf"^{name}\s+(http://127\.0\.0\.1:\d+)", self.log.read_text(errors="replace"), re.MULTILINE)
        return found and found[1]

    def ask(self, query):
        answer = httpx.post(f"http://127.0.0.1:{self.port}/graphql", json={"query": query}, timeout=60).json()
        assert "errors" not in answer, answer
        return answer["data"]

    def family(self):
        """Everything that runs with this home: process id -> command."""
        mark, found = f"MESHLINE_HOME={self.home}".encode(), {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue  # it has just ended
        return found

    def kill_what_is_left(self):
        for number in self.family():
            os.kill(number, signal.SIGKILL)
        self.process.wait(timeout=30)


@pytest.fixture
def up(tmp_path):
    started = Up(tmp_path / "home", tmp_path / "up.log")
    yield started
    started.kill_what_is_left()


@pytest.fixture
def up_again(tmp_path, parsed):
    """It where it has been started before: the dbt project is parsed."""
    shutil.copytree(parsed, tmp_path / "home" / "dbt" / parsed.name)
    started = Up(tmp_path / "home", tmp_path / "up.log")
    yield started
    started.kill_what_is_left()


def all_gone(up):
    """Everything ends within what is granted: six seconds to webserver and daemon together, four to each sandbox; 30 on a busy machine."""
    up.wait_for(lambda: up.process.poll() is not None, 30, alive=False)
    up.wait_for(lambda: not up.family(), 5, alive=False)


def test_it_prints_its_addresses_serves_them_ticks_a_run_and_ends_with_ctrl_c(up):
    up.wait_for(lambda: "Ctrl-C ends everything" in up.said(), 120)
    assert up.url("Dagster") == f"http://127.0.0.1:{up.port}"
    assert up.wait_for(lambda: httpx.get(f"{up.url('Dagster')}/server_info", timeout=5).is_success, 180)
    assert httpx.get(f"{up.url('CRM')}/services/data/", timeout=10).is_success

    def sensors():
        entries = up.ask(SENSORS)["workspaceOrError"]["locationEntries"]
        loaded = [one for entry in entries for one in (entry["locationOrLoadError"] or {}).get("repositories", [])]
        return {one["name"]: one["sensorState"]["status"] for repository in loaded for one in repository["sensors"]}

    assert up.wait_for(sensors, 120) == {
        "crm_to_erp_poll": "RUNNING",
        "crm_to_erp_drain": "RUNNING",
        "crm_to_erp_alerts": "RUNNING",
    }

    def ended():
        runs = up.ask(RUNS)["runsOrError"]["results"]
        return [run for run in runs if run["status"] in {"SUCCESS", "FAILURE", "CANCELED"}]

    first = up.wait_for(ended, 400)[-1]
    assert first["status"] == "SUCCESS", up.said()
    assert {"key": "meshline/mode", "value": "poll"} in first["tags"]
    oracle = httpx.get(f"{up.url('ERP')}/control/oracle", timeout=30).json()
    assert sum(oracle["orders"].values()) > 0
    assert oracle["duplicates"] == []

    os.killpg(up.process.pid, signal.SIGINT)  # what a terminal does
    all_gone(up)
    assert "stopping" in up.said()


def test_a_sigterm_ends_everything_too(up_again):
    up = up_again
    up.wait_for(lambda: up.url("Dagster"), 120)
    up.wait_for(lambda: httpx.get(f"{up.url('Dagster')}/server_info", timeout=5).is_success, 180)
    assert len(up.family()) >= 5  # make, meshline, CRM, ERP, webserver, daemon, their code servers
    up.process.send_signal(signal.SIGTERM)
    all_gone(up)


def test_a_sigterm_while_it_starts_leaves_no_sandbox_behind(up):
    up.wait_for(lambda: any("meshline_dagster.sandbox.erp" in command for command in up.family().values()), 120)
    up.process.send_signal(signal.SIGTERM)
    all_gone(up)
