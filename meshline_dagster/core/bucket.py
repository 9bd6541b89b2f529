"""A token bucket as one instant: when it will have been paid for all that was taken. Pure: the caller keeps the instant.

A full bucket holds ``burst`` tokens and fills by ``rate`` a second. Taking ``n`` moves the instant by ``n / rate``; it never lies further
back than ``burst / rate``, which is the bucket being full (the generic cell rate algorithm, ITU-T I.371).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

__all__ = ["Taken", "take"]

_GRAIN = 1e-6
"""Seconds: instants are kept in whole microseconds, so that a full bucket may look that much short of its last token."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What one call got.

    Attributes:
        tokens: how many; 0: none is there.
        wait: seconds until there is one, where none was.
        paid_at: the instant to keep.
    """

    tokens: int
    wait: float
    paid_at: datetime


def take(paid_at: datetime | None, *, wanted: int, rate: float, burst: int, now: datetime) -> Taken:
    """Take up to ``wanted`` tokens from a bucket; None is a full one."""
    full = now - timedelta(seconds=burst / rate)
    since = full if paid_at is None else max(paid_at, full)
    there = int(((now - since).total_seconds() + _GRAIN) * rate)
    tokens = min(wanted, max(there, 0))
    if tokens == 0:
        return Taken(0, (since - now).total_seconds() + 1 / rate, since)
    return Taken(tokens, 0.0, since + timedelta(seconds=tokens / rate))
