"""A sync whose source is a folder of files: CSV, and CSV as SAP downloads it, through the whole graph into the ERP."""

import os
import time
from datetime import date
from decimal import Decimal

import httpx
import pytest

from meshline_dagster.orchestration.connect import feed_specs
from meshline_dagster.orchestration.modes import MODE_TAG
from meshline_dagster.orchestration.partitions import today
from meshline_dagster.orchestration.poll_sensor import reasons_to_run
from meshline_dagster.orchestration.resources import MeshlineResource
from meshline_dagster.orchestration.settings import FileDropSource, RestDestination, SyncSettings
from meshline_dagster.orchestration.sync import build_sync
from meshline_dagster.store.exceptions import exceptions
from tests.end_to_end.conftest import QUIET

pytestmark = pytest.mark.slow

SAP = {"preset": "sap", "pattern": "*.csv", "time_zone": "Europe/Berlin", "id": "Id", "stamp": "ChangedAt"}
SETTINGS = SyncSettings(
    name="drop",
    origin=date(2026, 1, 1),
    mode="live",
    lag_seconds=0,
    sources=(
        FileDropSource(
            instance="sap",
            objects={
                "account": {
                    "columns": {
                        "Id": {"type": "string", "header": "number"},
                        "Name": {"type": "string", "header": "name"},
                        "BillingCountry": {"type": "string", "header": "country"},
                    },
                    "id": "Id",
                    "pattern": "*.csv",
                    "view": "salesforce__account",
                },
                "product": {
                    "columns": {
                        "Id": {"type": "string"},
                        "ProductCode": {"type": "string"},
                        "Name": {"type": "string"},
                    },
                    "id": "Id",
                    "pattern": "*.csv",
                    "view": "salesforce__product2",
                },
                "order": SAP
                | {
                    "columns": {
                        "Id": {"type": "string", "header": "Auftrag"},
                        "ChangedAt": {"type": "timestamp", "header": "Geändert am"},
                        "AccountId": {"type": "string", "header": "Kunde"},
                        "Amount": {"type": "decimal", "header": "Betrag"},
                        "CurrencyIsoCode": {"type": "string", "header": "Währung"},
                        "IsWon": {"type": "boolean", "header": "Gewonnen"},
                        "CloseDate": {"type": "date", "header": "Belegdatum"},
                    },
                    "view": "salesforce__opportunity",
                },
                "order_line": SAP
                | {
                    "columns": {
                        "Id": {"type": "string", "header": "Position"},
                        "ChangedAt": {"type": "timestamp", "header": "Geändert am"},
                        "OpportunityId": {"type": "string", "header": "Auftrag"},
                        "Product2Id": {"type": "string", "header": "Artikel"},
                        "Quantity": {"type": "decimal", "header": "Menge"},
                        "UnitPrice": {"type": "decimal", "header": "Preis"},
                        "TotalPrice": {"type": "decimal", "header": "Betrag"},
                    },
                    "view": "salesforce__opportunity_line_item",
                },
            },
        ),
    ),
    destination=RestDestination(sandbox=True),
)
ORDERS = "Auftrag;Geändert am;Kunde;Betrag;Währung;Gewonnen;Belegdatum;Notiz"
LINES = "Position;Geändert am;Auftrag;Artikel;Menge;Preis;Betrag"


@pytest.fixture
def drop(place, tmp_path, monkeypatch):
    """The folder, with masters and the first night's files."""
    folder = tmp_path / "drop"
    monkeypatch.setenv("MESHLINE_DROP_URL", str(folder))
    for name in ("account", "product", "order", "order_line"):
        (folder / name).mkdir(parents=True)
    write(folder / "account" / "all.csv", ["number,name,country", "K1,Müller & Söhne,DE", 'K2,"Dupont, SA",FR'])
    write(folder / "product" / "all.csv", ["Id,ProductCode,Name", "P1,SKU-1,Motor", "P2,SKU-2,Getriebe"])
    orders = [
        ORDERS,
        "D1;01.10.2026 09:00:00;K1;1.234,50;EUR;true;30.09.2026;grün",
        "D2;01.10.2026 09:30:00;K2;300,00;EUR;true;01.10.2026;",
        "D3;01.10.2026 09:40:00;K2;12,34,56;EUR;true;01.10.2026;",
        "D4;01.10.2026 09:50:00;K2;80,00;EUR;false;01.10.2026;",
    ]
    write(folder / "order" / "night-1.csv", orders, "cp1252")
    lines = [
        LINES,
        "D1-10;01.10.2026 09:00:00;D1;P1;3,000;411,50;1.234,50",
        "D2-10;01.10.2026 09:30:00;D2;P1;1,000;100,00;100,00",
        "D2-20;01.10.2026 09:30:00;D2;P2;2,000;100,00;200,00",
        "D3-10;01.10.2026 09:40:00;D3;P2;0,500;100,00;50,00",
    ]
    write(folder / "order_line" / "night-1.csv", lines, "cp1252")
    return folder


