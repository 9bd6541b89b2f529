"""Whatever stands in an event, pydantic and JSON Schema agree on whether it is one, and say why not; nothing ends in another error."""

from datetime import datetime

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshline_dagster.contracts.vectors import example, example_record
from meshline_dagster.core.events.reading import problems
from meshline_dagster.core.events.registry import contracts
from meshline_dagster.core.events.upcasting import upcast

CHECKER = jsonschema.FormatChecker(["date"])


@CHECKER.checks("date-time", raises=ValueError)
def _is_instant(text):
    """The library brings no checker of instants with it."""
    return not isinstance(text, str) or datetime.fromisoformat(text) is not None


# not what Python's `$` takes for the end of a text, nor a whole number written as a fraction, which JSON Schema takes for an integer
_TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\n"), max_size=12)
_NUMBERS = st.integers() | st.floats(allow_nan=False).filter(lambda number: not number.is_integer())
_NEAR = st.sampled_from(
    (
        "|0|-0|00.50|1e3|1.|.5|+1|0.1234567891|\u0661|2026-02-29|2024-02-29|0000-01-01|2026-3-2|2026-03-02T09:00:00Z|2026-03-02t09:00:00z"
        "|2026-02-30T09:00:00Z|2026-03-02T24:00:00Z|2026-03-02T09:00:60Z|2026-03-02T09:00:00+23:59|2026-03-02T09:00:00.1234567Z|a/b/c|a/b/c\nd|//x"
        f"|open|cancelled|1.0.0|{'9' * 30}|{'a' * 64}|{'A' * 64}"
    ).split("|")
)
_VALUES = st.recursive(
    st.none() | st.booleans() | _NUMBERS | _TEXTS | _NEAR,
    lambda some: st.lists(some, max_size=3) | st.dictionaries(_TEXTS, some, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize("one", contracts(), ids=lambda one: one.name)
def test_models_and_schemas_agree_on_any_event(one):
    whole = example(one.schema)
    lists = {name: field["items"] for name, field in one.schema["properties"].items() if "items" in field}
    validator = jsonschema.Draft202012Validator(one.schema, format_checker=CHECKER)
    names = st.sampled_from([*one.schema["properties"], "other"])
    records = {
        name: st.lists(
            st.dictionaries(st.sampled_from([*items["properties"], "other"]), _VALUES, max_size=2), max_size=2
        )
        for name, items in lists.items()
    }

    @settings(max_examples=200, deadline=None)
    @given(
        fields=st.dictionaries(names, _VALUES, max_size=3),
        left_out=st.sets(names, max_size=2),
        rows=st.none() | st.fixed_dictionaries(records),
    )
    def agree(fields, left_out, rows):
        event = {name: value for name, value in (whole | fields).items() if name not in left_out}
        for name, some in (rows or {}).items():
            event[name] = [example_record(lists[name]) | one for one in some]
        found = problems(event)
        said = [error.message for error in validator.iter_errors(event)]
        named = (event.get("type"), event.get("contract_version")) == (one.event_type, str(one.version))
        if named or not found:
            assert bool(found) == bool(said), (event, found, said)
        assert all(str(problem) for problem in found)
        if not found:
            upcast(event)

    agree()
