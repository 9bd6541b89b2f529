"""Event ids are what the ledger, the ERP and the auditors know an event by: they never change, whatever is done to the models."""

import hashlib
from datetime import datetime

import pytest

from tests.integration.warehouse.landed import account, deal, instant, line, product
from tests.integration.warehouse.lived import Lived

CATALOG = [account("A1"), product("P1", "SKU-1")]


@pytest.fixture
def lived(tmp_path):
    return Lived(tmp_path)


def _events(lived, columns="id, source, entity_key, document_kind, time, digest"):
    return lived.query(f"SELECT {columns} FROM marts.canonical_events ORDER BY entity_key, position")


def _netstrings(*fields):
    return "".join(f"{len(field)}:{field}" for field in fields)


def test_an_id_covers_source_entity_document_kind_stamp_and_digest(lived):
    lived.build(*CATALOG, deal("D1", instant()), line("L1", "D1", instant()), deal("D1", instant(9), won=False))
    events = _events(lived)
    assert len(events) == 2
    for one, source, entity, kind, time, digest in events:
        assert isinstance(time, datetime)
        stamp = str(int(time.timestamp() * 1_000_000))
        assert one == hashlib.sha256(_netstrings(source, entity, kind, stamp, digest).encode()).hexdigest()


def test_ids_of_known_orders_are_what_they_were_when_they_were_first_given(lived):
    rich = {"PO_Number__c": "PO-7", "Payment_Terms__c": "NET30", "ContractId": "C1", "Type": "New Business"}
    dated = {"Description": "Größe M", "ServiceDate": instant().date(), "End_Date__c": instant(days=365).date()}
    lived.build(
        *CATALOG,
        deal("D1", instant(), amount="449.985", **rich),
        line("L1", "D1", instant(), quantity="1.5", price="299.99", **dated),
    )
    lived.build(
        deal("D2", instant(5), amount=100, Type="Amendment", Original_Opportunity__c="D1"),
        line("L2", "D2", instant(5), quantity=1),
    )
    lived.build(deal("D1", instant(9), won=False))
    assert _events(lived, "id") == [
        ("09581aaf4e4f44448f2ef445c0f80b72bd4945c4460f10bb249c8a25432b6861",),
        ("d9808b030b1dedd3ff57b9ca55947326badc0b7e8425db7706afdb875f088b1b",),
        ("650dfd76463bfac6c05549fd50bb75f0f1e32d818e248b9a1d9a2bc2fd69f25c",),
    ]


HEADER = [
    {"PO_Number__c": "7"},
    {"Payment_Terms__c": "NET30"},
    {"CurrencyIsoCode": "EUR"},
    {"AccountId": "A2"},
    {"ContractId": "C1"},
    {"CloseDate": instant(days=1).date()},
    {"amount": 301},
]
LINE = [
    {"quantity": 4},
    {"price": 101},
    {"ProductCode": "SKU-2"},
    {"Product2Id": "P2"},
    {"Description": "red"},
    {"Discount": 5},
    {"ServiceDate": instant().date()},
    {"End_Date__c": instant().date()},
    {"deleted": True},
]


def test_a_change_of_any_field_that_the_erp_gets_is_a_new_state(lived):
    rows = []
    for number, change in enumerate([*HEADER, *LINE, {}]):
        one = f"D{number:02}"
        rows += [deal(one, instant()), line(f"L{number}", one, instant())]
        if change in HEADER:
            rows.append(deal(one, instant(9), **change))
        else:
            rows.append(line(f"L{number}", one, instant(9), **change))
    lived.build(*CATALOG, *rows)
    counts = lived.query("SELECT count(*) FROM marts.canonical_events GROUP BY order_id ORDER BY order_id")
    assert [count for (count,) in counts] == [2] * len(HEADER) + [2] * len(LINE) + [1]


def test_what_the_erp_does_not_get_makes_no_new_state(lived):
    lived.build(*CATALOG, deal("D1", instant()), line("L1", "D1", instant()))
    lived.build(deal("D1", instant(9), Name="Another", StageName="Won at last"), line("L1", "D1", instant(9)))
    assert len(_events(lived)) == 1


def test_a_state_that_comes_back_is_an_event_of_its_own(lived):
    amounts = enumerate([300, 400, 300])
    lived.build(
        *CATALOG, line("L1", "D1", instant()), *(deal("D1", instant(n), amount=amount) for n, amount in amounts)
    )
    [first, _, third] = _events(lived)
    assert first[-1] == third[-1]
    assert first[0] != third[0]


def test_a_state_that_is_known_to_be_older_than_it_was_seen_takes_the_older_stamp(lived):
    lived.build(*CATALOG, deal("D1", instant(5)), line("L1", "D1", instant()))
    [(_, *_, digest)] = _events(lived)
    lived.build(deal("D1", instant(2)))
    [(*_, time, same)] = _events(lived)
    assert (time, same) == (instant(2), digest)
