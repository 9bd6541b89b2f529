"""HubSpot's observations on their way into deals, lines, customers and products: what its staging makes of them."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from tests.integration.warehouse.landed import Project
from tests.integration.warehouse.lived import Lived
from tests.integration.warehouse.recorded import MemoryWarehouse
from tests.integration.warehouse.rows import EPOCH, instant, observed


def hubspot(view, one, at, **values):
    return observed(f"hubspot__{view}", one, at, values)


def deal(one, at=EPOCH, **values):
    base = {"amount": Decimal(300), "deal_currency_code": "USD", "hs_is_closed_won": True, "associated_company": "1"}
    base |= {"dealtype": "newbusiness", "closedate": datetime(2026, 3, 2, tzinfo=UTC), "portal_time_zone": "US/Eastern"}
    return hubspot("deals", one, at, **base | values)


def line(one, of, at=EPOCH, **values):
    base = {"associated_deal": of, "hs_product_id": "5", "hs_sku": "SKU-1", "quantity": Decimal(3)}
    return hubspot("line_items", one, at, **base | {"price": Decimal(100), "amount": Decimal(300)} | values)


MASTERS = (
    hubspot("companies", "1", EPOCH - timedelta(days=1), name="Acme", country="Germany", city="Berlin"),
    hubspot("products", "5", EPOCH - timedelta(days=1), hs_sku="SKU-1", name="Sensor"),
)


@pytest.fixture
def lived(tmp_path):
    return Lived(tmp_path)


def staged(tmp_path, model, columns, *rows):
    """Columns of a model over rows, by the first of them."""
    project, warehouse = Project(tmp_path), MemoryWarehouse()
    project.land(rows)
    warehouse.build(project.spec())
    found = warehouse.connection.execute(f"SELECT {columns} FROM {model} ORDER BY ALL").fetchall()
    warehouse.close()
    return found


def test_a_won_deal_with_its_line_becomes_an_order(lived):
    lived.build(*MASTERS, deal("10"), line("20", "10"))
    assert lived.dispositions == [("10", 1, "post", [])]
    [(_, operation, payload)] = [row for row in lived.outbox if "/opportunity/" in row[0]]
    assert operation == "create"
    assert '"sku":"SKU-1"' in payload.replace(" ", "")


def test_the_close_date_is_the_day_in_the_portals_time_zone_and_midnight_utc_is_a_day_without_time(tmp_path):
    moments = {
        "1": (datetime(2026, 3, 3, 2, 30, tzinfo=UTC), "US/Eastern"),  # the evening of the second
        "2": (datetime(2026, 3, 3, tzinfo=UTC), "US/Eastern"),  # as integrations write a day
        "3": (datetime(2026, 3, 2, 23, 30, tzinfo=UTC), "Europe/Berlin"),  # the third has begun there
        "4": (datetime(2026, 3, 3, 2, 30, tzinfo=UTC), "Nowhere/City"),
        "5": (datetime(2026, 3, 3, 2, 30, tzinfo=UTC), None),
    }
    rows = [deal(one, closedate=at, portal_time_zone=zone) for one, (at, zone) in moments.items()]
    found = dict(staged(tmp_path, "staging.stg_hubspot__deals", "deal_id, booking_date", *rows))
    assert found == {
        "1": date(2026, 3, 2),
        "2": date(2026, 3, 3),
        "3": date(2026, 3, 3),
        "4": date(2026, 3, 3),
        "5": date(2026, 3, 3),
    }


def test_amounts_are_whole_minor_units_of_their_currency(tmp_path):
    rows = [
        deal(one, amount=Decimal(text), deal_currency_code=code, portal_currency=only)
        for one, text, code, only in (
            ("1", "8.600000001", "USD", None),
            ("2", "1500.000000002", "JPY", None),
            ("3", "1.234500001", "KWD", None),
            ("4", "99.999999999", None, "EUR"),
            ("5", "12.500000001", None, None),
        )
    ]
    found = staged(tmp_path, "staging.stg_hubspot__deals", "deal_id, amount, currency", *rows)
    assert found == [
        ("1", Decimal("8.60"), "USD"),
        ("2", Decimal(1500), "JPY"),
        ("3", Decimal("1.235"), "KWD"),
        ("4", Decimal(100), "EUR"),
        ("5", Decimal("12.50"), None),
    ]


def test_a_line_without_a_currency_counts_in_the_only_one_of_the_portal(tmp_path):
    rows = [
        line(one, "10", amount=Decimal(text), hs_line_item_currency_code=code, portal_currency=only)
        for one, text, code, only in (
            ("1", "1.234500001", None, "KWD"),
            ("2", "1500.4", "", "JPY"),
            ("3", "1.234500001", "USD", "KWD"),
            ("4", "1.234500001", None, None),
        )
    ]
    found = staged(tmp_path, "staging.stg_hubspot__line_items", "line_id, amount", *rows)
    assert found == [("1", Decimal("1.235")), ("2", Decimal(1500)), ("3", Decimal("1.23")), ("4", Decimal("1.23"))]


def test_a_flat_discount_is_off_each_unit(tmp_path):
    rows = [
        line("1", "10", discount=Decimal(10), amount=Decimal(270)),
        line("2", "10", amount=None, discount=Decimal("0.5")),
        line("3", "10", amount=None, hs_discount_percentage=Decimal(5)),
    ]
    found = staged(tmp_path, "staging.stg_hubspot__line_items", "line_id, unit_price, discount, amount", *rows)
    assert found == [
        ("1", Decimal(90), None, Decimal(270)),
        ("2", Decimal("99.5"), None, Decimal("298.5")),
        ("3", Decimal(100), Decimal(5), None),
    ]


NET = "SELECT source_document_id, status, amount, len(lines) FROM marts.canonical_events ORDER BY source_document_id, position"

CURRENT = (
    "SELECT split_part(entity_key, '/', 3) AS deal, arg_max(status, position), arg_max(amount, position)"
    " FROM marts.canonical_events GROUP BY deal ORDER BY deal"
)


def test_a_merged_deal_does_not_stay_live(lived):
    lived.build(*MASTERS, deal("10"), line("20", "10"), deal("11"), line("21", "11"))
    assert len([row for row in lived.outbox if "/opportunity/" in row[0]]) == 2
    lived.build(deal("10", instant(5), hs_merged_object_ids="9;11"))
    assert {"crm/opportunity/10", "crm/opportunity/11"} <= set(lived.touched)
    merged = [row for row in lived.query(NET) if row[0] == "11"]
    assert [row[1] for row in merged] == ["open", "cancelled"]


def test_the_lines_of_merged_deals_are_those_of_the_deal_that_the_merge_made(lived):
    """Their links move, their stamps do not, and no later read need see it."""
    lived.build(
        *(*MASTERS, deal("10"), line("20", "10"), deal("11", amount=Decimal(700))),
        *(line("21", "11"), line("22", "11", quantity=Decimal(4), amount=Decimal(400)), line("23", "11")),
        *(hubspot("line_items_archived", "23", instant(1)), line("24", "11")),
        line("24", None, instant(2)),  # taken off the deal before it was merged
    )
    lived.build(deal("12", instant(5), amount=Decimal(1000), hs_merged_object_ids="10;11"))
    assert [row for row in lived.query(NET) if row[0] == "12"] == [("12", "open", Decimal(1000), 3)]
    assert {row[0]: row[1] for row in lived.query(NET)} == {"10": "cancelled", "11": "cancelled", "12": "open"}
    assert ("12", 1, "post", []) in lived.dispositions
    lived.build(
        deal("12", instant(9), amount=Decimal(1100), hs_merged_object_ids="10;11"),
        line("22", "12", instant(9), quantity=Decimal(5), amount=Decimal(500)),
    )
    assert [row[2:] for row in lived.query(NET) if row[0] == "12"] == [(Decimal(1000), 3), (Decimal(1100), 3)]


def test_an_amendment_of_a_merged_deal_goes_with_it_from_merge_to_merge(lived):
    lived.build(
        *(*MASTERS, deal("10"), line("20", "10"), deal("11", amount=Decimal(700))),
        line("21", "11", quantity=Decimal(7), amount=Decimal(700)),
        deal("30", instant(1), amount=Decimal(100), dealtype="amendment", original_deal_id="11"),
        line("40", "30", instant(1), hs_sku="SKU-1", quantity=Decimal(1), amount=Decimal(100)),
    )
    lived.build(deal("12", instant(5), amount=Decimal(1000), hs_merged_object_ids="10;11"))
    worth = lived.query(CURRENT)
    assert worth == [("10", "cancelled", Decimal(0)), ("11", "cancelled", Decimal(0)), ("12", "open", Decimal(1100))]
    assert [row[2:] for row in lived.dispositions if row[0] == "12"][-1] == ("post", [])
    lived.build(
        deal("13", instant(9), amount=Decimal(1000), hs_merged_object_ids="10;11;12"),
        deal("30", instant(9), amount=Decimal(100), dealtype="amendment", original_deal_id="11", po_number="PO-1"),
    )
    worth = lived.query(CURRENT)
    assert worth[2:] == [("12", "cancelled", Decimal(0)), ("13", "open", Decimal(1100))]


def test_an_archived_deal_is_cancelled_and_an_archived_line_is_gone(lived):
    lived.build(
        *MASTERS, deal("10"), line("20", "10"), deal("11"), line("21", "11"), line("22", "11", amount=Decimal(0))
    )
    lived.build(
        hubspot("deals_archived", "10", instant(5)),
        hubspot("line_items_archived", "22", instant(5)),
    )
    assert lived.query(
        "SELECT source_document_id, status, len(lines) FROM marts.canonical_events ORDER BY source_document_id, position"
    ) == [("10", "open", 1), ("10", "cancelled", 0), ("11", "open", 2), ("11", "open", 1)]


def test_a_link_that_was_read_later_under_the_same_stamp_counts(lived):
    lived.build(*MASTERS, deal("10", associated_company=None), line("20", "10"))
    assert lived.dispositions == [("10", 1, "review", ["customer_missing"])]
    view, row = deal("10")
    lived.build((view, row | {"_observed_at": row["_observed_at"] + timedelta(hours=1)}))
    assert lived.dispositions == [("10", 1, "post", [])]


def test_a_company_has_one_address_and_an_archived_one_is_unknown(tmp_path):
    rows = (*MASTERS, hubspot("companies_archived", "1", EPOCH))
    found = staged(
        tmp_path, "staging.stg_hubspot__companies", "changed_at, name, billing_address.city, is_deleted", *rows
    )
    assert [row[1:] for row in found] == [("Acme", "Berlin", False), (None, None, True)]


def test_a_product_that_is_inactive_or_archived_may_not_be_sold(tmp_path):
    rows = (*MASTERS, hubspot("products", "6", EPOCH, hs_sku="S6", hs_status="inactive"))
    rows += (hubspot("products_archived", "5", EPOCH),)
    found = staged(tmp_path, "staging.stg_hubspot__products", "product_id, changed_at, is_active", *rows)
    assert [(one, active) for one, _, active in found] == [("5", True), ("5", False), ("6", False)]
