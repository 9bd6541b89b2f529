"""One form of a record, whoever gave it: the same observation has the same payload."""

from datetime import UTC, datetime, timedelta

import pytest

from meshline_dagster.crm.hubspot_objects import field_type
from meshline_dagster.crm.hubspot_rows import Record, instant_of, milliseconds
from meshline_dagster.crm.protocol import FieldType

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


def test_bounds_in_milliseconds_stay_half_open():
    assert milliseconds(STAMP) == "1773088185981"
    assert milliseconds(STAMP + timedelta(microseconds=1)) == "1773088185982"


@pytest.mark.parametrize("name", ["hs_object_id", "hs_product_id", "original_deal_id", "payment_terms", "po_number"])
def test_what_only_looks_like_a_number_stays_a_text(name):
    assert field_type(name, "number") is FieldType.STRING
    assert field_type("amount", "number") is FieldType.DECIMAL
