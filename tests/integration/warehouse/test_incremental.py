"""What makes an incremental build recompute an order, one reason at a time; each build is compared with a full one."""

from datetime import date, timedelta

import pytest

from meshline_dagster.warehouse.records import BuildMode, Policy
from tests.integration.warehouse.landed import account, deal, deal_deleted, instant, line, product
from tests.integration.warehouse.lived import Lived

CATALOG = [account("A1"), product("P1", "SKU-1")]
POST = "post", []


@pytest.fixture
def lived(tmp_path):
    return Lived(tmp_path, policy=Policy(lines_limit=timedelta(hours=4), customer_limit=timedelta(hours=4)))


def test_a_build_without_news_touches_nothing(lived):
    lived.build(*CATALOG, deal("D1", instant()), line("L1", "D1", instant()))
    lived.build()
    assert lived.touched == []


def test_an_order_waits_for_its_lines_and_is_released_by_them(lived):
    lived.build(*CATALOG, deal("D1", instant()), as_of=instant(10))
    assert lived.dispositions == [("D1", 1, "hold", ["lines_incomplete"])]
    lived.build(line("L1", "D1", instant(5)), as_of=instant(20))
    assert lived.dispositions == [
        ("D1", 1, "ignore", ["corrected_by_later_version", "lines_incomplete"]),
        ("D1", 2, *POST),
    ]


def test_waiting_ends_at_the_deadline_though_nothing_has_arrived(lived):
    lived.build(*CATALOG, deal("D1", instant()), as_of=instant(239))
    assert lived.exceptions == []
    lived.build(as_of=instant(240))
    assert lived.exceptions == [("D1", "lines_incomplete")]
    assert lived.query("SELECT opened_at FROM marts.fct_exceptions") == [(instant(240),)]
    lived.build(as_of=instant(239))
    assert lived.exceptions == []


def test_an_order_waits_for_its_customer(lived):
    lived.build(product("P1", "SKU-1"), deal("D1", instant()), line("L1", "D1", instant()), as_of=instant(10))
    assert lived.dispositions == [("D1", 1, "hold", ["customer_not_landed"])]
    assert lived.outbox == []
    lived.build(account("A1", instant(15)), as_of=instant(20))
    assert lived.dispositions == [("D1", 1, *POST)]
    assert [row[:2] for row in lived.outbox] == [("crm/account/A1", "create"), ("crm/opportunity/D1", "create")]


def test_a_customer_that_is_renamed_changes_no_order_that_was_there_before(lived):
    lived.build(*CATALOG, deal("D1", instant()), line("L1", "D1", instant()))
    before = dict(row[::2] for row in lived.outbox)
    lived.build(account("A1", instant(days=3), Name="Another Name"))
    after = dict(row[::2] for row in lived.outbox)
    assert after["crm/opportunity/D1"] == before["crm/opportunity/D1"]
    assert "Another Name" in after["crm/account/A1"]


def test_two_records_of_one_customer_become_one_by_a_mapping(lived):
    lived.build(*CATALOG, account("A2"), deal("D1", instant(), AccountId="A2"), line("L1", "D1", instant()))
    assert lived.query("SELECT depends_on FROM marts.outbox WHERE document_kind = 'sales_order'") == [
        ("crm/account/A2",)
    ]
    lived.project.map("customer", "A2", "A1")
    lived.build()
    assert lived.query("SELECT depends_on FROM marts.outbox WHERE document_kind = 'sales_order'") == [
        ("crm/account/A1",)
    ]
    assert [row[0] for row in lived.outbox] == ["crm/account/A1", "crm/opportunity/D1"]
    lived.project.map("customer", "A2", None)
    lived.build()
    assert [row[0] for row in lived.outbox] == ["crm/account/A2", "crm/opportunity/D1"]


def test_a_product_that_is_added_later_heals_the_orders_that_name_it(lived):
    lived.build(*CATALOG, deal("D1", instant()), line("L1", "D1", instant(), ProductCode="SKU-2", Product2Id=None))
    assert lived.exceptions == [("D1", "product_unmapped")]
    lived.build(product("P2", "SKU-2", instant(days=9)))
    assert (lived.exceptions, lived.dispositions) == ([], [("D1", 1, *POST)])


def test_a_product_retired_before_the_order_is_asked_about_and_one_retired_after_it_is_not(lived):
    lived.build(*CATALOG, product("P1", "SKU-1", instant(days=2), active=False))
    lived.build(deal("D1", instant(days=1)), line("L1", "D1", instant(days=1)))
    lived.build(deal("D2", instant(days=3)), line("L2", "D2", instant(days=3)))
    assert lived.dispositions == [("D1", 1, *POST), ("D2", 1, "review", ["product_inactive"])]
    lived.build(product("P1", "SKU-1", instant(days=4)))
    assert lived.dispositions == [("D1", 1, *POST), ("D2", 1, *POST)]


