"""What a configuration of an ERP may not say is refused when it is read, with its place and what to do."""

import copy
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from meshline_dagster.orchestration.settings import SyncSettings

FILE = Path(__file__).parents[1] / "integration/erp/configured/frappe.yaml"
API = yaml.safe_load(FILE.read_text())
AUTH = {"type": "header", "name": "Authorization", "value": "env:ERP_TOKEN", "prefix": "token "}
DROP = object()
CANCEL = API["documents"]["sales_order"]["cancel"]


def settings(api, auth=None, **more):
    destination = {"type": "configured", "name": "erp", "base_url": "env:ERP_URL", "company": "1", "sandbox": True}
    destination |= {"auth": auth or AUTH, "api": api}
    return SyncSettings.model_validate(
        {"origin": "2026-01-01", "sources": [{"type": "salesforce"}], "destination": destination, **more}
    )


def changed(path, value):
    """The configuration with one place changed; ``DROP`` takes it out."""
    api = copy.deepcopy(API)
    *way, last = path.split("/")
    at = api
    for step in way:
        at = at[int(step)] if isinstance(at, list) else at.setdefault(step, {})
    if value is DROP:
        del at[last]
    else:
        at[last] = value
    return api


def test_what_is_declared_is_what_the_writer_can_do():
    assert settings(API).destination.api.documents.keys() == {"customer", "sales_order"}


ORDER = "documents/sales_order"
CREATE = f"{ORDER}/create"
BODY = f"{CREATE}/body"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("capabilties", {}, "api.capabilties"),
        ("capabilities/batch_size", 10, "api.capabilities.batch_size"),
        ("capabilities/settle_after", DROP, "api.capabilities.settle_after"),
        ("capabilities/unique_external_id", True, "answers.exists or a rule that means exists"),
        ("formats/time_zone", "Asia/Atlantis", "there is no time zone"),
        ("formats/stamp", "%d.%m", "year, month, day and time"),
        ("answers/done", [200, 409], "only a status from 200 to 299"),
        ("answers/retry", [503, 500], "after the status 500 nobody knows"),
        ("answers/rejected", [404, 429], "the status 429 has two meanings"),
        ("answers/exists", [403], "401 and 403 always mean"),
        ("answers/message", ["exception"], "is no JSON pointer"),
        ("answers/rules/0/equals", "x", "equals and contains exclude"),
        ("documents/sales_order", DROP, "sales_order must be declared"),
        ("documents/payment", {}, "documents.payment"),
        ("documents/customer/cancel", CANCEL, "say in shown.status.map which status is cancelled"),
        ("documents/customer", API["documents"]["sales_order"], "no customer is ever cancelled"),
        (f"{ORDER}/shown/amount", DROP, "documents.sales_order.shown: amount"),
        (f"{ORDER}/shown/status/map", {1: "open", 2: "cancelled"}, "which status a draft has"),
        (f"{ORDER}/shown/status/map", {0: "partial", 2: "cancelled"}, "no value means open"),
        (f"{ORDER}/shown/status/map", {1: "done"}, "shown.status.map.1"),
        (f"{ORDER}/confirm", DROP, "nothing to remove without confirm"),
        (f"{ORDER}/cancel/id_at", "/name", "only create has id_at"),
        (f"{ORDER}/reverse/path", "/api/{external_id}", "nothing says which document is meant"),
        (f"{ORDER}/detail", DROP, "say how one document is shown by its id"),
        (f"{ORDER}/show", {"path": "/api/{id}"}, "detail shows one document already"),
        (f"{ORDER}/shown/status/map", {0: "partial", 1: "open"}, "which status is cancelled"),
        ("documents/customer/show", {"path": "/api/{id}"}, "detail shows one document already"),
        (
            "documents/invoice",
            {**API["documents"]["sales_order"], "cancel": None},
            "only orders are reversed by their id",
        ),
        (f"{ORDER}/cancel/path", "/api/resource/Sales Order", "nothing says which document is meant"),
        (f"{ORDER}/cancel/headers", {"If-Match": "{revision}"}, "shown.revision does not say where"),
        (f"{CREATE}/method", "GET", "create.method"),
        (f"{CREATE}/path", "api/resource", "a path starts with a slash"),
        (f"{CREATE}/path", "/api?x=1", "its query stands under `query`"),
        (f"{CREATE}/path", "/api/{id}", "{id} in it; what can be filled in here"),
        (f"{CREATE}/path", "/api/{company.__class__}", "what can be filled in here"),
        (f"{CREATE}/id_header", "location", None),
        (f"{BODY}/company", DROP, "create: it does not say for which company"),
        (f"{BODY}/currency", {"from": "currancy"}, "create.body.currency.from: there is no field 'currancy'"),
        (f"{BODY}/currency", {"from": "currency", "as": "float"}, "create.body.currency.as"),
        (f"{BODY}/currency", {"from": "currency", "ass": "text"}, "create.body.currency.ass"),
        (f"{BODY}/currency", {"from": "currency", "as": "erp_id"}, "only customer, bill_to, ship_to, order, invoice"),
        (f"{BODY}/currency", {"from": "currency", "format": "%d"}, "only {as: date} has one"),
        (f"{BODY}/currency", {"from": "currency", "map": {"EUR": 1}, "as": "number"}, "no `as` beside it"),
        (f"{BODY}/currency", {"from": "amount", "as": "number", "suffix": "x"}, "neither prefix nor suffix"),
        (f"{BODY}/currency", {"from": "currency", "default": "X", "omit_if_missing": True}, "exclude each other"),
        (f"{BODY}/rate", 1.1, "create.body.rate: 1.1 is a binary float"),
        (f"{BODY}/items", {"each": "rows", "value": {}}, "is written {each: lines, value: ...}"),
        (f"{BODY}/items/value/sub", {"each": "lines", "value": {}}, "once in a body"),
        (f"{BODY}/items/value/qty/from", "currency_", "items.value.qty.from"),
        (f"{BODY}/sku", {"from": "sku"}, "there is no field 'sku' here"),
        (f"{ORDER}/find/query/filters", "[]", "{external_ids} is missing"),
        (f"{ORDER}/find/query/filters", "[{external_ids}]", "find: it does not say for which company"),
        (f"{ORDER}/find/each", "x", "how one id is written"),
        (f"{ORDER}/find/body", {"a": 1}, "{from: external_ids} is missing"),
        (f"{ORDER}/find/body", {"ids": {"from": "external_ids"}}, "a GET has no body"),
        (f"{ORDER}/find/paging", {"type": "cursor", "parameter": "c"}, "paging of type cursor needs at"),
        (f"{ORDER}/find/paging", {"type": "single", "parameter": "c"}, "reads no parameter"),
        (f"{ORDER}/find/paging", {"type": "next_link", "at": "/next"}, "go together; one of them is missing"),
        (f"{ORDER}/read/query/filters", '[["company", "=", "{company}"]]', "nothing says from when on"),
        (f"{ORDER}/read/query/filters", "{since} {company} {now}", "read.query.filters: "),
    ],
)
def test_what_does_not_hold_together_is_refused_with_its_place(path, value, message):
    api = changed(path, value)
    if message is None:
        assert settings(api)
        return
    with pytest.raises(ValidationError) as raised:
        settings(api)
    shown = str(raised.value)
    assert message in shown
    assert "destination.configured.api" in shown


