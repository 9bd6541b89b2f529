"""The product that the catalog spells differently: one exception with all that its owner needs, gone after one decision."""

import json
from decimal import Decimal

import pytest

from meshline_dagster.warehouse.records import BuildMode
from tests.integration.warehouse.landed import Project, account, deal, instant, line, product


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    """Two builds: before and after the decision."""
    project = Project(tmp_path_factory.mktemp("catalog"))
    project.land([account("A1"), product("P1", "GTX Pro")])
    for number, days in enumerate([0, 90, 400]):
        at = instant(days=days - 400)
        misspelt = {"ProductCode": "GTXPro", "Product2Id": None, "price": 4821, "quantity": 1}
        project.land([deal(f"D{number}", at, amount=4821), line(f"L{number}", f"D{number}", at, **misspelt)])
    first = project.build(BuildMode.FULL)
    before = {name: project.file(first, name) for name in ("outbox", "exceptions", "events")}
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
