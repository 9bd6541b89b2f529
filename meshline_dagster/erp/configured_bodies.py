"""Bodies of requests: a tree of JSON in which some values are taken from the document that is posted.

``{from: customer}`` takes a field, ``{each: lines, value: ...}`` makes a list, everything else is sent as it stands. Numbers go out digit
by digit as the payload has them; no float ever touches them.
"""

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from meshline_dagster.core.documents import DocumentKind
from meshline_dagster.core.money import exponent

__all__ = ["HEADER_FIELDS", "LINE_FIELDS", "REFERENCES", "BodyError", "Builder", "compile_body", "erp_id_name", "keyed"]

_COMMON = ("external_id", "event_id", "company", "id", "revision")
_ORDER = ("order_number", "customer", "customer_name", "currency", "po_number", "payment_terms", "status", "amount")
_PLACE = ("street", "city", "region", "postal_code", "country")
_BILLED = ("order", "order_event_id", "invoice_date", "original_date")
HEADER_FIELDS: Mapping[DocumentKind, frozenset[str]] = {
    DocumentKind.CUSTOMER: frozenset((*_COMMON, "code", "name", "country", "currency")),
    DocumentKind.ADDRESS: frozenset((*_COMMON, "code", "customer", "name", "use", *_PLACE)),
    DocumentKind.ITEM: frozenset((*_COMMON, "sku", "name", "uom", "list_price", "currency")),
    DocumentKind.SALES_ORDER: frozenset((*_COMMON, *_ORDER, "order_date", "bill_to", "ship_to")),
    DocumentKind.INVOICE: frozenset((*_COMMON, *_ORDER, *_BILLED)),
    DocumentKind.CREDIT_NOTE: frozenset((*_COMMON, *_ORDER, *_BILLED, "invoice")),
    DocumentKind.PAYMENT: frozenset(
        (*_COMMON, "customer", "currency", "amount", "payment_date", "reference", "invoice")
    ),
}
"""What a body can take from a document of each kind."""

_LINE = ("line", "sku", "description", "quantity", "uom", "unit_price", "amount", "tax_code", "start", "end")
LINE_FIELDS: Mapping[DocumentKind, frozenset[str]] = {
    DocumentKind.SALES_ORDER: frozenset(_LINE),
    DocumentKind.INVOICE: frozenset(_LINE),
    DocumentKind.CREDIT_NOTE: frozenset((*_LINE, "invoice_line")),
}
"""What a line's value can take besides; these names come before the header's."""

REFERENCES = {
    "customer": DocumentKind.CUSTOMER,
    "bill_to": DocumentKind.ADDRESS,
    "ship_to": DocumentKind.ADDRESS,
    "order": DocumentKind.SALES_ORDER,
    "invoice": DocumentKind.INVOICE,
}
"""Fields that name another document by its external id."""

Builder = Callable[[Mapping[str, Any]], Any]
"""Makes one value from the fields of a document."""

_OMITTED = object()
_ISO_DAY = "%Y-%m-%d"
_NUMBERS = ("number", "integer", "minor_units")


def keyed(value: Any) -> Any:
    """A mapping's keys as texts: YAML reads ``1:`` as a number and ``true:`` as a truth."""
    return {_key(key): one for key, one in value.items()} if isinstance(value, dict) else value


def _key(key: Any) -> str:
    return str(key).lower() if isinstance(key, bool) else str(key)


class _Taken(BaseModel):
    """``{from: ...}``: a field of the document.

    Attributes:
        form: how it is written: ``text`` as the payload has it; ``number`` as a JSON number of the same digits; ``integer``, a number
            without a fraction; ``minor_units``, cents for a currency with two places; ``date``; ``erp_id``, the ERP's own id of the
            document that the field names.
        map: what to send for each value; one that is not listed is refused.
        default: what to send when the document has nothing here.
        omit_if_missing: leave the member out then, instead of sending null.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    source: str = Field(alias="from")
    form: Literal["text", "number", "integer", "minor_units", "date", "erp_id"] = Field("text", alias="as")
    map: Annotated[dict[str, str | int | bool | None] | None, BeforeValidator(keyed)] = None
    default: str | int | bool | None = None
    omit_if_missing: bool = False
    format: str | None = None
    prefix: str = ""
    suffix: str = ""


class BodyError(ValueError):
    """A document has something that its body cannot say.

    Args:
        field: the field of the document.
        absent: the external id that it refers to, and that a look-up did not show.
    """

    def __init__(self, message: str, field: str, *, absent: str | None = None) -> None:
        super().__init__(message)
        self.field, self.absent = field, absent


def erp_id_name(field: str) -> str:
    """Under which name the ERP's id of a referenced document is looked for."""
    return f"{field} in the ERP"


