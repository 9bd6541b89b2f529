"""Changing a sale in progress: what an amendment has to say so that the sale becomes what was meant.

A sale in progress has invoices and shipments, so its lines are never removed: they are changed, emptied (quantity zero) or added
(the module ``extref``). Tryton then makes the missing invoices, or the credit notes.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from meshline_dagster.erp.tryton_values import WantedLine, WantedSale

__all__ = ["amendment_lines", "emptying_lines"]

_ADDRESSES = {"invoice_address": "invoice_party", "shipment_address": "shipment_party"}
"""And whose each is, where that is somebody else than the customer."""

_Row = Mapping[str, Any]


def amendment_lines(row: _Row, wanted: WantedSale) -> list[dict[str, Any]]:
    """The lines of the amendment that turns the sale ``row`` into ``wanted``; empty when nothing differs."""
    return [*_header_changes(row, wanted), *_line_changes(_lines_of(row), wanted.lines)]


def emptying_lines(row: _Row) -> list[dict[str, Any]]:
    """The lines of the amendment that leaves nothing to deliver or to invoice."""
    return _line_changes(_lines_of(row), ())


def _lines_of(row: _Row) -> list[_Row]:
    return [line for line in row["lines."] or [] if line["type"] == "line"]


def _header_changes(row: _Row, wanted: WantedSale) -> list[dict[str, Any]]:
    changes: list[dict[str, Any]] = []
    party = wanted.header["party"]
    if row["party."]["id"] != party:
        addresses = {name: wanted.header[name] for name in _ADDRESSES}
        changes.append({"action": "party", "party": party, **addresses})
    elif any(row[name] != wanted.header[name] for name in _named_of(row, wanted)):
        kept = {name: row[name] for name in (*_ADDRESSES.values(), *_ADDRESSES)}
        named = {name: wanted.header[name] for name in _named_of(row, wanted)}
        changes.append({"action": "party", "party": party, **kept, **named})
    term = wanted.header.get("payment_term")
    if term is not None and row["payment_term"] != term:
        changes.append({"action": "payment_term", "payment_term": term})
    return changes


def _named_of(row: _Row, wanted: WantedSale) -> list[str]:
    """The addresses that the order names; not where somebody in Tryton has the invoices or the goods go to another party."""
    return [name for name in wanted.named_addresses if row[_ADDRESSES[name]] in {None, wanted.header["party"]}]


def _line_changes(have: Sequence[_Row], wanted: Sequence[WantedLine]) -> list[dict[str, Any]]:
    """Pair what is there with what is meant: the same, then the same item, then emptied lines of it; add what is left."""
    free = sorted(have, key=lambda line: not line["quantity"])
    left: list[WantedLine] = []
    for line in wanted:
        same = next((one for one in free if _is_same(one, line)), None)
        if same is None:
            left.append(line)
        else:
            free.remove(same)
    changes: list[dict[str, Any]] = []
    for line in left:
        alike = next((one for one in free if _is_alike(one, line)), None)
        if alike is None:
            changes.append(_added(line))
        else:
            free.remove(alike)
            text = alike["description"] if "description" in line.not_ours else line.description
            changes.append(_changed(alike, line.quantity, line.unit_price, text))
    changes += [_changed(one, Decimal(0), one["unit_price"], None) for one in free if one["quantity"]]
    return changes


def _is_alike(have: _Row, line: WantedLine) -> bool:
    """An amendment cannot change a line's taxes."""
    item = (have["product."] or {}).get("id")
    taxed_alike = "tax_code" in line.not_ours or set(have["taxes"]) == set(line.taxes)
    return item == line.product and have["unit"] == line.unit and taxed_alike


def _is_same(have: _Row, line: WantedLine) -> bool:
    return _is_alike(have, line) and have["quantity"] == line.quantity and have["unit_price"] == line.unit_price


def _changed(have: _Row, quantity: Decimal, unit_price: Decimal, description: str | None) -> dict[str, Any]:
    return {
        "action": "line",
        "line": have["id"],
        "product": (have["product."] or {}).get("id"),
        "unit": have["unit"],
        "quantity": float(quantity),
        "unit_price": unit_price,
        "description": description,
    }


def _added(line: WantedLine) -> dict[str, Any]:
    return {
        "action": "add",
        "product": line.product,
        "unit": line.unit,
        "quantity": float(line.quantity),
        "unit_price": line.unit_price,
        "description": line.description,
        "tax": line.taxes[0] if len(line.taxes) == 1 else None,
    }
