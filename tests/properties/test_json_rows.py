"""Pages cut and decoded in bulk give the rows that a plain reading of the same text gives, to the digit."""

import json
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Context, Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshline_dagster.core.errors import SourceError
from meshline_dagster.crm.json_rows import JsonRows, RowKeys
from meshline_dagster.crm.protocol import FieldSpec, FieldType
from meshline_dagster.crm.salesforce_pages import parse_page

KINDS = {
    "Amount": FieldType.DECIMAL,
    "Anything": FieldType.STRING,
    "CloseDate": FieldType.DATE,
    "Count": FieldType.INTEGER,
    "Id": FieldType.STRING,
    "IsDeleted": FieldType.BOOLEAN,
    "Name": FieldType.STRING,
    "SystemModstamp": FieldType.TIMESTAMP,
}
FIELDS = [FieldSpec(name, kind, "any") for name, kind in KINDS.items()]
DECODER = JsonRows(FIELDS, RowKeys("Id", "SystemModstamp", "IsDeleted"), "crm/deal", loose=["Anything"])

digits = st.integers(0, 10**20).map(str)
numbers = st.one_of(
    st.sampled_from(["8.600000000000000477", "1e2", "1E+2", "-0.0", "5e-10", "12345678901234567890", "0.1234567895"]),
    st.sampled_from(
        ["123456789012345678.123456789", "99999999999999999999999999999", "-1.5e-9", "10000000000000000.07"]
    ),
    st.builds("{}{}.{}".format, st.sampled_from(["", "-"]), digits, st.text("0123456789", min_size=1, max_size=25)),
    st.integers(-(10**25), 10**25).map(str),
)
texts = st.one_of(
    st.text(st.characters(codec="utf-8")),
    st.sampled_from(
        ['},{"attributes":{"a":"b"},', "}, {", "1.50", "true", "\\", '"', "\u2028", "\U0001f4b6", "\x00", "{}"]
    ),
)
strings = st.one_of(texts.map(json.dumps), texts.map(lambda text: json.dumps(text, ensure_ascii=False)))
scalars = st.one_of(st.sampled_from(["null", "true", "false", '"\\ud83d"']), numbers, strings)
anything = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda values: f"[{','.join(values)}]"),
        st.dictionaries(strings, inner, max_size=3).map(
            lambda values: "{" + ",".join(f"{key} : {value}" for key, value in values.items()) + "}"
        ),
    ),
    max_leaves=6,
)
stamps = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)).map(  # noqa: DTZ001 - the text gets its zone below
    lambda stamp: f'"{stamp:%Y-%m-%dT%H:%M:%S}.{stamp.microsecond // 1000:03}+0000"'
)
records = st.fixed_dictionaries(
    {"Id": st.text("abc016", min_size=1, max_size=4).map(json.dumps), "SystemModstamp": stamps},
    optional={
        "Amount": st.one_of(numbers, st.just("null")),
        "Anything": anything,
        "CloseDate": st.one_of(st.dates(date(1900, 1, 1)).map(lambda day: f'"{day}"'), st.just("null")),
        "Count": st.one_of(st.integers(-(2**63), 2**63 - 1).map(str), st.just("null")),
        "IsDeleted": st.sampled_from(["true", "false", "null"]),
        "Name": st.one_of(strings, st.just("null")),
        "Unknown": anything,
    },
)


def body(rows, white):
    """A query's answer; ``white`` stands around every comma, colon and brace."""
    comma, colon = f",{white}", f":{white}"

    def one(row):
        fields = {"attributes": "{" + white + f'"type"{colon}"Deal"' + white + "}", **row}
        return "{" + white + comma.join(f'"{name}"{colon}{value}' for name, value in fields.items()) + white + "}"

    head = f'{{"totalSize"{colon}{len(rows)}{comma}"done"{colon}true{comma}"records"{colon}['
    return (head + comma.join(map(one, rows)) + "]}").encode()


def compact(value):
    if isinstance(value, dict):
        return "{" + ",".join(f"{compact(key)}:{compact(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(compact, value)) + "]"
    return str(value) if isinstance(value, Decimal) else json.dumps(value, ensure_ascii=False)


def expected(value, kind):
    if value is None:
        return None
    if kind is FieldType.DECIMAL:
        exact = Decimal(value).quantize(Decimal("1e-9"), context=Context(prec=38, rounding=ROUND_HALF_UP))
        return exact or abs(exact)
    if kind is FieldType.DATE:
        return date.fromisoformat(value)
    if kind is FieldType.TIMESTAMP:
        return datetime.fromisoformat(value).astimezone(UTC)
    if kind is FieldType.STRING:
        text = value if isinstance(value, str) else compact(value)
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return value


def plain_rows(text):
    rows = []
    for record in json.loads(text, parse_float=Decimal)["records"]:
        del record["attributes"]
        row = {name: expected(record.get(name), kind) for name, kind in KINDS.items()}
        row |= {"_id": row["Id"], "_stamp": row["SystemModstamp"], "_deleted": bool(row["IsDeleted"])}
        rows.append((row, record))
    return rows


def check(rows, white):
    text = body(rows, white)
    read = [
        {name: one.astimezone(UTC) if isinstance(one, datetime) else one for name, one in row.items()}
        for row in DECODER.decode(parse_page(text).records()).to_pylist()
    ]
    payloads = [json.loads(row.pop("_payload"), parse_float=Decimal) for row in read]
    plain = plain_rows(text)
    assert sorted(map(repr, zip(read, payloads, strict=True))) == sorted(
        repr(({name: row[name] for name in read[0]}, record)) for row, record in plain
    )
    assert [(row["_stamp"], row["_id"]) for row in read] == sorted((row["_stamp"], row["_id"]) for row, _ in plain)


@settings(deadline=None)  # a busy machine is no error
@given(st.lists(records, min_size=1, max_size=6), st.sampled_from(["", " ", "\n\t "]))
def test_any_records_give_the_rows_of_a_plain_reading(rows, white):
    check(rows, white)


@settings(deadline=None)  # a busy machine is no error
@given(st.lists(records, min_size=1, max_size=6))
def test_records_that_have_all_keys_give_the_rows_of_a_plain_reading(rows):
    check([{name: row.get(name, "null") for name in KINDS} for row in rows], "")


@pytest.mark.parametrize("white", ["", " "])
def test_a_page_whose_records_hold_no_field_is_not_taken_for_an_empty_one(white):
    with pytest.raises(SourceError):
        DECODER.decode(parse_page(body([{}, {}], white)).records())


@pytest.mark.parametrize("value", ['"twelve"', "1e30", "{}", '""', "[1]"])
def test_what_is_no_number_is_refused_by_name(value):
    row = {"Id": '"a"', "SystemModstamp": '"2026-01-01T00:00:00.000+0000"', "Amount": value}
    with pytest.raises(SourceError, match="record a, field Amount"):
        DECODER.decode(parse_page(body([row], "")).records())
