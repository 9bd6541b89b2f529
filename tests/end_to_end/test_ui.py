"""Dagster's daemon and web interface over the reference location: a backfill as a user launches it, and what he sees."""

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select

from meshline_dagster.store.exceptions import open_codes
from meshline_dagster.store.tables import build

pytestmark = [pytest.mark.slow, pytest.mark.browser]

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]
DAEMON = """
from dagster._daemon import cli, controller
controller.DEFAULT_DAEMON_INTERVAL_SECONDS = 2  # Dagster's own 30 between two looks at a backfill cannot be set
cli.main()
"""
LAUNCH = """mutation($p: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $p) {
  __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
BACKFILL = """query($i: String!) { partitionBackfillOrError(backfillId: $i) {
  ... on PartitionBackfill { status runs(limit: 10) { id status } } } }"""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture
def dagster_storage():
    return "stored"


@pytest.fixture
def ui(place):
    """Webserver and daemon over ``workspace.yaml``; yields the address."""
    assert place.run().success
    port = free_port()
    commands = (
        ["-m", "dagster_webserver", "-w", "workspace.yaml", "-h", "127.0.0.1", "-p", str(port)],
        ["-c", DAEMON, "run", "-w", "workspace.yaml"],
    )
    log = (place.home / "ui.log").open("wb")
    processes = [
        subprocess.Popen(
            [sys.executable, *command], cwd=ROOT, env=dict(os.environ), stdout=log, stderr=subprocess.STDOUT
        )
        for command in commands
    ]
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: httpx.get(f"{address}/server_info", timeout=5).is_success, 180)
        yield address
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
        log.close()


def wait_for(done, seconds):
    deadline = time.monotonic() + seconds
    while True:
        try:
            if done():
                return
        except httpx.TransportError:
            pass
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.5)


def ask(address, query, **variables):
    answer = httpx.post(f"{address}/graphql", json={"query": query, "variables": variables}, timeout=120).json()
    assert "errors" not in answer, answer
    return answer["data"]


def backfill(address, days):
    nodes = ask(address, "{ assetNodes { assetKey { path } } }")["assetNodes"]
    selection = [{"path": node["assetKey"]["path"]} for node in nodes]
    params = {"assetSelection": selection, "partitionNames": days, "tags": []}
    launched = ask(address, LAUNCH, p=params)["launchPartitionBackfill"]
    assert launched["__typename"] == "LaunchBackfillSuccess", launched
    found = {}

    def ended():
        found.update(ask(address, BACKFILL, i=launched["backfillId"])["partitionBackfillOrError"])
        return found["status"].startswith(("COMPLETED", "FAILED", "CANCELED"))

    wait_for(ended, 420)
    return found


def second_document(place):
    """Somebody enters an order of ours a second time in the ERP."""
    headers = {"Authorization": "Bearer sandbox"}
    first = httpx.get(f"{place.erp_url}/v1/sales-orders", params={"limit": 1}, headers=headers, timeout=30).json()
    document = first["documents"][0]
    body = {name: value for name, value in document.items() if name not in {"id", "number", "updated_at", "created_at"}}
    made = httpx.post(
        f"{place.erp_url}/v1/sales-orders", json=body, headers={**headers, "Idempotency-Key": "by-hand"}, timeout=30
    )
    assert made.status_code == 201, made.text


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: .ci/run installs it where it may")
def test_a_backfill_of_the_whole_graph_posts_nothing_twice_and_the_ui_shows_everything(place, ui, tmp_path):
    journal = place.oracle()["journal"]
    days = [f"2026-01-{day:02d}" for day in range(5, 32)]
    found = backfill(ui, days)
    assert found["status"] == "COMPLETED_SUCCESS", found
    assert {run["status"] for run in found["runs"]} == {"SUCCESS"}
    assert place.oracle()["journal"] == journal
    store = place.store()
    with store.read() as connection:  # the poll sensor may have had builds of its own since
        columns = (build.c.replay_from, build.c.replay_to)
        planned = connection.execute(select(*columns).where(build.c.planned_at.is_not(None), build.c.mode == "replay"))
        assert [tuple(str(day) for day in row) for row in planned][-1:] == [(days[0], days[-1])]
    store.close()

    second_document(place)
    checks = place.run("crm_to_erp_checks", mode=None)
    assert checks.success
    assert place.status()["duplicates_in_erp"] == 1
    failed = {one.check_name: one.metadata for one in checks.get_asset_check_evaluations() if not one.passed}

    from playwright.sync_api import sync_playwright

    pages = {
        "/asset-groups/": ("raw", "staging", "marts", "delivery"),
        "/assets/salesforce/opportunity?view=partitions": ("Partitions Selected", "Materialized ("),
        "/assets/fct_reconciliation?view=checks&checkDetail=duplicates": ("Failed", *failed["duplicates"]),
        "/assets/sandbox/postings?view=overview": ("Metadata", "ledger/sales_order/posted"),
    }
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1600, "height": 1000})
        for number, (path, texts) in enumerate(pages.items()):
            page.goto(f"{ui}{path}")
            try:
                for text in texts:
                    page.get_by_text(text).first.wait_for(timeout=60_000)
            finally:
                page.screenshot(path=tmp_path / f"page{number}.png")
        browser.close()
    for number in range(len(pages)):
        assert (tmp_path / f"page{number}.png").stat().st_size > 10_000

    wait_for(lambda: "check_failed" in codes(place), 120)  # the sensor comes every half minute
    shown = place.said("exceptions", "list", "--limit", "0")
    assert "The check duplicates of fct_reconciliation failed" in shown


def codes(place):
    """Of what waits for a person."""
    store = place.store()
    with store.read() as connection:
        found = open_codes(connection)
    store.close()
    return found
