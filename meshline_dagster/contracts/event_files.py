"""Events in a file: one JSON object, a list of them, or one a line."""

import json
from collections.abc import Iterator
from typing import Any

from meshline_dagster.core.errors import ContractError

__all__ = ["documents"]


def documents(text: str) -> Iterator[tuple[str, Any]]:
    """Each event with the place where it stands: ``line 3``, or ``event 3`` of a list.

    Raises:
        ContractError: a line is no JSON.
    """
    try:
        whole = json.loads(text)
    except ValueError:
        yield from _lines(text)
        return
    some = whole if isinstance(whole, list) else [whole]
    yield from ((f"event {number}", one) for number, one in enumerate(some, 1))


def _lines(text: str) -> Iterator[tuple[str, Any]]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            yield f"line {number}", json.loads(line)
        except ValueError as error:
            raise ContractError(
                f"line {number} is no JSON ({error}): write one event a line, or one list of all events"
            ) from error
