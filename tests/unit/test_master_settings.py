"""What a sync's YAML may say about the masters that orders wait for, and that an ERP which cannot keep them is refused when it is loaded."""

import pytest
import yaml
from pydantic import ValidationError

from meshline_dagster.core.documents import DocumentKind
from meshline_dagster.core.identity import external_id, is_our_name
from meshline_dagster.crm.salesforce_objects import DEFAULT_FIELDS
from meshline_dagster.delivery.options import MissingMaster
from meshline_dagster.orchestration.connect import feed_specs
from meshline_dagster.orchestration.settings import SyncSettings
from tests.integration.erp.test_configured_conformance import CONFIGURED

REST = {"type": "rest", "sandbox": True}
TRYTON = {"type": "tryton", "sandbox": True}


def settings(policy, destination=REST):
    return SyncSettings.model_validate(
        {"origin": "2026-01-01", "sources": [{"type": "salesforce"}], "destination": destination, "policy": policy}
    )


def configured(*kinds):
    api = yaml.safe_load((CONFIGURED / "sandbox.yaml").read_text())
    api["documents"] = {kind: api["documents"][kind] for kind in ("customer", "sales_order", *kinds)}
    auth = {"type": "bearer", "token": "env:TOKEN"}
    return {
        "type": "configured",
        "name": "erp",
        "base_url": "env:URL",
        "company": "1",
        "auth": auth,
        "sandbox": True,
        "api": api,
    }


def test_no_addresses_are_kept_unless_they_are_asked_for():
    assert settings({}).policy_of_rules().addresses is False
    told = settings({"missing_address": "exception"})
    assert told.delivery().missing(DocumentKind.ADDRESS) is MissingMaster.EXCEPTION
    assert told.policy_of_rules().addresses is True


@pytest.mark.parametrize(
    ("policy", "of", "more"),
    [
        ({}, None, ()),
        ({"missing_address": "create"}, "Account", ("BillingStreet", "ShippingCountry")),
        ({"missing_item": "create"}, "Product2", ("QuantityUnitOfMeasure", "List_Price__c")),
    ],
)
def test_what_masters_need_is_read_where_they_are_kept(monkeypatch, policy, of, more):
    for name in ("URL", "CLIENT_ID", "CLIENT_SECRET"):
        monkeypatch.setenv(f"MESHLINE_CRM_{name}", "http://127.0.0.1:9")
    for feed in feed_specs(settings(policy)):
        read = feed.connect().wanted_fields
        assert set(more) <= set(read) if feed.object_name == of else set(read) == {*DEFAULT_FIELDS[feed.object_name]}


def test_no_items_are_kept_unless_they_are_asked_for():
    told = settings({})
    assert told.delivery().masters == {DocumentKind.CUSTOMER: MissingMaster.CREATE}
    assert told.policy_of_rules().items is False


@pytest.mark.parametrize("missing", ["create", "exception"])
def test_items_reach_the_models_and_the_delivery(missing):
    told = settings({"missing_item": missing})
    assert told.delivery().missing(DocumentKind.ITEM) is MissingMaster(missing)
    assert told.policy_of_rules().items is True


def test_an_erp_that_cannot_keep_items_is_refused_by_name_when_the_sync_is_loaded():
    for missing in ("create", "exception"):
        assert settings({"missing_item": missing, "missing_address": missing}, TRYTON).policy.missing_item
    with pytest.raises(ValidationError, match="erp does not declare that it can find item documents"):
        settings({"missing_item": "exception"}, configured())
    assert settings({"missing_item": "create"}, configured("item")).policy.missing_item
    with pytest.raises(ValidationError, match="does not declare that it can find address documents"):
        settings({"missing_address": "exception"}, configured("item"))


@pytest.mark.parametrize("how", ["amend", "cancel"])
def test_an_item_that_would_be_changed_is_refused(how):
    told = configured("item")
    told["api"]["documents"]["item"][how] = {"path": "/v1/items/{id}", "method": "PUT", "body": {}}
    with pytest.raises(ValidationError, match=how):
        settings({}, told)


def test_only_what_we_name_is_ours():
    ours = external_id("customer", "crm/account/1")
    assert is_our_name("customer", ours)
    for kind, name in (
        ("item", ours),
        ("sales_order", ours),
        ("customer", ours[:-1]),
        ("customer", "ACME-01"),
        ("item", "SKU-1"),
    ):
        assert not is_our_name(kind, name)
