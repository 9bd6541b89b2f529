"""What a pause holds back, and the calendar of close freezes. Pure: the caller passes the clock's time in."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from meshline_dagster.core.documents import MASTER_KINDS, DocumentKind

__all__ = ["CALENDAR", "Freeze", "Pausable", "Pause", "Scope", "frozen", "held_back"]

CALENDAR = "the close calendar"
"""Who pauses when a freeze of the calendar does."""


class Pausable(Protocol):
    """A posting, as far as pauses look at it."""

    @property
    def destination(self) -> str:
        """Where it goes."""
        ...

    @property
    def document_kind(self) -> DocumentKind:
        """What it is."""
        ...

    @property
    def selling_entity(self) -> str | None:
        """Our company that sells; a master has none."""
        ...

    @property
    def customer_key(self) -> str | None:
        """The entity of the customer that it is, or that it is for; an item has none."""
        ...


@dataclass(frozen=True, slots=True)
class Scope:
    """What a pause is about: what fits every part that is given. No part at all is everything.

    A document whose selling entity or customer the ledger does not know is held by every pause of one: waiting is safe, posting is not.

    Attributes:
        customer: the customer's id in the CRM, or its entity key.
    """

    destination: str | None = None
    selling_entity: str | None = None
    customer: str | None = None

    @property
    def is_whole(self) -> bool:
        """Whether it holds everything that goes to its destination."""
        return self.selling_entity is None and self.customer is None

    def holds(self, row: Pausable) -> bool:
        """Whether this posting waits."""
        if self.destination not in {None, row.destination}:
            return False
        master = row.document_kind in MASTER_KINDS
        if self.selling_entity is not None:
            if master:
                return False
            if row.selling_entity not in {None, self.selling_entity}:
                return False
        if self.customer is None:
            return True
        key = row.customer_key
        if key is None:
            return not master
        return key == self.customer or key.endswith(f"/{self.customer}")

    def __str__(self) -> str:
        """In words, the same for the same scope."""
        parts = [self.destination or "all"]
        if self.selling_entity is not None:
            parts.append(f"selling entity {self.selling_entity}")
        if self.customer is not None:
            parts.append(f"customer {self.customer}")
        return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause in force: by whom, why, since when (UTC); ``until`` when, if that is known."""

    scope: Scope
    actor: str
    reason: str
    created_at: datetime
    until: datetime | None = None

    def __str__(self) -> str:
        """One line for whoever meets it."""
        end = f" until {self.until:%Y-%m-%d %H:%M} UTC" if self.until else ""
        why = f" ({self.reason})" if self.reason else ""
        return f"posting to {self.scope} is paused by {self.actor} since {self.created_at:%Y-%m-%d %H:%M} UTC{end}{why}"


@dataclass(frozen=True, slots=True)
class Freeze:
    """A time in which nothing is posted, e.g. a month's close: from ``start`` until before ``end`` (UTC).

    Attributes:
        selling_entity: only what this company of ours sells; None: everything.
    """

    start: datetime
    end: datetime
    selling_entity: str | None = None
    reason: str = ""

    def as_pause(self, destination: str) -> Pause:
        """The pause that it is while it lasts."""
        return Pause(Scope(destination, self.selling_entity), CALENDAR, self.reason, self.start, self.end)


def frozen(freezes: Iterable[Freeze], destination: str, now: datetime) -> list[Pause]:
    """The pauses that the calendar asks for now."""
    return [one.as_pause(destination) for one in freezes if one.start <= now < one.end]


def held_back(pauses: Iterable[Pause], row: Pausable) -> Pause | None:
    """The first pause that holds a posting; None when it may be sent."""
    return next((pause for pause in pauses if pause.scope.holds(row)), None)
