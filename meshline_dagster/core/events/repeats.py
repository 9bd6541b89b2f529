"""What an event is to somebody who has seen events before: new, or one of three kinds of repetition."""

from enum import StrEnum
from typing import Any

from meshline_dagster.core.events.event import Event

__all__ = ["LABELS", "Repeat", "repeat_of"]

LABELS = frozenset({"type", "position", "contract_version"})
"""What may change while the event stays the same: an earlier version surfaces late, or the contract gets a new version."""

_IDENTITY = ("source", "entity_key", "document_kind", "time", "digest")


class Repeat(StrEnum):
    """How an event relates to those seen before it.

    ``NEW``: its id was not seen. ``DUPLICATE``: seen, and the same but for labels; there is nothing to do. ``RESTATED``: seen, and what is
    enriched or mapped differs; what was done stands, and whether it is amended is a decision of people. ``CONFLICT``: seen, and the id is
    not that of this content; somebody makes ids of his own, and neither may be acted on.
    """

    NEW = "new"
    DUPLICATE = "duplicate"
    RESTATED = "restated"
    CONFLICT = "conflict"


def repeat_of(event: Event, seen: Event | None) -> Repeat:
    """Compare an event with the one that was seen under its id. Amounts and instants count by what they mean, not how they are written."""
    if seen is None:
        return Repeat.NEW
    if any(getattr(event, name) != getattr(seen, name) for name in _IDENTITY):
        return Repeat.CONFLICT
    return Repeat.DUPLICATE if _content(event) == _content(seen) else Repeat.RESTATED


def _content(event: Event) -> dict[str, Any]:
    """Without labels, and without what is null: a version that has a field more says nothing else by it."""
    return {name: value for name, value in event if name not in LABELS and value is not None}