def test_a_secret_in_the_file_is_refused():
    with pytest.raises(ValidationError, match="a secret is never written here") as raised:
        settings(API, {**AUTH, "value": "s3cr3t"})
    assert "s3cr3t" not in str(raised.value)
    with pytest.raises(ValidationError, match=r"destination.configured.auth"):
        settings(API, {"type": "none"})


def test_invoices_that_the_erp_is_not_described_for_are_refused_at_once():
    with pytest.raises(ValidationError, match="declare credit_note and invoice"):
        settings(API, policy={"documents": "order_and_invoice"})


def test_accounting_documents_are_never_changed():
    order = API["documents"]["sales_order"]
    invoice = {**order, "find": order["find"], "cancel": order["cancel"]}
    with pytest.raises(ValidationError, match="what is in the books is never changed"):
        settings(changed("documents/invoice", invoice))


@pytest.mark.parametrize(
    ("auth", "header"),
    [
        ({"type": "bearer", "token": "env:ERP_TOKEN"}, ("Authorization", "Bearer s3cr3t")),
        ({"type": "basic", "user": "us", "password": "env:ERP_TOKEN"}, ("Authorization", "Basic dXM6czNjcjN0")),
        ({"type": "header", "name": "X-API-Key", "value": "env:ERP_TOKEN"}, ("X-API-Key", "s3cr3t")),
        (AUTH, ("Authorization", "token s3cr3t")),
    ],
)
def test_each_way_to_show_who_we_are_reads_its_secret_from_the_environment(monkeypatch, auth, header):
    import asyncio

    monkeypatch.setenv("ERP_TOKEN", "s3cr3t")
    connected = settings(API, auth).destination.auth.connect()
    assert asyncio.run(connected.headers()) == dict([header])
    assert "s3cr3t" not in repr(vars(connected))
