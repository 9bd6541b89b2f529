"""Every reason for which an order is not simply posted, by an example each; all of them in one build."""

import json
from datetime import date

import pytest

from meshline_dagster.warehouse.records import BuildMode, Policy
from tests.integration.warehouse.landed import Project, account, deal, deal_deleted, instant, line, product
from tests.integration.warehouse.recorded import MemoryWarehouse

AT = instant()
MASTERS = [
    *(account(one) for one in ("A1", "A2")),
    account("A3", Name="Old Name"),
    account("A3", instant(days=1), Name="New Name"),
    account("A4", IsDeleted=True),
    product("P1", "SKU-1"),
    product("P2", "SKU-2"),
    product("P3", "RETIRED", instant(-9)),
    product("P3", "RETIRED", instant(-5), active=False),
]
POST = ("post", [])


def _order(one, *, quantity=3, price=100, item=None, **values):
    """A won deal of 300 with one line."""
    return [deal(one, AT, **values), line(f"{one}.1", one, AT, quantity=quantity, price=price, **(item or {}))]


def _amendment(one, root, *, quantity=1, amount=100, kind="Amendment", **values):
    link = {"Type": kind, "Original_Opportunity__c": root}
    return [
        deal(one, instant(5), amount=amount, **link, **values),
        line(f"{one}.1", one, instant(5), quantity=quantity),
    ]


