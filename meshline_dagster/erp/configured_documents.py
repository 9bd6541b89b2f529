"""Documents as a configured ERP shows them, read by JSON pointers. Numbers are read digit by digit, days and instants as configured."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

from meshline_dagster.core.documents import DocumentKind, ErpDocument, ErpLine
from meshline_dagster.core.errors import SourceError
from meshline_dagster.erp.configured_model import Formats, Shown, ShownLines, Status
from meshline_dagster.erp.configured_text import MISSING, pointer

__all__ = ["Reader", "as_text", "compile_shown", "decode", "stamp_reader", "stamp_writer"]

Reader = Callable[[Any], ErpDocument]
"""Reads one document. Raises ``SourceError`` with the place that is not as configured."""

_Read = Callable[[Any], Any]
_ISO_DAY = "%Y-%m-%d"
_TEXTS = ("number", "event_id", "customer", "currency", "order", "invoice")


def decode(content: bytes) -> Any:
    """An answer's JSON with every fraction as a Decimal; None when it is none, as from a proxy in between."""
    try:
        return json.loads(content, parse_float=Decimal, parse_constant=_no_number)
    except ValueError:
        return None


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no number")


def as_text(value: Any) -> str | None:
    """A JSON scalar as text; None for null, nothing, and what is no scalar."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, (str, int, Decimal)) else None


def compile_shown(kind: DocumentKind, shown: Shown, formats: Formats) -> Reader:
    """What reads documents of one kind."""
    where = f"documents.{kind.value}.shown"
    names = [name for name in ("id", "external_id", *_TEXTS) if getattr(shown, name) is not None]
    texts = {name: _at(getattr(shown, name), f"{where}.{name}", _text) for name in names}
    stamp = _at(shown.stamp, f"{where}.stamp", stamp_reader(formats))
    amount = _at(shown.amount, f"{where}.amount", _decimal) if shown.amount is not None else None
    days = {
        name: _at(place, f"{where}.{name}", _day_reader(formats))
        for name in ("document_date", "order_date")
        if (place := getattr(shown, name)) is not None
    }
    po_number = None if shown.po_number is None else pointer(shown.po_number)
    status = _status(shown.status, f"{where}.status") if shown.status else None
    lines = _lines(shown.lines, f"{where}.lines") if shown.lines else None

    def read(row: Any) -> ErpDocument:
        found = {name: take(row) for name, take in texts.items()}
        erp_id, external_id = found["id"], found["external_id"] or ""
        if not erp_id:
            raise SourceError(f"the ERP shows a {kind.value} without an id; correct {where}.id")
        return ErpDocument(
            kind=kind,
            erp_id=erp_id,
            external_id=external_id,
            number=found.get("number") or erp_id,
            status="open" if status is None else status(row),
            stamp=_there(stamp(row), f"{where}.stamp"),
            event_id=found.get("event_id") or None,
            customer=found.get("customer"),
            currency=found.get("currency"),
            amount=Decimal(0) if amount is None else _there(amount(row), f"{where}.amount"),
            document_date=days["document_date"](row) if "document_date" in days else None,
            po_number=None if po_number is None else _number(po_number(row)),
            order_date=days["order_date"](row) if "order_date" in days else None,
            lines=() if lines is None else lines(row),
            reverses=found.get("invoice") if kind is not DocumentKind.PAYMENT else None,
            pays=found.get("invoice") if kind is DocumentKind.PAYMENT else None,
            order=found.get("order"),
            raw=row if isinstance(row, dict) else {},
        )

    return read


def stamp_reader(formats: Formats) -> _Read:
    """Reads an instant as UTC."""
    zone = ZoneInfo(formats.time_zone)

    def read(value: Any) -> datetime:
        found = datetime.fromisoformat(value) if formats.stamp == "iso" else datetime.strptime(value, formats.stamp)  # noqa: DTZ007 - the next line
        return (found if found.tzinfo else found.replace(tzinfo=zone)).astimezone(UTC)

    return read


def stamp_writer(formats: Formats) -> Callable[[datetime], str]:
    """Writes an instant for the ERP's filter; what the format has no room for is cut, so that it never becomes later."""
    zone = ZoneInfo(formats.time_zone)
    if formats.stamp == "iso":
        return lambda moment: moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return lambda moment: moment.astimezone(zone).strftime(formats.stamp)


def _at(place: str, where: str, read: _Read) -> _Read:
    find = pointer(place)

    def take(row: Any) -> Any:
        value = find(row)
        if value is MISSING or value is None:
            return None
        try:
            return read(value)
        except (TypeError, ValueError, InvalidOperation) as error:
            raise SourceError(
                f"the ERP shows {value!r} at {place or 'the top'}, which {where} cannot read: {error}"
            ) from error

    return take


def _number(value: Any) -> str | None:
    """The customer's number: none that is shown is an empty text."""
    return None if value is MISSING else as_text(value) or ""


def _there(value: Any, where: str) -> Any:
    if value is None:
        raise SourceError(f"the ERP shows nothing at the place that {where} names; correct it")
    return value


def _text(value: Any) -> str:
    text = as_text(value)
    if text is None:
        raise TypeError("it is no text")
    return text


def _decimal(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, (str, int, Decimal)):
        raise TypeError("it is no number")
    number = Decimal(value)
    if not number.is_finite():
        raise ValueError("it is no number")
    return number


def _day_reader(formats: Formats) -> _Read:
    if formats.date == _ISO_DAY:
        return lambda value: date.fromisoformat(value[:10])
    return lambda value: datetime.strptime(value, formats.date).date()  # noqa: DTZ007 - a business date has no zone


def _status(status: Status, where: str) -> Callable[[Any], str]:
    find = pointer(status.at)

    def read(row: Any) -> str:
        value = as_text(find(row))
        if value not in status.map:
            raise SourceError(f"the ERP shows the status {value!r}, which {where}.map does not list; add it there")
        return status.map[value]

    return read


def _lines(lines: ShownLines, where: str) -> Callable[[Any], tuple[ErpLine, ...]]:
    find = pointer(lines.at)
    sku = _at(lines.sku, f"{where}.sku", _text)
    numbers = {
        name: _at(getattr(lines, name), f"{where}.{name}", _decimal) for name in ("quantity", "unit_price", "amount")
    }

    def line(row: Any) -> ErpLine:
        found: Mapping[str, Decimal] = {name: _there(take(row), f"{where}.{name}") for name, take in numbers.items()}
        return ErpLine(sku=_there(sku(row), f"{where}.sku"), **found)

    def read(row: Any) -> tuple[ErpLine, ...]:
        rows = find(row)
        if not isinstance(rows, list):
            raise SourceError(
                f"the ERP shows no list at {lines.at}; correct {where}.at, or declare `detail` if only that shows lines"
            )
        return tuple(line(one) for one in rows)

    return read