def test_a_line_without_code_takes_the_code_of_its_product_when_that_arrives(lived):
    lived.build(account("A1"), deal("D1", instant()), line("L1", "D1", instant(), ProductCode=None))
    assert lived.dispositions == [("D1", 1, "review", ["product_unmapped"])]
    [(one,)] = lived.query("SELECT id FROM marts.canonical_events")
    lived.build(product("P1", "SKU-1", instant(days=1)))
    assert lived.query("SELECT id, lines[1].source_sku FROM marts.canonical_events") == [(one, "SKU-1")]
    assert lived.dispositions == [("D1", 1, *POST)]


def test_a_mapping_heals_and_unheals_the_orders_that_name_the_code_whatever_their_day(lived):
    lived.build(*CATALOG, deal("D1", instant(days=-400)), line("L1", "D1", instant(days=-400), ProductCode="SKU1"))
    assert lived.exceptions == [("D1", "product_unmapped")]
    lived.project.map("product", "SKU1", "SKU-1")
    lived.build()
    assert (lived.exceptions, lived.dispositions) == ([], [("D1", 1, *POST)])
    lived.project.map("product", "SKU1", None)
    lived.build()
    assert lived.exceptions == [("D1", "product_unmapped")]


def test_a_mapping_counts_as_soon_as_the_product_that_it_names_is_there(lived):
    lived.project.map("product", "SKU1", "SKU-9")
    lived.build(*CATALOG, deal("D1", instant()), line("L1", "D1", instant(), ProductCode="SKU1"))
    assert lived.exceptions == [("D1", "product_unmapped")]
    lived.build(product("P9", "SKU-9", instant(days=1)))
    assert lived.exceptions == []


def test_a_mapping_also_concerns_lines_that_name_their_product_by_id_alone(lived):
    lived.build(account("A1"), product("P1", "SKU1", active=False), product("P2", "SKU-1"))
    lived.build(deal("D1", instant()), line("L1", "D1", instant(), ProductCode=None))
    assert lived.exceptions == [("D1", "product_inactive")]
    lived.project.map("product", "SKU1", "SKU-1")
    lived.build()
    assert lived.exceptions == []


def test_a_mapped_customer_is_waited_for_and_comes(lived):
    lived.project.map("customer", "A2", "A3")
    order = [deal("D1", instant(), AccountId="A2"), line("L1", "D1", instant())]
    lived.build(product("P1", "SKU-1"), account("A2"), *order, as_of=instant(10))
    assert lived.dispositions == [("D1", 1, "hold", ["customer_not_landed"])]
    lived.build(account("A3", instant(15)), as_of=instant(20))
    assert [row[0] for row in lived.outbox] == ["crm/account/A3", "crm/opportunity/D1"]


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


def test_payment_terms_and_tax_are_translated_for_orders_that_were_there_before(lived):
    lived.build(*CATALOG, deal("D1", instant(), Payment_Terms__c="NET30"), line("L1", "D1", instant()))
    assert '"payment_terms":"NET30"' in lived.outbox[1][2]
    lived.project.map("payment_term", "NET30", "30 days")
    lived.build()
    assert '"payment_terms":"30 days"' in lived.outbox[1][2]


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


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7, 0.8, 0.9, 0.99])
def test_what_a_build_that_broke_off_had_begun_is_recomputed_by_the_next(lived, share):
    lived.build(*CATALOG, deal("D1", instant()), line("L1", "D1", instant()), as_of=instant(10))
    lived.break_off(deal("D1", instant(5), amount=400), account("A1", instant(5), Name="New"), stop_at=share)
    lived.project.planned()  # the rows are not new any more: only the broken build knows what it was about to do
    lived.build(as_of=instant(20))
    assert lived.touched == ["crm/account/A1", "crm/opportunity/D1"]


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


def test_a_replay_recomputes_what_changed_in_its_days_and_changes_nothing(lived):
    lived.build(*CATALOG, deal("D1", instant()), line("L1", "D1", instant()))
    lived.build(deal("D2", instant(days=2)), line("L2", "D2", instant(days=2)))
    lived.build(line("L1", "D1", instant(days=4), quantity=4))
    lived.build(mode=BuildMode.REPLAY, replay=(date(2026, 3, 4), date(2026, 3, 5)))
    assert lived.touched == ["crm/account/A1", "crm/opportunity/D2"]
    lived.build(mode=BuildMode.REPLAY, replay=(date(2026, 3, 6), date(2026, 3, 6)))
    assert lived.touched == ["crm/account/A1", "crm/opportunity/D1"]


def test_another_policy_recomputes_everything(lived):
    lived.build(*CATALOG, deal("D1", instant()), line("L1", "D1", instant()))
    lived.project.policy = Policy(effective_from=date(2026, 4, 1))
    lived.build()
    assert lived.dispositions == [("D1", 1, "ignore", ["pre_cutover"])]