# order -> what is landed of it, and what becomes of its newest event
CASES = {
    "fine": (_order("fine"), POST),
    "pre-cutover": (
        _order("pre-cutover", CloseDate=date(2025, 12, 31), amount=-1, CurrencyIsoCode=None),
        ("ignore", ["pre_cutover"]),
    ),
    "booked on the day": (_order("booked on the day", CloseDate=date(2026, 1, 1)), POST),
    "worth nothing": (_order("worth nothing", amount=0, price=0), POST),
    "negative": (
        _order("negative", amount=-300, quantity=-3),
        ("reject", ["amount_negative", "quantity_negative"]),
    ),
    "a return among others": (
        [
            *_order("a return among others", amount=200),
            line("return", "a return among others", AT, quantity=-1),
        ],
        ("reject", ["quantity_negative"]),
    ),
    "nobody": (_amendment("x1", "nobody"), ("review", ["root_not_found"])),
    "orphan": (_order("orphan", Type="Renewal"), ("review", ["root_not_found"])),
    "unwon": (
        [deal("unwon", AT, won=False), *_amendment("x2", "unwon")],
        ("review", ["root_not_won"]),
    ),
    "reopened": (
        [*_order("reopened"), deal("reopened", instant(1), won=False), deal("reopened", instant(2))],
        ("review", ["reopened"]),
    ),
    "reduced": ([*_order("reduced"), *_amendment("x3", "reduced", quantity=-1, amount=-100)], POST),
    "reduced too far": (
        [*_order("reduced too far"), *_amendment("x4", "reduced too far", quantity=-4, amount=-400)],
        ("reject", ["amount_negative", "net_quantity_negative"]),
    ),
    "called off": (
        [
            *_order("called off"),
            deal("x5", instant(5), amount=0, Type="Cancellation", Original_Opportunity__c="called off"),
        ],
        POST,
    ),
    "reduced to nothing": (
        [*_order("reduced to nothing"), *_amendment("x6", "reduced to nothing", quantity=-3, amount=-300)],
        POST,
    ),
    "no customer": (_order("no customer", AccountId=None), ("review", ["customer_missing"])),
    "customer not there": (_order("customer not there", AccountId="A9"), ("review", ["customer_not_landed"])),
    "customer deleted": (
        _order("customer deleted", AccountId="A4"),
        ("review", ["customer_not_landed"]),
    ),
    "no currency": (_order("no currency", CurrencyIsoCode=None), ("review", ["currency_missing"])),
    "odd currency": (_order("odd currency", CurrencyIsoCode="usd"), ("review", ["currency_invalid"])),
    "no amount": (_order("no amount", amount=None), ("review", ["amount_missing"])),
    "no close date": (_order("no close date", CloseDate=None), ("review", ["booking_date_missing"])),
    "unknown product": (
        _order("unknown product", item={"ProductCode": "SKU1"}),
        ("review", ["product_unmapped"]),
    ),
    "no product": (
        _order("no product", item={"ProductCode": None, "Product2Id": None}),
        ("review", ["product_unmapped"]),
    ),
    "retired product": (
        _order("retired product", item={"ProductCode": "RETIRED"}),
        ("review", ["product_inactive"]),
    ),
    "prices that do not agree": (
        _order("prices that do not agree", item={"TotalPrice": 300, "UnitPrice": 90}),
        ("review", ["line_amount_mismatch"]),
    ),
    "no lines": ([deal("no lines", AT, amount=0)], ("review", ["lines_missing"])),
    "lines short": (_order("lines short", amount=301), ("review", ["lines_incomplete"])),
    "everything": (
        _order("everything", AccountId=None, CurrencyIsoCode=None, CloseDate=None, item={"ProductCode": "SKU1"}),
        ("review", ["customer_missing", "currency_missing", "booking_date_missing", "product_unmapped"]),
    ),
    "gone in the second of a change": (
        [*_order("gone"), deal("gone", instant(5), PO_Number__c="7"), deal_deleted("gone", instant(5))],
        POST,
    ),
    "renamed": (_order("renamed", AccountId="A3"), POST),
    "mapped": (_order("mapped", item={"ProductCode": "SKU-2"}), POST),
}
# what is under a name of its own that reads better
ROOTS = {"gone in the second of a change": "gone"}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    project = Project(tmp_path_factory.mktemp("dispositions"), policy=Policy(effective_from=date(2026, 1, 1)))
    project.land([*MASTERS, *(row for rows, _ in CASES.values() for row in rows)])
    project.map("product", "SKU-2", "SKU-1")
    warehouse = MemoryWarehouse()
    warehouse.build(project.spec(BuildMode.FULL))
    rows = warehouse.connection.execute(
        "SELECT order_id, status, disposition, list_transform(reasons, lambda one: one.code), payload::JSON"
        " FROM marts.canonical_events AS events"
        " INNER JOIN marts.event_dispositions AS dispositions ON events.id = dispositions.event_id"
        " LEFT JOIN marts.outbox AS outbox ON events.id = outbox.event_id"
        " QUALIFY row_number() OVER (PARTITION BY events.entity_key ORDER BY events.position DESC) = 1"
    ).fetchall()
    codes = {
        code for (code,) in warehouse.connection.execute("SELECT code FROM intermediate.int_reason_codes").fetchall()
    }
    warehouse.close()
    return {order: rest for order, *rest in rows}, codes


@pytest.mark.parametrize("case", CASES)
def test_a_case_has_its_disposition_and_reasons(found, case):
    events, _ = found
    _, disposition, codes, _ = events[ROOTS.get(case, case)]
    assert (disposition, codes) == CASES[case][1]


def test_no_reason_is_without_an_example(found):
    _, codes = found
    shown = {code for _, (_, reasons) in CASES.values() for code in reasons}
    assert codes - shown == {"corrected_by_later_version"}


@pytest.mark.parametrize("case", ["called off", "reduced to nothing", "gone"])
def test_what_leaves_nothing_open_is_a_cancellation(found, case):
    events, _ = found
    assert events[case][0] == "cancelled"


def test_a_customer_is_named_as_it_was_when_the_order_was_made(found):
    events, _ = found
    assert json.loads(events["renamed"][3])["customer_name"] == "Old Name"


def test_a_mapping_goes_before_the_code_that_the_catalog_knows(found):
    events, _ = found
    assert [one["sku"] for one in json.loads(events["mapped"][3])["lines"]] == ["SKU-1"]