def write(path, lines, encoding="utf-8"):
    """A file that was written an hour ago, and gets its name now that it is complete."""
    partial = path.with_suffix(".part")
    partial.write_bytes("\r\n".join(lines).encode(encoding))
    then = time.time() - 3600
    os.utime(partial, (then, then))
    partial.rename(path)


def sync(place, mode="poll"):
    job = build_sync(SETTINGS).get_repository_def().get_job("drop_sync")
    with place.dagster() as instance:
        done = job.execute_in_process(
            run_config=QUIET, instance=instance, partition_key=today(), tags={MODE_TAG: mode}, raise_on_error=False
        )
    assert done.success, [event for event in done.all_events if event.is_failure]


def in_erp(place):
    """Open orders by their number: currency, amount, and their lines' item, quantity and amount."""
    answer = httpx.get(
        f"{place.erp_url}/v1/sales-orders",
        params={"limit": 500},
        headers={"Authorization": "Bearer sandbox"},
        timeout=30,
    )
    return {
        one["order_number"]: (
            one["currency"],
            Decimal(one["amount"]),
            [(line["sku"], Decimal(line["quantity"]), Decimal(line["amount"])) for line in one["lines"]],
        )
        for one in answer.json()["documents"]
        if one["status"] == "open"
    }


def waiting(place):
    store = place.store()
    with store.read() as connection:
        found = exceptions(connection)
    store.close()
    return found


def test_dropped_files_become_orders_a_later_file_changes_them_and_a_bad_row_is_an_exception(place, drop):
    meshline, feeds = MeshlineResource(), feed_specs(SETTINGS)
    assert "sap/order changed" in str(reasons_to_run(feeds, meshline, SETTINGS.delivery()))
    sync(place)
    first = {
        "D1": ("EUR", Decimal("1234.5"), [("SKU-1", Decimal(3), Decimal("1234.5"))]),
        "D2": ("EUR", Decimal(300), [("SKU-1", Decimal(1), Decimal(100)), ("SKU-2", Decimal(2), Decimal(200))]),
    }
    assert in_erp(place) == first
    [bad] = waiting(place)
    assert (bad.origin, bad.code, bad.owner) == ("feed", "row_not_landed", "integrations")
    assert "night-1.csv, line 4: column Betrag: '12,34,56' is no number with decimal mark ','" in bad.detail
    assert reasons_to_run(feeds, meshline, SETTINGS.delivery()) == []
    journal = place.oracle()["journal"]
    sync(place)
    sync(place, mode="replay")
    assert place.oracle()["journal"] == journal

    # The next night's export: what changed during the day, and the bad row again, corrected.
    write(
        drop / "order" / "night-2.csv",
        [
            ORDERS,
            "D1;02.10.2026 15:00:00;K1;1.646,00;EUR;true;30.09.2026;grün",
            "D3;01.10.2026 09:45:00;K2;50,00;EUR;true;01.10.2026;",
        ],
        "cp1252",
    )
    write(
        drop / "order_line" / "night-2.csv",
        [LINES, "D1-10;02.10.2026 15:00:00;D1;P1;4,000;411,50;1.646,00"],
        "cp1252",
    )
    assert "sap/order changed" in str(reasons_to_run(feeds, meshline, SETTINGS.delivery()))
    sync(place)
    assert in_erp(place) == first | {
        "D1": ("EUR", Decimal(1646), [("SKU-1", Decimal(4), Decimal(1646))]),
        "D3": ("EUR", Decimal(50), [("SKU-2", Decimal("0.5"), Decimal(50))]),
    }
    assert waiting(place) == []  # the corrected row has landed
    oracle = place.oracle()
    assert oracle["duplicates"] == []
    figures = place.figures()
    assert (figures.orders, figures.matched, figures.parity, figures.drift_by_money) == (3, 3, 1.0, 0.0)
    assert figures.source_amount == {"EUR": Decimal(1996)}
