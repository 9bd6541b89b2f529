"""Restatements: what is posted is frozen, so a different derivation of it today becomes one amendment, when somebody approves it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from meshline_dagster.core.identity import canonical_texts, sha256_hex

__all__ = ["amendment_id", "difference_text", "differences"]

_ABSENT = "(absent)"


def amendment_id(event_id: str, fingerprint: str) -> str:
    """The event id of the amendment that replaces what stands in the ERP by other content: the same two give the same id.

    Args:
        event_id: what stands there: the posted event, or the amendment that restated it before.
    """
    return sha256_hex(canonical_texts(["restatement", event_id, fingerprint]))


def differences(posted: Mapping[str, Any], derived: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """``(field, posted, derived today)`` for each field that differs; lines by their number, e.g. ``lines[2].quantity``."""
    return list(_compare("", posted, derived))


def difference_text(posted: Mapping[str, Any], derived: Mapping[str, Any]) -> str:
    """The same as text, one field a line."""
    return "\n".join(f"{name}: {before} -> {after}" for name, before, after in differences(posted, derived))


def _compare(path: str, before: Any, after: Any) -> Iterator[tuple[str, str, str]]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in dict.fromkeys([*before, *after]):
            yield from _compare(f"{path}.{name}" if path else name, before.get(name, _ABSENT), after.get(name, _ABSENT))
    elif _is_list(before) and _is_list(after):
        numbered, today = _numbered(before), _numbered(after)
        for number in dict.fromkeys([*numbered, *today]):
            yield from _compare(f"{path}[{number}]", numbered.get(number, _ABSENT), today.get(number, _ABSENT))
    elif before != after:
        yield path, _text(before), _text(after)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _numbered(items: Sequence[Any]) -> dict[str, Any]:
    """By their own line number where they have one, else by their place from 1."""
    return {
        str(item.get("line", place)) if isinstance(item, Mapping) else str(place): item
        for place, item in enumerate(items, 1)
    }


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_text(one)}" for name, one in value.items() if one is not None)
    return "(none)" if value is None else str(value)
