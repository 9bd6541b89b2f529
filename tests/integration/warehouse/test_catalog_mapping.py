"""The product that the catalog spells differently: one exception with all that its owner needs, gone after one decision."""

import json
from decimal import Decimal

import pytest
from typer.testing import CliRunner

from meshline_dagster.cli import app
from meshline_dagster.warehouse.records import BuildMode
from tests.integration.warehouse.landed import account, deal, instant, line, product
from tests.integration.warehouse.recorded import RecordedProject


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    """Three builds: before the decision, after a mistyped one, and after the right one."""
    project = RecordedProject(tmp_path_factory.mktemp("catalog"))
    project.land([account("A1"), product("P1", "GTX Pro")])
    for number, days in enumerate([0, 90, 400]):
        at = instant(days=days - 400)
        misspelt = {"ProductCode": "GTXPro", "Product2Id": None, "price": 4821, "quantity": 1}
        project.land([deal(f"D{number}", at, amount=4821), line(f"L{number}", f"D{number}", at, **misspelt)])
    first = project.build(BuildMode.FULL)
    before = {name: project.file(first, name) for name in ("outbox", "exceptions", "events")}
    project.map("product", "GTXPro", "GTX Por")
    mistyped = project.build()
    before["mistyped"] = project.file(mistyped, "exceptions")
    before["catalog"], before["project"] = project.file(mistyped, "catalog"), project
    project.map("product", "GTXPro", "GTX Pro")
    second = project.build()
    assert second.mode is BuildMode.INCREMENTAL
    return before, {name: project.file(second, name) for name in ("outbox", "exceptions", "events", "touched")}


def test_each_deal_gives_one_exception_with_owner_reason_field_amount_and_what_to_do(story):
    before, _ = story
    assert [row["entity_key"] for row in before["exceptions"]] == [f"crm/opportunity/D{number}" for number in range(3)]
    [first, *_] = before["exceptions"]
    shown = ("code", "codes", "owner", "priority", "field", "record_id", "amount", "currency", "detail")
    assert {name: first[name] for name in shown} == {
        "code": "product_unmapped",
        "codes": ["product_unmapped"],
        "owner": "revops",
        "priority": "P2",
        "field": "product_code",
        "record_id": "L0",
        "amount": Decimal(4821),
        "currency": "USD",
        "detail": "Product GTXPro is not in the catalog.",
    }
    assert "meshline catalog map" in first["fix"]
    assert first["trace_key"] == "crm/opportunity/D0:product_unmapped"
    assert before["outbox"] == []


def test_after_the_decision_the_orders_are_postable_whatever_their_day_and_the_exceptions_are_gone(story):
    _, after = story
    assert after["exceptions"] == []
    orders = [row for row in after["outbox"] if row["document_kind"] == "sales_order"]
    assert [row["entity_key"] for row in orders] == [f"crm/opportunity/D{number}" for number in range(3)]
    assert {json.loads(row["payload"])["lines"][0]["sku"] for row in orders} == {"GTX Pro"}
    assert {row["entity_key"] for row in after["touched"]} == {row["entity_key"] for row in after["outbox"]}


def test_the_decision_changes_no_event_id(story):
    before, after = story
    assert [row["id"] for row in before["events"]] == [row["id"] for row in after["events"]]
    assert {row["disposition"] for row in before["events"]} == {"review"}
    assert {row["disposition"] for row in after["events"]} == {"post"}


def test_a_mistyped_decision_leaves_an_exception_that_names_the_code_and_what_it_was_mapped_to(story):
    before, _ = story
    details = {row["detail"] for row in before["mistyped"]}
    assert details == {"Product GTXPro is mapped to GTX Por, and neither is in the catalog."}
    assert [row["trace_key"] for row in before["mistyped"]] == [row["trace_key"] for row in before["exceptions"]]


def test_the_command_says_that_the_target_is_not_in_the_catalog_and_what_looks_like_it(story, tmp_path, monkeypatch):
    before, _ = story
    assert before["catalog"] == [{"product_code": "GTX Pro"}]
    monkeypatch.setenv("MESHLINE_HOME", str(tmp_path))
    monkeypatch.setenv("MESHLINE_WAREHOUSE", str(before["project"].warehouse))
    monkeypatch.delenv("MESHLINE_STORE_URL", raising=False)

    def said(*words):
        done = CliRunner().invoke(app, ["catalog", "map", *words])
        assert done.exit_code == 0
        return done.stderr.removeprefix(f"a new ops store: {tmp_path / 'ops.db'}\n")

    mistyped = said("GTXPro", "gtx por")
    assert "'gtx por' is no product of the catalog; nearest: GTX Pro." in mistyped
    assert "`meshline catalog map GTXPro TARGET` replaces this one" in mistyped
    assert said("GTXPro", "GTX Pro") == ""
    assert "is no product of the catalog. Another" in said("GTXPro", "anything else at all")
    assert said("A2", "A1", "--kind", "customer") == ""
    assert "'A7' is no customer that an order names. Another" in said("A2", "A7", "--kind", "customer")
    assert said("A1", "P-77", "--kind", "party") == ""
