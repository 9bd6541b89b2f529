"""Pointers into answers, and texts with names in braces: what a configuration says instead of code."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from string import Formatter
from typing import Any, Final
from urllib.parse import quote

from meshline_dagster.core.errors import ConfigError

__all__ = ["MISSING", "Escape", "Pointer", "Template", "escape", "pointer", "template"]

Pointer = Callable[[Any], Any]
"""Finds one value in decoded JSON, or :data:`MISSING`."""


class _Missing:
    """What a pointer gives where there is nothing; JSON's null is something."""

    def __bool__(self) -> bool:
        return False


MISSING: Final = _Missing()

Template = Callable[[Mapping[str, str]], str]
"""Fills the names of a text in."""

Escape = Callable[[str], str]

_PLAIN = re.compile(r"[A-Za-z0-9_.:-]+")


def pointer(text: str) -> Pointer:
    """A JSON pointer (RFC 6901), e.g. ``/data/items/0/@odata.etag``; the empty text is the whole answer.

    Raises:
        ValueError: it is none.
    """
    if text and not text.startswith("/"):
        raise ValueError(f"{text!r} is no JSON pointer: write it from the top with slashes, e.g. /data/{text}")
    steps = [step.replace("~1", "/").replace("~0", "~") for step in text.split("/")[1:]]

    def find(value: Any) -> Any:
        for step in steps:
            if isinstance(value, dict):
                value = value.get(step, MISSING)
            elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
                value = value[int(step)]
            else:
                return MISSING
        return value

    return find


def template(text: str, names: Iterable[str], *, is_path: bool = False) -> Template:
    """A text with ``{name}`` in it. Doubled braces stand for themselves.

    Args:
        names: what may stand in braces here.
        is_path: what is filled in is one part of a path: slashes, spaces and the like are percent-encoded.

    Raises:
        ValueError: another name, or more than a name, stands in braces.
    """
    known = sorted(names)
    parts: list[tuple[str, str | None]] = []
    for literal, name, form, conversion in Formatter().parse(text):
        if name is not None and (name not in known or form or conversion):
            listed = ", ".join("{" + one + "}" for one in known) or "nothing"
            raise ValueError(f"{text!r} has {{{name}}} in it; what can be filled in here is {listed}")
        parts.append((literal, name))

    if all(name is None for _, name in parts):
        fixed = "".join(literal for literal, _ in parts)
        return lambda _: fixed

    def fill(values: Mapping[str, str]) -> str:
        return "".join(
            literal if name is None else literal + (quote(values[name], safe="") if is_path else values[name])
            for literal, name in parts
        )

    return fill


def escape(how: str) -> Escape:
    """How an external id is written inside a filter; it may come from a party's code, which anybody has typed."""
    return {"json": _in_json, "doubled_quotes": lambda text: text.replace("'", "''"), "plain": _plain}[how]


def _in_json(text: str) -> str:
    return json.dumps(text)[1:-1]


def _plain(text: str) -> str:
    if not _PLAIN.fullmatch(text):
        raise ConfigError(
            f"the external id {text!r} cannot be written into this ERP's filter as it is: set find.escape to json or "
            "doubled_quotes, as the ERP's filters want it"
        )
    return text
