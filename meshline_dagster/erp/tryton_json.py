"""Tryton's JSON: decimals and dates are tagged objects, so that nothing passes through a float.

Source: ``trytond/protocols/jsonrpc.py`` of Tryton 8.2.
"""

import json
from datetime import date, datetime
from decimal import Decimal
from typing import Any

__all__ = ["decode", "encode"]

_DATE = ("year", "month", "day")
_TIME = ("hour", "minute", "second", "microsecond")


def encode(value: Any) -> bytes:
    """The body of a request."""
    return json.dumps(value, default=_tagged, ensure_ascii=False).encode()


def decode(body: bytes) -> Any:
    """The content of an answer; plain numbers with a fraction become decimals as they are written.

    Raises:
        ValueError: this is no JSON.
    """
    return json.loads(body, object_hook=_untagged, parse_float=Decimal)


def _tagged(value: Any) -> Any:
    if isinstance(value, Decimal):
        return {"__class__": "Decimal", "decimal": str(value)}
    if isinstance(value, datetime):
        return {"__class__": "datetime", **{name: getattr(value, name) for name in (*_DATE, *_TIME)}}
    if isinstance(value, date):
        return {"__class__": "date", **{name: getattr(value, name) for name in _DATE}}
    raise TypeError(f"Tryton's JSON has no form for a {type(value).__name__}")


def _untagged(found: dict[str, Any]) -> Any:
    kind = found.get("__class__")
    if kind == "Decimal":
        return Decimal(found["decimal"])
    if kind == "date":
        return date(*(found[name] for name in _DATE))
    if kind == "datetime":
        return datetime(*(found[name] for name in (*_DATE, *_TIME)))  # noqa: DTZ001 - Tryton's are naive UTC
    return found
