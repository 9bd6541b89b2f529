"""What makes an incremental build recompute an order, one reason at a time; each build is compared with a full one."""

from datetime import date, timedelta

import pytest

from meshline_dagster.warehouse.records import BuildMode, Policy
from tests.integration.warehouse.landed import account, deal, instant, line, product
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


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7, 0.8, 0.9, 0.99])
def test_what_a_build_that_broke_off_had_begun_is_recomputed_by_the_next(lived, share):
    lived.build(*CATALOG, deal("D1", instant()), line("L1", "D1", instant()), as_of=instant(10))
    lived.break_off(deal("D1", instant(5), amount=400), account("A1", instant(5), Name="New"), stop_at=share)
    lived.project.planned()  # the rows are not new any more: only the broken build knows what it was about to do
    lived.build(as_of=instant(20))
    assert lived.touched == ["crm/account/A1", "crm/opportunity/D1"]


def test_a_replay_recomputes_what_changed_in_its_days_and_changes_nothing(lived):
    lived.build(*CATALOG, deal("D1", instant()), line("L1", "D1", instant()))
    lived.build(deal("D2", instant(days=2)), line("L2", "D2", instant(days=2)))
    lived.build(line("L1", "D1", instant(days=4), quantity=4))
    lived.build(mode=BuildMode.REPLAY, replay=(date(2026, 3, 4), date(2026, 3, 5)))
    assert lived.touched == ["crm/account/A1", "crm/opportunity/D2"]
    lived.build(mode=BuildMode.REPLAY, replay=(date(2026, 3, 6), date(2026, 3, 6)))
    assert lived.touched == ["crm/account/A1", "crm/opportunity/D1"]


def test_only_what_nothing_else_touches_is_touched_by_a_replay(lived):
    lived.build(*CATALOG, account("A2"), deal("D1", instant()), line("L1", "D1", instant()))
    second = deal("D2", instant(days=2), AccountId="A2")
    lived.build(
        second, line("L2", "D2", instant(days=2)), deal("D3", instant(days=2)), line("L3", "D3", instant(days=2))
    )
    lived.build(
        deal("D3", instant(days=4), amount=150), mode=BuildMode.REPLAY, replay=(date(2026, 3, 4), date(2026, 3, 5))
    )
    found = lived.query("SELECT root_id, by_replay FROM intermediate.int_touched_entities ORDER BY root_id")
    assert found == [("A1", False), ("A2", True), ("D2", True), ("D3", False)]


def test_another_policy_recomputes_everything(lived):
    lived.build(*CATALOG, deal("D1", instant()), line("L1", "D1", instant()))
    lived.project.policy = Policy(effective_from=date(2026, 4, 1))
    lived.build()
    assert lived.dispositions == [("D1", 1, "ignore", ["pre_cutover"])]