def compile_body(
    tree: Any, kind: DocumentKind, *, date_format: str, where: str, wanted: set[str], in_line: bool = False
) -> Builder:
    """Check a body's tree and make what builds it.

    Args:
        where: the tree's place in the configuration, for messages.
        wanted: gets the names of the references whose ERP ids it needs.

    Raises:
        ValueError: the place, what is wrong, and what is allowed.
    """
    options: dict[str, Any] = {"date_format": date_format, "wanted": wanted, "in_line": in_line}
    if isinstance(tree, dict):
        if isinstance(tree.get("from"), str):
            return _field(tree, kind, where=where, **options)
        if "each" in tree:
            return _lines(tree, kind, where=where, **options)
        members = {str(key): compile_body(one, kind, where=f"{where}.{key}", **options) for key, one in tree.items()}
        return lambda values: {key: value for key, build in members.items() if (value := build(values)) is not _OMITTED}
    if isinstance(tree, list):
        items = [compile_body(one, kind, where=f"{where}[{place}]", **options) for place, one in enumerate(tree)]
        return lambda values: [value for build in items if (value := build(values)) is not _OMITTED]
    if isinstance(tree, float):
        raise ValueError(f"{where}: {tree} is a binary float; write it in quotes, or as a whole number")  # noqa: TRY004 - a wrong value for pydantic
    if isinstance(tree, date):
        raise ValueError(f"{where}: {tree} is read as a date; write it in quotes")  # noqa: TRY004 - as above
    return lambda _: tree


def _lines(
    tree: Mapping[str, Any], kind: DocumentKind, *, date_format: str, where: str, wanted: set[str], in_line: bool
) -> Builder:
    if in_line or kind not in LINE_FIELDS or tree["each"] != "lines" or set(tree) != {"each", "value"}:
        raise ValueError(
            f"{where}: a list for the document's lines is written {{each: lines, value: ...}}, once in a body"
        )
    build = compile_body(
        tree["value"], kind, date_format=date_format, where=f"{where}.value", wanted=wanted, in_line=True
    )
    return lambda values: [build({**values, **line}) for line in values["lines"]]


def _field(
    tree: Mapping[str, Any], kind: DocumentKind, *, date_format: str, where: str, wanted: set[str], in_line: bool
) -> Builder:
    try:
        taken = _Taken.model_validate(tree)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{where}.{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    _check(taken, HEADER_FIELDS[kind] | (LINE_FIELDS[kind] if in_line else frozenset()), where)
    name = taken.source
    if taken.form == "erp_id":
        wanted.add(name)
        name = erp_id_name(name)
    missing = _OMITTED if taken.omit_if_missing else taken.default
    convert = _mapped(taken, where) if taken.map is not None else _converter(taken, taken.format or date_format)

    def build(values: Mapping[str, Any]) -> Any:
        if taken.source not in values:  # it is not ours to say
            return _OMITTED
        value = values.get(name)
        return missing if value is None else convert(value, values)

    return build


def _check(taken: _Taken, known: AbstractSet[str], where: str) -> None:
    if taken.source not in known:
        raise ValueError(f"{where}.from: there is no field {taken.source!r} here; there are {', '.join(sorted(known))}")
    if taken.form == "erp_id" and taken.source not in REFERENCES:
        raise ValueError(
            f"{where}.as: only {', '.join(REFERENCES)} name a document that has an id of its own in the ERP"
        )
    if taken.map is not None and taken.form != "text":
        raise ValueError(f"{where}: map says what to send, so that there is no `as` beside it")
    if taken.format is not None and taken.form != "date":
        raise ValueError(f"{where}.format: only {{as: date}} has one")
    if (taken.prefix or taken.suffix) and taken.form in _NUMBERS:
        raise ValueError(f"{where}: a number has neither prefix nor suffix")
    if taken.omit_if_missing and taken.default is not None:
        raise ValueError(f"{where}: default and omit_if_missing exclude each other")


def _mapped(taken: _Taken, where: str) -> Callable[[Any, Mapping[str, Any]], Any]:
    table = taken.map or {}

    def convert(value: Any, _: Mapping[str, Any]) -> Any:
        if str(value) not in table:
            raise BodyError(f"{taken.source} is {value!r}, which {where}.map does not list: add it there", taken.source)
        return table[str(value)]

    return convert


def _converter(taken: _Taken, date_format: str) -> Callable[[Any, Mapping[str, Any]], Any]:
    name, prefix, suffix = taken.source, taken.prefix, taken.suffix
    if taken.form == "date" and date_format != _ISO_DAY:
        return lambda value, _: f"{prefix}{date.fromisoformat(value).strftime(date_format)}{suffix}"
    if taken.form == "number":
        return lambda value, _: _number(_decimal(name, value))
    if taken.form == "integer":
        return lambda value, _: _whole(name, _decimal(name, value))
    if taken.form == "minor_units":
        return lambda value, values: _whole(name, _decimal(name, value).scaleb(exponent(values["currency"])))
    if prefix or suffix:
        return lambda value, _: f"{prefix}{value}{suffix}"
    return lambda value, _: value


def _decimal(name: str, value: Any) -> Decimal:
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        number = Decimal("nan")
    if not number.is_finite():
        raise BodyError(f"{name} is {value!r}, which is no number", name)
    return number


def _number(number: Decimal) -> orjson.Fragment:
    return orjson.Fragment(format(number, "f"))


def _whole(name: str, number: Decimal) -> orjson.Fragment:
    if number != number.to_integral_value():
        raise BodyError(f"{name} is {number}, and this ERP takes whole numbers only", name)
    return _number(number.to_integral_value())
