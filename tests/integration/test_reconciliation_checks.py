"""What the reconciliation checks say of a built warehouse: every ratio under a name of its own, by count and by money."""

import json
from datetime import date
from decimal import Decimal

import dagster as dg
import pytest

from meshline_dagster.governance.figures import read_figures
from meshline_dagster.orchestration.recon_checks import reconciliation_checks
from meshline_dagster.orchestration.resources import MeshlineResource
from meshline_dagster.orchestration.settings import CheckSettings, RestDestination, SalesforceSource, SyncSettings
from meshline_dagster.store.engine import open_store
from meshline_dagster.store.exceptions import Finding, raise_exceptions
from meshline_dagster.warehouse.records import BillingTerms
from tests.integration.warehouse.landed import account, deal, erp_order, instant, line, product
from tests.integration.warehouse.recorded import RecordedProject

SETTINGS = SyncSettings(sources=(SalesforceSource(),), destination=RestDestination(), origin=date(2026, 1, 1))
ORDERS = {"D1": ("USD", 300), "D2": ("USD", 100), "D3": ("USD", 600), "D4": ("EUR", 50)}


@pytest.fixture
def project(tmp_path):
    """Four orders, of which D3 waits in review for its product."""
    project = RecordedProject(tmp_path)
    project.land([account("A1"), product("P1", "SKU-1")])
    for key, (currency, amount) in ORDERS.items():
        unknown = {"ProductCode": "SKU1", "Product2Id": None} if key == "D3" else {}
        project.land([deal(key, instant(1), amount=amount, CurrencyIsoCode=currency)])
        project.land([line(f"L{key}", key, instant(1), quantity=1, price=amount, **unknown)])
    return project


def reconciled(project, *keys):
    """Build, and land what the ERP holds of these orders."""
    for row in project.file(project.build(), "outbox"):
        if row["entity_key"][-2:] in keys:
            document = json.loads(row["payload"])
            same = {name: row[name] for name in ("external_id", "event_id", "currency", "amount", "document_date")}
            same |= {"customer": document["customer"], "lines": json.dumps(document["lines"]), "status": "open"}
            project.land([erp_order(row["entity_key"][-2:], instant(60), **same)])
    project.build()


