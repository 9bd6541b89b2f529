"""The people who lead projects: they plan the milestones of orders, say when one is reached, and drop some.

What they have decided they note for themselves, so that nobody has to ask the ops store what it should say.
"""

import asyncio
import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from meshline_dagster.core.errors import RefusedError
from meshline_dagster.core.invoice_milestones import Milestone
from meshline_dagster.store.engine import Store
from meshline_dagster.store.milestones import Author, drop_milestone, plan_milestone, reach_milestone
from meshline_dagster.testing.oracle.truth import Decided, EntityTruth, Share

__all__ = ["Decision", "Leaders", "Step", "draw_decisions"]

_SHARES = (
    ("100",),
    ("30", "70"),
    ("30", "70"),
    ("33.3333", "66.6667"),
    ("50", "25", "25"),
    ("12.5", "87.5"),
    ("30", "50"),
)
"""In per cent; of the last somebody forgets one."""

_NO_SHARE = Share(None, None)
_LATEST = 20
_DAYS = (-30, -1, 0, 0, 0, 0, 1, 1, 2, _LATEST)


class Step(StrEnum):
    """What somebody decides of a milestone."""

    PLAN = "plans"
    REACH = "has reached"
    DROP = "drops"


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision.

    Attributes:
        at: virtual seconds.
        order: its external id.
        on: the day from which a reached milestone is invoiced.
    """

    at: float
    order: str
    step: Step
    name: str
    share: Share = _NO_SHARE
    on: date | None = None

    def __str__(self) -> str:
        share = self.share
        what = "" if self.step is not Step.PLAN else f" at {share.percent or share.amount}{' %' * bool(share.percent)}"
        day = "" if self.on is None else f" on {self.on}"
        return f"at {self.at:.1f} s somebody {self.step} {self.name} of {self.order}{what}{day}"


def draw_decisions(
    rng: random.Random, until: float, orders: Iterable[EntityTruth], day: Callable[[float], date]
) -> tuple[Decision, ...]:
    """Most orders have milestones, and most of these are reached while faults last, or on a day that comes later.

    Args:
        day: that of a virtual second.
    """
    found: list[Decision] = []
    for order in orders:
        if rng.random() < 0.9:  # noqa: PLR2004 - of one in ten nobody thinks
            for number, share in enumerate(_shares(rng, order), start=1):
                found += _story(rng, until, (order.external_id, f"step {number}", share), day)
    return tuple(sorted(found, key=lambda one: one.at))


def _shares(rng: random.Random, order: EntityTruth) -> list[Share]:
    """Percentages, or amounts that are the newest state's in all."""
    newest = max(order.final, key=lambda one: one.position, default=None)
    if newest is not None and rng.random() < 0.25:  # noqa: PLR2004 - one in four
        first = (newest.content.amount * rng.randint(1, 9) / 10).quantize(Decimal("0.01"))
        return [Share(None, part) for part in (first, newest.content.amount - first) if part]
    return [Share(Decimal(text), None) for text in rng.choice(_SHARES)]


def _story(
    rng: random.Random, until: float, planned: tuple[str, str, Share], day: Callable[[float], date]
) -> Iterator[Decision]:
    order, name, share = planned
    at = rng.uniform(0, until * 0.5)
    yield Decision(at, order, Step.PLAN, name, share)
    for _ in range(rng.choice((0, 1, 1, 1, 1, 2))):
        reached = rng.uniform(at, until)
        on = day(reached) + timedelta(days=rng.choice(_DAYS))
        yield Decision(reached, order, Step.REACH, name, on=on)
    if rng.random() < 0.2:  # noqa: PLR2004 - one in five
        dropped = rng.uniform(at, until)
        yield Decision(dropped, order, Step.DROP, name)
        if rng.random() < 0.7:  # noqa: PLR2004 - mostly it was a mistake, or is to be another day
            yield Decision(rng.uniform(dropped, until), order, Step.PLAN, name, share)


class Leaders:
    """They decide at their times, each in a transaction of the store.

    Args:
        keys: entity keys by external id.

    Attributes:
        decided: the milestones that each order had, oldest first, by external id.
    """

    def __init__(
        self, store: Store, keys: dict[str, str], *, clock: Callable[[], datetime], tell: Callable[[str], None]
    ) -> None:
        self._store, self._keys, self._clock, self._tell = store, keys, clock, tell
        self._have: dict[str, dict[str, Share]] = {}
        self.decided: dict[str, list[Decided]] = {}

    async def decide_at(self, one: Decision) -> None:
        """Decide. What may not be decided is refused, and nothing else is."""
        await asyncio.sleep(one.at)
        have = self._have.setdefault(one.order, {})
        is_allowed, after = _after(one, have)
        refused = True
        with suppress(RefusedError):
            self._write(one)
            refused = False
        if refused == is_allowed:
            raise AssertionError(f"{one} was {'refused' if refused else 'taken'}, while there is {have}")
        self._tell(f"somebody {one.step} {one.name} of {one.order}{'' if is_allowed else ', and may not'}")
        self._have[one.order] = after
        self.decided.setdefault(one.order, []).append(Decided(one.at, tuple(after.values())))

    def _write(self, one: Decision) -> None:
        key, author = self._keys[one.order], Author("leader", "drawn", self._clock())
        with self._store.write() as connection:
            if one.step is Step.PLAN:
                planned = Milestone(one.name, one.share.percent, one.share.amount)
                plan_milestone(connection, key, planned, author)
            elif one.step is Step.DROP:
                drop_milestone(connection, key, one.name, author)
            else:
                assert one.on is not None
                reach_milestone(connection, key, one.name, one.on, author)


def _after(one: Decision, have: dict[str, Share]) -> tuple[bool, dict[str, Share]]:
    """Whether it may be decided, and what an order has then."""
    before = have.get(one.name)
    if one.step is Step.DROP:
        return True, {name: share for name, share in have.items() if name != one.name}
    if one.step is Step.PLAN:
        is_free = before is None or before.reached_on is None
        return is_free, {**have, one.name: one.share} if is_free else have
    return before is not None, have if before is None else {**have, one.name: replace(before, reached_on=one.on)}
