"""The kinds of values that a field of an event may have, and what is said of a field.

Each kind accepts the Python value and its one JSON notation, and nothing else: the JSON Schema that goes with it says the same.

- money, quantities, rates: decimal text, at most 29 digits before and 9 after the point; never a number, which would be a binary float;
- instants: RFC 3339 with their offset; days: ISO 8601, without a time zone.
"""

import re
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema
from pydantic.fields import FieldInfo

__all__ = [
    "DECIMAL",
    "FORMAT_NAME",
    "MAXIMUM",
    "MINIMUM",
    "OWNER",
    "UNIQUE",
    "UNIT",
    "Amount",
    "Count",
    "Day",
    "EntityKey",
    "Flag",
    "Instant",
    "Nothing",
    "Owner",
    "Sha256",
    "Text",
    "decimal_form",
    "meaning",
]

OWNER: Final = "x-owner"
UNIT: Final = "x-unit"
UNIQUE: Final = "x-unique"
FORMAT_NAME: Final = "x-format-name"
MINIMUM: Final = "x-minimum"
MAXIMUM: Final = "x-maximum"
DECIMAL: Final = "decimal"
"""What a JSON Schema says beside its own words: who owns a field, its unit, that it is unique, what its pattern is called, the bounds of a
decimal text, and the format of one.
"""

Owner = Literal["revops", "integrations", "finance"]
"""The role that says what a field means, and is asked before it changes."""

_DAY = "[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
_CLOCK = r"([01][0-9]|2[0-3]):[0-5][0-9]"
_INSTANT = rf"{_DAY}T{_CLOCK}:[0-5][0-9](\.[0-9]{{1,6}})?(Z|[+-]{_CLOCK})"
_DECIMAL = r"-?[0-9]{1,29}(\.[0-9]{1,9})?"
_ZERO = r"-?0{1,29}(\.0{1,9})?"
_SHA256 = "[0-9a-f]{64}"
_ENTITY_KEY = r"[^/]+/[^/]+/[\s\S]+"


def meaning(
    text: str,
    *,
    owner: Owner,
    example: str | int | bool | None = None,
    unit: str | None = None,
    unique: bool = False,
) -> FieldInfo:
    """What a field means to the business.

    Args:
        example: in JSON notation; a list of records has none, they have their own. Test vectors are made of it.
        unit: of a number: the field that names it, or the unit itself.
        unique: no two events have the same.
    """
    said: dict[str, Any] = {OWNER: owner}
    if unit is not None:
        said[UNIT] = unit
    if unique:
        said[UNIQUE] = True
    info: FieldInfo = Field(description=text, examples=None if example is None else [example], json_schema_extra=said)
    return info


def decimal_form(minimum: str | None, maximum: str | None) -> str:
    """The pattern of a decimal text with these bounds, which says no more than they do."""
    return f"^{_ZERO if (minimum, maximum) == ('0', '0') else _DECIMAL}$"


def _notation(pattern: str, read: Callable[[str], Any], advice: str) -> BeforeValidator:
    """Read JSON's text; leave what is a Python value of the kind already."""
    whole = re.compile(pattern)

    def check(value: Any) -> Any:
        if isinstance(value, str):
            try:
                if whole.fullmatch(value):
                    return read(value)
            except ValueError:
                pass
        elif not isinstance(value, (bool, int, float)):
            return value
        raise ValueError(f"{value!r} is not {advice}")

    return BeforeValidator(check)


def _matches(pattern: str, name: str) -> AfterValidator:
    whole = re.compile(pattern)

    def check(value: str) -> str:
        if not whole.fullmatch(value):
            raise ValueError(f"{value!r} is not {name}")
        return value

    return AfterValidator(check)


def _with_offset(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("has no time zone; give it one, UTC if in doubt")
    return value


def _plain(value: Decimal) -> str:
    text = format(value, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def _within(value: Decimal) -> Decimal:
    if not re.fullmatch(_DECIMAL, _plain(value)):
        raise ValueError(f"{value} is no finite number of 29 digits before and 9 after the point")
    return value


def _zero(value: Decimal) -> Decimal:
    if value:
        raise ValueError(f"{_plain(value)} is not 0")
    return value


_AS_DECIMAL = _notation(
    _DECIMAL, Decimal, 'a decimal as text, such as "1200.50": at most 29 digits before and 9 after the point'
)
_AS_TEXT = PlainSerializer(_plain, return_type=str)

Text = str
Flag = bool

Count = Annotated[int, Field(ge=1, le=2**31 - 1)]
"""1, 2, 3, ... as far as a table's integer goes."""

Sha256 = Annotated[
    str,
    _matches(_SHA256, "a SHA-256: 64 hexadecimal digits, small letters"),
    WithJsonSchema({"type": "string", "pattern": f"^{_SHA256}$", FORMAT_NAME: "a SHA-256"}),
]

EntityKey = Annotated[
    str,
    _matches(_ENTITY_KEY, "source, object and id, with slashes between"),
    WithJsonSchema({"type": "string", "pattern": f"^{_ENTITY_KEY}$", FORMAT_NAME: "source, object and id"}),
]

Amount = Annotated[
    Decimal,
    _AS_DECIMAL,
    AfterValidator(_within),
    _AS_TEXT,
    WithJsonSchema({"type": "string", "format": DECIMAL, "pattern": decimal_form(None, None)}),
]
"""Money, a quantity, a rate."""

Nothing = Annotated[
    Decimal,
    _AS_DECIMAL,
    AfterValidator(_zero),
    _AS_TEXT,
    WithJsonSchema(
        {"type": "string", "format": DECIMAL, "pattern": decimal_form("0", "0"), MINIMUM: "0", MAXIMUM: "0"}
    ),
]
"""An amount of zero."""

Day = Annotated[
    date,
    _notation(_DAY, date.fromisoformat, "a day, such as 2026-03-02"),
    WithJsonSchema({"type": "string", "format": "date", "pattern": f"^{_DAY}$"}),
]

Instant = Annotated[
    datetime,
    _notation(_INSTANT, datetime.fromisoformat, "an instant with its offset, such as 2026-03-02T09:00:00Z"),
    AfterValidator(_with_offset),
    WithJsonSchema({"type": "string", "format": "date-time", "pattern": f"^{_INSTANT}$"}),
]
