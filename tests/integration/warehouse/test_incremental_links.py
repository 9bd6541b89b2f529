"""Amendments, lines that move, versions that come late or twice; each build is compared with a full one."""

from datetime import date, timedelta

import pytest

from meshline_dagster.warehouse.records import Policy
from tests.integration.warehouse.landed import account, deal, deal_deleted, instant, line, product
from tests.integration.warehouse.lived import Lived

CATALOG = [account("A1"), product("P1", "SKU-1")]
POST = "post", []


@pytest.fixture
def lived(tmp_path):
    return Lived(tmp_path, policy=Policy(lines_limit=timedelta(hours=4), customer_limit=timedelta(hours=4)))


def test_a_reduction_takes_from_lines_of_its_product_and_price_whatever_their_terms(lived):
    terms = [{"ServiceDate": date(2026, month, 1), "End_Date__c": date(2027, 2, 28)} for month in (3, 6, 9)]
    link = {"Type": "Amendment", "Original_Opportunity__c": "D1"}
    lived.build(*CATALOG, deal("D1", instant()), line("L1", "D1", instant(), **terms[0]))
    lived.build(deal("D2", instant(9), amount=200, **link), line("L2", "D2", instant(9), quantity=2, **terms[1]))
    newest = "SELECT list_transform(max_by(lines, position), lambda one: [one.quantity, month(one.start_date)]) FROM marts.canonical_events"
    assert lived.query(newest) == [([[3, 3], [2, 6]],)]
    lived.build(deal("D3", instant(99), amount=-400, **link), line("L3", "D3", instant(99), quantity=-4, **terms[2]))
    assert lived.query(newest) == [([[1, 3]],)]
    assert lived.dispositions[-1] == ("D1", 3, *POST)


def test_an_amendment_that_arrives_before_its_order_belongs_to_it_from_the_start(lived):
    amendment = deal("D2", instant(9), amount=100, Type="Amendment", Original_Opportunity__c="D1")
    lived.build(*CATALOG, amendment, line("L2", "D2", instant(9), quantity=1))
    assert lived.dispositions == [("D1", 1, "review", ["root_not_found"])]
    lived.build(deal("D1", instant()), line("L1", "D1", instant()))
    assert lived.dispositions == [("D1", 1, *POST), ("D1", 2, *POST)]
    assert lived.query("SELECT amount, len(lines), lines[1].quantity FROM marts.canonical_events ORDER BY time") == [
        (300, 1, 3),
        (400, 1, 4),
    ]


def test_an_amendment_that_is_pointed_at_another_order_leaves_the_first(lived):
    orders = [deal("D1", instant()), line("L1", "D1", instant()), deal("D2", instant()), line("L2", "D2", instant())]
    link = {"amount": 100, "Type": "Amendment"}
    lived.build(*CATALOG, *orders)
    lived.build(deal("D3", instant(5), Original_Opportunity__c="D1", **link), line("L3", "D3", instant(5), quantity=1))
    newest = "SELECT order_id, max_by(amount, position) FROM marts.canonical_events GROUP BY ALL ORDER BY ALL"
    assert lived.query(newest) == [("D1", 400), ("D2", 300)]
    lived.build(deal("D3", instant(6), Original_Opportunity__c="D2", **link))
    assert lived.query(newest) == [("D1", 300), ("D2", 400)]


def test_deals_that_amend_each_other_are_one_entity_that_is_never_an_order(lived):
    lived.build(*CATALOG, deal("D1", instant(), Original_Opportunity__c="D2"), line("L1", "D1", instant()))
    lived.build(deal("D2", instant(1), Original_Opportunity__c="D1"), line("L2", "D2", instant(1)))
    assert {row[0] for row in lived.dispositions} == {"D1"}
    assert {row[2] for row in lived.dispositions} == {"review"}


def test_a_line_that_moves_to_another_deal_changes_both(lived):
    lived.build(*CATALOG, deal("D1", instant()), line("L1", "D1", instant()), deal("D2", instant(), amount=0))
    lived.build(line("L1", "D2", instant(5)))
    assert lived.touched == ["crm/account/A1", "crm/opportunity/D1", "crm/opportunity/D2"]
    newest = "SELECT order_id, max_by(len(lines), position) FROM marts.canonical_events GROUP BY ALL ORDER BY ALL"
    assert lived.query(newest) == [("D1", 0), ("D2", 1)]


@pytest.mark.parametrize(
    "end", [deal_deleted("D1", instant(5)), deal("D1", instant(5), deleted=True), deal("D1", instant(5), won=False)]
)
def test_a_deal_that_is_deleted_or_lost_again_cancels_its_order(lived, end):
    lived.build(*CATALOG, deal("D1", instant()), line("L1", "D1", instant()))
    lived.build(end)
    operations = [operation for key, operation, _ in lived.outbox if key == "crm/opportunity/D1"]
    assert operations == ["create", "cancel"]


@pytest.mark.parametrize("late", [0, 1])
@pytest.mark.parametrize("tie", [False, True])
def test_of_two_versions_of_one_second_the_last_observed_counts_whichever_arrives_first(lived, late, tie):
    early = [
        deal("D1", instant(), amount=100),
        line("L1", "D1", instant(), quantity=1),
        account("A1", Name="Early"),
        product("P1", "SKU-0"),
    ]
    final = [deal("D1", instant()), line("L1", "D1", instant()), account("A1", Name="Final"), product("P1", "SKU-1")]
    landings = [early, final] if late else [final, early]
    if not tie:
        final[:] = [(view, row | {"_observed_at": instant(9)}) for view, row in final]
    for rows in landings:
        lived.build(*rows)
    found = lived.query("SELECT amount, lines[1].quantity FROM marts.canonical_events")
    assert found == [(300, 3)] or tie
    if not tie:
        assert "Final" in lived.outbox[0][2]


def test_of_two_links_of_one_second_the_last_observed_counts_whichever_arrives_first(lived):
    orders = [deal("D1", instant()), line("L1", "D1", instant()), deal("D2", instant()), line("L2", "D2", instant())]
    link = {"amount": 100, "Type": "Amendment"}
    view, final = deal("D3", instant(5), Original_Opportunity__c="D2", **link)
    lived.build(
        *CATALOG, *orders, (view, final | {"_observed_at": instant(9)}), line("L3", "D3", instant(5), quantity=1)
    )
    lived.build(deal("D3", instant(5), Original_Opportunity__c="D1", **link))
    newest = "SELECT order_id, max_by(amount, position) FROM marts.canonical_events GROUP BY ALL ORDER BY ALL"
    assert lived.query(newest) == [("D1", 300), ("D2", 400)]


def test_a_late_earlier_version_changes_labels_and_no_ids(lived):
    lived.build(
        *CATALOG, deal("D1", instant(10)), line("L1", "D1", instant()), deal("D1", instant(20), PO_Number__c="7")
    )
    events = "SELECT id, type, position FROM marts.canonical_events ORDER BY time"
    [(first, *one), (second, *two)] = lived.query(events)
    assert (one, two) == (["order.created", 1], ["order.amended", 2])
    lived.build(deal("D1", instant(5), PO_Number__c="early"))
    [(new, *_), (first_again, *one), (second_again, *two)] = lived.query(events)
    assert (first_again, second_again) == (first, second)
    assert new not in {first, second}
    assert (one, two) == (["order.amended", 2], ["order.amended", 3])
