"""How a schedule's destination is operated: pauses and freezes, limits and releases, batches, and the ledger's own process."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from meshline_dagster.core.backlog import NO_LIMITS, BacklogLimits
from meshline_dagster.core.reversals import NO_REVERSAL_LIMITS, ReversalLimits
from meshline_dagster.testing.oracle.truth import Hold
from meshline_dagster.testing.simulator.child import Hiring
from meshline_dagster.testing.simulator.process import Interruption
from meshline_dagster.testing.simulator.world import SELLERS

__all__ = ["Operations", "draw_operations"]


@dataclass(frozen=True, slots=True)
class Operations:
    """What is set, and what operators do.

    Attributes:
        pauses: by operators; freezes: by the calendar.
        rate: requests that may start in a second, with bursts of ``burst``; None: no limit.
        backlog: above these limits what is open waits for a release; released: virtual seconds at which an operator gives one.
        coalesce: of an order's states that were never sent only the newest is.
        at_most: postings that a run takes, as a drain does; None: all.
        reversals: above these limits what would take documents back waits for an approval, which operators give at the end; approved:
            virtual seconds at which they give one before.
        desk: virtual seconds at which an operator deals with what is dead; tidies: he also does so in the end, and leaves nothing.
        hiring: when a run lets a process of its own write the ledger; None: never.
    """

    pauses: tuple[Hold, ...] = ()
    freezes: tuple[Hold, ...] = ()
    rate: float | None = None
    burst: int | None = None
    backlog: BacklogLimits = NO_LIMITS
    released: tuple[float, ...] = ()
    coalesce: bool = False
    at_most: int | None = None
    hiring: Hiring | None = None
    reversals: ReversalLimits = NO_REVERSAL_LIMITS
    approved: tuple[float, ...] = ()
    desk: tuple[float, ...] = ()
    tidies: bool = False

    def lines(self) -> Iterator[str]:
        """As text."""
        for name, holds in (("paused", self.pauses), ("frozen", self.freezes)):
            yield from (f"{name}: {hold}" for hold in holds)
        if self.rate is not None:
            yield f"{self.rate} requests a second, bursts of {self.burst or 'as many'}"
        if self.backlog.is_set:
            limits = ", ".join(f"{amount} {currency}" for currency, amount in self.backlog.amounts.items())
            times = ", ".join(f"{at:.1f}" for at in self.released) or "the end"
            yield f"a backlog above {self.backlog.count} postings {limits} waits; released at {times}"
        if self.coalesce:
            yield "unsent states are coalesced"
        if self.at_most is not None:
            yield f"{self.at_most} postings a run"
        if self.reversals.is_set:
            times = ", ".join(f"{at:.1f}" for at in self.approved) or "the end"
            yield f"more than {self.reversals.count} reversals in a run wait for an approval; approved at {times}"
        if self.desk or self.tidies:
            times = ", ".join([*(f"{at:.1f}" for at in self.desk), *["the end"] * self.tidies])
            yield f"what is dead is dealt with by hand at {times}"
        if self.hiring is not None:
            yield str(self.hiring)


def draw_operations(rng: random.Random, until: float) -> Operations:
    """Mostly nothing of all this; now and then some of it."""
    rate = rng.choice((0.5, 2.0, 10.0)) if rng.random() < 0.15 else None  # noqa: PLR2004 - one in seven
    backlog = _backlog(rng) if rng.random() < 0.15 else NO_LIMITS  # noqa: PLR2004 - one in seven
    return Operations(
        pauses=tuple(_pauses(rng, until)),
        freezes=tuple(_freezes(rng, until)),
        rate=rate,
        burst=rng.choice((None, 1, 3)),
        backlog=backlog,
        released=tuple(sorted(rng.uniform(0, until) for _ in range(rng.randint(0, 4)))),
        coalesce=rng.random() < 0.2,  # noqa: PLR2004 - one in five
        at_most=rng.choice((1, 2, 5)) if rng.random() < 0.15 else None,  # noqa: PLR2004 - one in seven
        hiring=_hiring(rng) if rng.random() < 0.25 else None,  # noqa: PLR2004 - one in four
        reversals=ReversalLimits(rng.choice((0, 1))) if rng.random() < 0.15 else NO_REVERSAL_LIMITS,  # noqa: PLR2004 - one in seven
        approved=tuple(sorted(rng.uniform(0, until) for _ in range(rng.randint(0, 2)))),
        desk=tuple(sorted(rng.uniform(0, until) for _ in range(rng.randint(0, 3)))) if rng.random() < 0.3 else (),  # noqa: PLR2004 - three in ten
        tidies=rng.random() < 0.3,  # noqa: PLR2004 - three in ten
    )


def _pauses(rng: random.Random, until: float) -> Iterator[Hold]:
    """Each of another scope: to end one ends no other."""
    if rng.random() < 0.15:  # noqa: PLR2004 - one in seven
        yield Hold(*_time(rng, until), selling_entity=rng.choice(SELLERS[:-1]))
    if rng.random() < 0.15:  # noqa: PLR2004 - as above
        yield Hold(*_time(rng, until), customer=f"crm/account/{rng.randrange(2)}")


def _freezes(rng: random.Random, until: float) -> Iterator[Hold]:
    if rng.random() < 0.12:  # noqa: PLR2004 - one in eight
        yield Hold(*_time(rng, until), selling_entity=rng.choice(SELLERS))


def _time(rng: random.Random, until: float) -> tuple[float, float]:
    start = rng.uniform(0, until * 0.7)
    return start, rng.uniform(start, until)


def _backlog(rng: random.Random) -> BacklogLimits:
    if rng.random() < 0.3:  # noqa: PLR2004 - three in ten
        return BacklogLimits(None, {rng.choice(("USD", "EUR")): Decimal(rng.randint(1, 5000))})
    return BacklogLimits(rng.choice((0, 0, 2, 5)))


def _hiring(rng: random.Random) -> Hiring:
    interruption = None
    if rng.random() < 0.4:  # noqa: PLR2004 - four in ten
        pause = rng.uniform(0.5, 60.0) if rng.random() < 0.4 else None  # noqa: PLR2004 - as above
        interruption = Interruption(None, rng.randint(1, 12), pause)
    return Hiring(
        postings=rng.randint(1, 3),
        start=rng.choice((0.0, 0.05, 1.0)),
        step=rng.choice((0.001, 0.02, 0.5)),
        end=rng.choice((0.0, 0.0, 1.0, 20.0)),
        interruption=interruption,
    )