def checked(project, **limits):
    """The checks' verdicts and metadata, and the figures as `meshline status --json` has them."""
    meshline = MeshlineResource(
        store_url=f"sqlite:///{project.folder / 'ops.db'}",
        warehouse=str(project.warehouse),
        landing=str(project.folder),
    )
    settings = SETTINGS.model_copy(update={"checks": CheckSettings(**limits)})
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize(
            [dg.AssetSpec("fct_reconciliation"), reconciliation_checks(settings)],
            instance=instance,
            resources={"meshline": meshline},
            selection=dg.AssetSelection.all_asset_checks(),
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
    figures = read_figures(meshline.store(), meshline.published_path, "sandbox").as_json()
    meshline.store().close()
    told = {
        one.check_name: (one.passed, {name: value.value for name, value in one.metadata.items()})
        for one in result.get_asset_check_evaluations()
    }
    return told, figures


def test_what_nothing_explains_fails_the_checks_and_each_ratio_has_its_name(project):
    reconciled(project, "D1", "D4")
    told, figures = checked(project)
    passed, drift = told["drift"]
    assert not passed
    assert (drift["drift"], drift["drift_by_money"]) == (0.25, pytest.approx(0.1))
    assert (drift["orders"], drift["unexplained"]) == (4, 1)
    assert (drift["source_amount/USD"], drift["unexplained_amount/USD"]) == ("1000", "100")
    passed, parity = told["parity_excluding_explained"]
    assert not passed
    assert (parity["parity"], parity["parity_by_money"]) == (0.5, pytest.approx(0.3))
    assert parity["parity_excluding_explained"] == pytest.approx(2 / 3)
    assert parity["parity_excluding_explained_by_money"] == pytest.approx(0.75)
    assert (parity["orders"], parity["matched"], parity["unexplained"]) == (4, 2, 1)
    assert (parity["matched_amount/USD"], parity["matched_amount/EUR"]) == ("300", "50")
    for name in ("drift", "drift_by_money", *(name for name in parity if name.startswith("parity"))):
        assert figures[name] == (drift | parity)[name], name


def test_what_waits_visibly_fails_no_check_and_still_counts_in_the_full_ratio(project):
    reconciled(project, "D1", "D2", "D4")
    told, figures = checked(project)
    passed, drift = told["drift"]
    assert passed
    assert (drift["drift"], drift["drift_by_money"]) == (0.0, 0.0)
    passed, parity = told["parity_excluding_explained"]
    assert passed
    assert (parity["parity_excluding_explained"], parity["parity_excluding_explained_by_money"]) == (1.0, 1.0)
    assert (parity["parity"], parity["parity_by_money"]) == (0.75, pytest.approx(0.4))
    assert figures["unexplained_amount"] == {}
    assert Decimal(figures["matched_amount"]["USD"]) == 400


@pytest.mark.parametrize(
    ("in_erp", "limits"),
    [
        (("D1", "D4"), {"max_drift": 0.2, "min_parity": 0.7}),  # 0.25 and 0.67 by count, 0.1 and 0.75 by money
        (("D2", "D4"), {"max_drift": 0.27, "min_parity": 0.5}),  # 0.25 and 0.67 by count, 0.3 and 0.25 by money
    ],
)
def test_the_worse_of_count_and_money_decides(project, in_erp, limits):
    reconciled(project, *in_erp)
    told, _ = checked(project, **limits)
    assert [told[name][0] for name in ("drift", "parity_excluding_explained")] == [False, False]


def invoice(key, order, amount, currency):
    values = {
        "order_external_id": order,
        "external_id": f"MLI-{key}",
        "number": key,
        "status": "open",
        "currency": currency,
    }
    return "erp__invoice", {**erp_order(key, instant(60))[1], **values, "amount": Decimal(amount)}


def test_an_order_that_is_posted_and_never_invoiced_fails_a_check_until_somebody_has_it(project):
    """D1 is not invoiced, D2 for less than it is worth, D4 as it should be; D3 is in review, and not in the ERP."""
    reconciled(project, "D1", "D2", "D4")
    told, figures = checked(project)
    assert told["billing"][0]
    assert figures["not_invoiced"] == 0
    project.billing = BillingTerms(date(2026, 12, 31), "booking")
    orders = {row["entity_key"][-2:]: row["external_id"] for row in project.file(project.build(), "reconciliation")}
    project.land([invoice("I2", orders["D2"], 99, "USD"), invoice("I4", orders["D4"], 50, "EUR")])
    project.build()
    told, figures = checked(project)
    passed, billing = told["billing"]
    assert not passed
    assert (billing["not_invoiced"], billing["wrongly_billed"], billing["billing_unexplained"]) == (1, 1, 2)
    assert [figures[name] for name in ("not_invoiced", "wrongly_billed", "billing_unexplained")] == [1, 1, 2]
    store = open_store(f"sqlite:///{project.folder / 'ops.db'}")
    with store.write() as connection:
        asked = [
            Finding(
                *(key, "delivery", "rejected", "an invoice", "closed", "open it"), entity_key=f"crm/opportunity/{key}"
            )
            for key in ("D1", "D2")
        ]
        raise_exceptions(connection, asked, now=instant(61))
    store.close()
    told, figures = checked(project)
    assert told["billing"][0]
    assert (figures["not_invoiced"], figures["wrongly_billed"], figures["billing_unexplained"]) == (1, 1, 0)


def test_a_period_that_is_not_due_yet_fails_no_check_and_one_that_was_not_invoiced_does(project):
    """D5 is worth 300 for the three months from January on, and the first two are due."""
    term = {"ServiceDate": date(2026, 1, 1), "End_Date__c": date(2026, 3, 31)}
    project.land([deal("D5", instant(1)), line("LD5", "D5", instant(1), quantity=1, price=300, **term)])
    reconciled(project, "D5")
    project.billing = BillingTerms(date(2026, 2, 2), "schedule", months=1)
    [order] = [row for row in project.file(project.build(), "reconciliation") if row["entity_key"][-2:] == "D5"]
    for place, (amount, (passed, not_invoiced, wrong)) in enumerate(
        [(None, (False, 1, 0)), (100, (False, 0, 1)), (100, (True, 0, 0)), (1, (False, 0, 1))]
    ):
        project.land([] if amount is None else [invoice(f"I{place}", order["external_id"], amount, "USD")])
        project.build()
        told, figures = checked(project)
        assert told["billing"][0] is passed
        assert (figures["not_invoiced"], figures["wrongly_billed"]) == (not_invoiced, wrong)
