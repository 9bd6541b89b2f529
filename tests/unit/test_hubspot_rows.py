"""One form of a record, whoever gave it: the same observation has the same payload."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from meshline_dagster.core.errors import SourceError
from meshline_dagster.crm.hubspot_objects import field_type
from meshline_dagster.crm.hubspot_rows import Record, instant_of, milliseconds, table_of
from meshline_dagster.crm.protocol import FieldSpec, FieldType

STAMP = datetime(2026, 3, 9, 20, 29, 45, 981000, tzinfo=UTC)


def payload(properties, links=None):
    return Record("7", STAMP, properties, links).payload(["amount", "dealname"])


def test_what_is_null_and_what_is_left_out_are_the_same_observation():
    asked = {"dealname": "D", "amount": None}
    assert payload(asked) == payload({"dealname": "D", "createdate": "2026-03-09T00:00:00Z"})
    assert payload(asked) != payload({"dealname": "D", "amount": "1"})


def test_the_digits_of_a_number_stay_and_the_order_of_links_does_not_count():
    assert '"8.600000000000000477"' in payload({"amount": "8.600000000000000477"})
    assert payload({}, {"1": [5, 341], "2": [341]}) == payload({}, {"2": [341], "1": [341, 5]})
    assert payload({}, {"1": [341]}) != payload({}, {"1": [5, 341]})


@pytest.mark.parametrize("text", ["2026-03-09T20:29:45.981Z", "1773088185981", "2026-03-09T16:29:45.981-04:00"])
def test_an_instant_is_read_in_either_notation(text):
    assert instant_of(text) == STAMP


def test_an_instant_without_a_time_zone_is_none():
    with pytest.raises(ValueError, match="no time zone"):
        instant_of("2026-03-09T20:29:45")


@pytest.mark.parametrize(
    "text", ["9" * 30, "-" + "9" * 30, "9" * 5000, "0001-01-01T00:00:00+05:00", "+020206-01-01T00:00:00Z"]
)
def test_an_instant_that_no_calendar_has_is_none(text):
    with pytest.raises(ValueError):  # noqa: PT011 - the words are Python's
        instant_of(text)


ODD = {"amount": "9" * 30, "quantity": "NaN", "closedate": "+020206-01-01T00:00:00Z", "start": "soon", "end": "9" * 30}
KINDS = {"amount": FieldType.DECIMAL, "quantity": FieldType.DECIMAL, "closedate": FieldType.TIMESTAMP}
FIELDS = [FieldSpec(name, KINDS.get(name, FieldType.DATE), "any") for name in ODD]


def test_a_value_that_does_not_fit_is_null_and_its_text_stays():
    records = [Record("7", STAMP, ODD), Record("8", STAMP, {"amount": "1", "start": "2026-03-09"})]
    odd, sound = table_of(records, FIELDS, list(ODD), "hubspot/deals").to_pylist()
    assert [odd[name] for name in ODD] == [None] * len(ODD)
    assert all(f'"{text}"' in odd["_payload"] for text in ODD.values())
    assert (sound["amount"], sound["start"]) == (Decimal(1), date(2026, 3, 9))


def test_a_flag_that_does_not_fit_is_not_taken_for_unset():
    won = FieldSpec("hs_is_closed_won", FieldType.BOOLEAN, "bool")
    with pytest.raises(SourceError, match="record 7, property hs_is_closed_won"):
        table_of([Record("7", STAMP, {"hs_is_closed_won": "maybe"})], [won], ["hs_is_closed_won"], "hubspot/deals")


def test_bounds_in_milliseconds_stay_half_open():
    assert milliseconds(STAMP) == "1773088185981"
    assert milliseconds(STAMP + timedelta(microseconds=1)) == "1773088185982"


@pytest.mark.parametrize("name", ["hs_object_id", "hs_product_id", "original_deal_id", "payment_terms", "po_number"])
def test_what_only_looks_like_a_number_stays_a_text(name):
    assert field_type(name, "number") is FieldType.STRING
    assert field_type("amount", "number") is FieldType.DECIMAL
