"""An ERP that takes everything twice and acts too late: two documents, found by read-back, one taken back when finance has approved it."""

import json
import sqlite3
import time
from collections import Counter
from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path

import httpx
import pytest

from meshline_dagster.orchestration import connect
from meshline_dagster.orchestration.components import load_settings
from meshline_dagster.orchestration.sync import build_sync
from meshline_dagster.sandbox.crm import generate
from meshline_dagster.sandbox.erp.app import create_app as create_erp
from meshline_dagster.sandbox.serve import serve
from tests.end_to_end.conftest import ROOT

pytestmark = pytest.mark.slow

HEADERS = {"Authorization": "Bearer sandbox"}
SETTLE_AFTER, LATE = 1.0, 5.0


@pytest.fixture
def world():
    return generate(11, deals=20, days=15, bad_share=0.0)


@pytest.fixture
def careless(place, tmp_path, monkeypatch):
    """The reference sync into an ERP with neither keys nor unique external ids, which is to have acted on a request within a second."""
    quick = partial(connect.RestErpWriter, settle_after=timedelta(seconds=SETTLE_AFTER))
    monkeypatch.setattr(connect, "RestErpWriter", quick)
    settings = load_settings(Path(ROOT) / "assets" / "defs" / "crm_to_erp" / "defs.yaml")
    to = settings.destination.model_copy(update={"profile": "lookup_only"})
    defs = build_sync(settings.model_copy(update={"destination": to}))
    place.definitions = lambda: defs
    with serve(create_erp(tmp_path / "careless.db", profile="lookup_only")) as url:
        monkeypatch.setenv("MESHLINE_ERP_URL", url)
        place.erp_url = url
        yield place


def live_orders(place):
    """External id -> how many live documents carry it."""
    answer = httpx.get(f"{place.erp_url}/v1/sales-orders", params={"limit": 1000}, headers=HEADERS, timeout=30).json()
    return Counter(one["external_id"] for one in answer["documents"] if one["status"] != "cancelled")


def queue(place):
    return [json.loads(line) for line in place.said("exceptions", "list", "--json", "--limit", "0").splitlines()]


def entered_twice(place):
    """The external id of an order that the ERP holds twice, because it acted later than it promises."""
    late = {"fault": "late_commit", "path": "sales-orders", "at": [1], "seconds": LATE}
    place.faults(late)
    assert place.run().success
    deadline = time.monotonic() + 60
    while max(live_orders(place).values()) < 2 and time.monotonic() < deadline:
        time.sleep(0.2)
    [external_id] = [name for name, count in live_orders(place).items() if count > 1]
    return external_id


def test_a_late_commit_makes_two_documents_and_an_approval_leaves_one(careless):
    place = careless
    external_id = entered_twice(place)

    checks = place.run("crm_to_erp_checks", mode=None)
    assert checks.success
    assert place.status()["duplicates_in_erp"] == 1
    [item] = [one for one in queue(place) if one["code"] == "duplicate"]
    assert (item["priority"], item["owner"]) == ("P1", "finance")
    assert external_id in item["title"]
    [asked] = [json.loads(line) for line in place.command("approvals", "list", "--json").stdout.splitlines()]
    assert (asked["role"], asked["writes"], asked["kind"]) == ("finance", 1, "reversals")
    assert f"meshline approvals approve {asked['digest'][:16]}" in item["fix"]

    assert place.run().success  # it waits, whatever runs meanwhile
    assert live_orders(place)[external_id] == 2
    approved = place.command("approvals", "approve", asked["digest"][:16], "--reason", "seen in the ERP")
    assert approved.returncode == 0, approved.stderr
    assert place.run().success
    assert set(live_orders(place).values()) == {1}
    assert not [one for one in queue(place) if one["code"] == "duplicate"]
    status = place.status()
    assert (status["duplicates_in_erp"], status["parity"]) == (0, 1.0)
    place.said("audit", "verify")
    assert "reverse" in place.said("trace", external_id)

    journal = place.oracle()["journal"]
    assert place.run().success
    assert place.oracle()["journal"] == journal


def test_a_duplicate_that_somebody_deletes_in_the_erp_resolves_its_exception(careless, tmp_path):
    """No list of changes shows a deletion: it is asked for, and everything that counted the document follows."""
    place = careless
    external_id = entered_twice(place)
    assert place.run("crm_to_erp_checks", mode=None).success
    assert [one["code"] for one in queue(place) if one["code"] == "duplicate"] == ["duplicate"]
    with closing(sqlite3.connect(tmp_path / "careless.db", isolation_level=None)) as erp:
        newest = "select max(seq) from document where kind = 'sales_order' and external_id = ?"
        erp.execute(f"delete from document where seq = ({newest})", [external_id])
    assert live_orders(place)[external_id] == 1
    time.sleep(SETTLE_AFTER)
    assert place.run("crm_to_erp_checks", mode=None).success
    assert not [one for one in queue(place) if one["code"] == "duplicate"]
    status = place.status()
    assert (status["duplicates_in_erp"], status["parity"]) == (0, 1.0)
    assert place.said("approvals", "list", "--json") == ""
