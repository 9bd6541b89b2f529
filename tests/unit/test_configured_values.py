"""Bodies, texts and documents of a configured ERP: digits stay as they are, and what cannot be said is refused."""

from datetime import UTC, date, datetime
from decimal import Decimal

import orjson
import pytest

from meshline_dagster.core.documents import DocumentKind
from meshline_dagster.core.errors import ConfigError, SourceError
from meshline_dagster.erp.configured_bodies import BodyError, compile_body
from meshline_dagster.erp.configured_documents import compile_shown, decode, stamp_reader, stamp_writer
from meshline_dagster.erp.configured_model import Formats, Shown
from meshline_dagster.erp.configured_text import MISSING, escape, pointer, template

ORDER = DocumentKind.SALES_ORDER
VALUES = {"amount": "12345678901234567.10", "currency": "EUR", "po_number": None, "order_date": "2017-04-01"}
VALUES |= {"customer": "C", "status": "open", "customer in the ERP": 17}
VALUES |= {"lines": [{"sku": "A", "quantity": "1.5", "amount": "0.10"}, {"sku": "B", "quantity": "2", "amount": "7"}]}


def sent(tree, values=VALUES):
    build = compile_body(tree, ORDER, date_format="%d.%m.%Y", where="body", wanted=set())
    return orjson.dumps(build(values)).decode()


@pytest.mark.parametrize(
    ("tree", "text"),
    [
        ({"from": "amount"}, '"12345678901234567.10"'),
        ({"from": "amount", "as": "number"}, "12345678901234567.10"),
        ({"from": "amount", "as": "minor_units"}, "1234567890123456710"),
        ({"from": "order_date", "as": "date"}, '"01.04.2017"'),
        ({"from": "order_date", "as": "date", "format": "%Y%m%d"}, '"20170401"'),
        ({"from": "customer", "as": "erp_id"}, "17"),
        ({"from": "customer", "as": "erp_id", "prefix": "/accounts(", "suffix": ")"}, '"/accounts(17)"'),
        ({"from": "currency", "map": {"EUR": 1, "USD": 2}}, "1"),
        ({"from": "po_number"}, "null"),
        ({"from": "po_number", "default": "none"}, '"none"'),
        ({"a": {"b": [1, True, None, {"from": "currency"}]}, "c": "x"}, '{"a":{"b":[1,true,null,"EUR"]},"c":"x"}'),
        ({"a": {"from": "po_number", "omit_if_missing": True}, "b": 1}, '{"b":1}'),
        ({"each": "lines", "value": {"from": "amount", "as": "number"}}, "[0.10,7]"),
        (
            {"each": "lines", "value": {"s": {"from": "sku"}, "c": {"from": "currency"}}},
            '[{"s":"A","c":"EUR"},{"s":"B","c":"EUR"}]',
        ),
    ],
)
def test_a_body_is_built_digit_by_digit(tree, text):
    assert sent(tree) == text


@pytest.mark.parametrize(
    ("tree", "field"),
    [
        ({"from": "currency", "map": {"USD": 2}}, "currency"),
        ({"from": "amount", "as": "integer"}, "amount"),
        ({"from": "customer", "as": "number"}, "customer"),
    ],
)
def test_what_a_body_cannot_say_names_the_field(tree, field):
    with pytest.raises(BodyError) as raised:
        sent(tree)
    assert raised.value.field == field


def test_a_currency_without_cents_has_no_minor_units():
    assert sent({"from": "amount", "as": "minor_units"}, {"amount": "500", "currency": "JPY"}) == "500"


def test_pointers_find_what_is_there_and_tell_null_from_nothing():
    answer = {"a": [{"@odata.etag": 1, "x/y": None}]}
    assert pointer("/a/0/@odata.etag")(answer) == 1
    assert pointer("/a/0/x~1y")(answer) is None
    assert pointer("")(answer) is answer
    assert [pointer(text)(answer) for text in ("/a/1", "/a/b", "/a/0/@odata.etag/z")] == [MISSING] * 3


def test_what_goes_into_a_path_is_one_part_of_it():
    fill = template("/orders('{id}')/{{x}}", ["id"], is_path=True)
    assert fill({"id": "a/b c?é'"}) == "/orders('a%2Fb%20c%3F%C3%A9%27')/{x}"


def test_external_ids_are_written_as_the_filter_wants_them():
    assert escape("json")('a"b\\') == 'a\\"b\\\\'
    assert escape("doubled_quotes")("O'Brien") == "O''Brien"
    assert escape("plain")("MLO-12") == "MLO-12"
    with pytest.raises(ConfigError, match=r"find\.escape"):
        escape("plain")("O'Brien")


SHOWN = Shown(id="/id", external_id="/x", stamp="/t", amount="/amount", currency="/c", document_date="/d")
ROW = b'{"id": 7, "x": "X", "t": "2017-04-01T12:00:00", "amount": 12345678901234567.10, "c": "EUR", "d": "2017-04-01T00:00:00"}'


def test_a_document_is_read_digit_by_digit():
    read = compile_shown(ORDER, SHOWN, Formats(time_zone="Asia/Kolkata"))
    found = read(decode(ROW))
    assert (found.erp_id, found.number, found.amount) == ("7", "7", Decimal("12345678901234567.10"))
    assert (found.stamp, found.document_date) == (datetime(2017, 4, 1, 6, 30, tzinfo=UTC), date(2017, 4, 1))
    assert (found.status, found.event_id, found.customer) == ("open", None, None)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("id", b"null", "shown.id"),
        ("t", b'"yesterday"', "shown.stamp"),
        ("t", b"null", "shown.stamp"),
        ("amount", b"true", "shown.amount"),
        ("amount", b'"12,50"', "shown.amount"),
        ("amount", b"null", "shown.amount"),
        ("c", b"{}", "shown.currency"),
        ("d", b"17", "shown.document_date"),
    ],
)
def test_what_is_not_as_configured_is_said_with_its_place(field, value, message):
    import re

    row = re.sub(rb'("%s": )("[^"]*"|[\d.]+)' % field.encode(), rb"\g<1>" + value, ROW)
    assert row != ROW
    with pytest.raises(SourceError, match=f"documents.sales_order.{message}"):
        compile_shown(ORDER, SHOWN, Formats())(decode(row))


def test_no_json_and_no_number_are_no_answer():
    assert decode(b"<html>") is None
    assert decode(b'{"a": NaN}') is None


def test_an_instant_never_becomes_later_in_a_filter():
    moment = datetime(2017, 4, 1, 12, 0, 0, 999999, tzinfo=UTC)
    for formats in (
        Formats(),
        Formats(stamp="%Y-%m-%d %H:%M:%S", time_zone="Europe/Berlin"),
        Formats(stamp="%d.%m.%Y"),
    ):
        written = stamp_writer(formats)(moment)
        assert stamp_reader(formats)(written) <= moment
    assert stamp_writer(Formats())(moment) == "2017-04-01T12:00:00.999999Z"
