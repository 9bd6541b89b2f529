"""A schedule: everything that one seed decides, in a form that can be read."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from meshline_dagster.core.followups import InvoiceTrigger
from meshline_dagster.testing.oracle.truth import Hold
from meshline_dagster.testing.simulator.billing import Billing, draw_billing, in_parts
from meshline_dagster.testing.simulator.clerks import Edit, draw_edits
from meshline_dagster.testing.simulator.deliveries import Shipment, draw_shipments
from meshline_dagster.testing.simulator.faults import FaultKind, FaultPlan, draw_faults
from meshline_dagster.testing.simulator.masters import Masters, draw_masters
from meshline_dagster.testing.simulator.milestones import Decision, draw_decisions
from meshline_dagster.testing.simulator.network import Timing, too_late
from meshline_dagster.testing.simulator.operations import Operations, draw_operations
from meshline_dagster.testing.simulator.periods import with_periods
from meshline_dagster.testing.simulator.points import crash_points
from meshline_dagster.testing.simulator.process import Interruption
from meshline_dagster.testing.simulator.server import KNOWN_SKUS, Profile
from meshline_dagster.testing.simulator.world import World, draw_world

__all__ = ["Run", "Schedule", "draw_schedule"]

_MORNING = 60.0  # seconds


@dataclass(frozen=True, slots=True)
class Run:
    """One delivery.

    Attributes:
        at: virtual seconds when it starts.
        patience: seconds that it waits for what is not due yet.
        interruption: what happens to it; None: nothing.
        again: seconds after its end until the next run starts; a scheduler would do so.
    """

    at: float
    patience: float
    interruption: Interruption | None
    again: float


@dataclass(frozen=True, slots=True)
class Schedule:
    """One story, told before it happens.

    Attributes:
        until: virtual seconds when faults, pauses and interruptions end.
        live_from: virtual seconds until which the workflow runs in shadow; zero: it is live from the start.
        pauses: posting as a whole is paused; what else operators do is in ``operations``.
        plan_interruptions: what happens to each planning process, in their order.
        as_network: delivery runs its statements as on a database over a network.
        matches_only: the ERP has the customers already, and we may not create any.
        forged_at: virtual seconds when somebody changes a planned posting in the database, past its guards; None: nobody does. forges_sent: he
            changes one that was sent, and of which nobody knows yet what became of it.
        commit_seconds: up to how long a transaction waits.
        skew: seconds that the ERP's clock is ahead of ours.
        billing: how orders are invoiced; None: they are not.
        absences: ``(from, to)`` in virtual seconds: the ops store's database is away from deliveries.
        later_runs: deliveries on later days, under faults, one after the other.
        edits: what somebody changes in the ERP by hand.
        masters: the masters beside customers; None: orders wait for customers alone.
        shipments: what the ERP delivers, where orders are invoiced by that; read_lag: up to how many seconds pass from when somebody reads
            what the ERP says of it until he acts on it.
        decisions: what people decide of milestones, where orders are invoiced by them.
    """

    seed: int
    profile: Profile
    until: float
    timing: Timing
    faults: FaultPlan
    world: World
    runs: Sequence[Run]
    live_from: float
    pauses: tuple[Hold, ...]
    plan_interruptions: Sequence[Interruption | None]
    shards: int
    slots: int
    max_attempts: int
    two_steps: bool
    as_network: bool
    matches_only: bool
    forged_at: float | None
    commit_seconds: float
    skew: float
    operations: Operations
    billing: Billing | None = None
    absences: tuple[tuple[float, float], ...] = ()
    later_runs: Sequence[Run] = ()
    edits: tuple[Edit, ...] = ()
    masters: Masters | None = None
    shipments: tuple[Shipment, ...] = ()
    read_lag: float = 0.0
    decisions: tuple[Decision, ...] = ()
    forges_sent: bool = False

    def quiet_from(self, now: float) -> float | None:
        """When nothing more happens by itself, in virtual seconds: every line has started, every milestone is reached, and what the ERP does too
        late is done. None when nothing does that comes after now.
        """
        billing = self.billing
        if billing is not None and billing.policy.trigger in {InvoiceTrigger.START, InvoiceTrigger.MILESTONE}:
            return max(now, billing.last_day)
        return now + too_late(self.timing) if self.later_runs or FaultKind.TOO_LATE in self.faults.weights else None

    def lines(self) -> list[str]:
        """The schedule as text."""
        told = [
            f"seed {self.seed}, profile {self.profile.value}{', two steps' if self.two_steps else ''}",
            (
                f"settle_after {self.timing.settle_after:.1f} s, time-out {self.timing.timeout:.1f} s, latency "
                f"{self.timing.latency * 1000:.0f} ms, commits up to {self.commit_seconds * 1000:.0f} ms, ERP clock {self.skew:+.0f} s"
            ),
            f"{self.shards} shards, {self.slots} slots, {self.max_attempts} attempts",
            f"faults: {self.faults}",
        ]
        told += [f"paused: {hold}" for hold in self.pauses]
        told += self.operations.lines()
        told += [str(self.billing)] if self.billing is not None else []
        told += [f"the ops store is away {start:.1f}-{end:.1f} s" for start, end in self.absences]
        told += [f"a posting is forged at {self.forged_at:.1f} s"] if self.forged_at is not None else []
        told += [str(self.masters)] if self.masters is not None else []
        told += [str(one) for one in (*self.edits, *self.shipments, *self.decisions)]
        told += [f"shadow until {self.live_from:.1f} s"] if self.live_from else []
        for number, run in enumerate(self.runs, start=1):
            told.append(
                f"run {number} at {run.at:.1f} s, patience {run.patience:.0f} s: {run.interruption or 'undisturbed'}"
            )
        for run in self.later_runs:
            told.append(f"later run at {run.at:.1f} s: {run.interruption or 'undisturbed'}")
        for number, one in enumerate(self.world.publications, start=1):
            told.append(f"outbox {number} at {one.at:.1f} s: {len(one.rows)} events of {len(one.touched)} entities")
        return told


def draw_schedule(seed: int, profile: Profile) -> Schedule:
    """The schedule of a seed: the same for ever, as long as this module stays as it is."""
    rng = random.Random(f"{profile.value}/{seed}")  # noqa: S311 - repeatable, not secret
    until = rng.uniform(10.0, 90.0)
    timing = Timing(
        latency=rng.choice((0.005, 0.02, 0.1)),
        settle_after=rng.choice((0.5, 2.0, 5.0, 15.0)),
        timeout=rng.choice((1.0, 3.0, 8.0)),
    )
    lease = 2 * timing.timeout + 10
    drawn = random.Random(f"masters/{profile.value}/{seed}")  # noqa: S311 - as above
    masters = draw_masters(drawn, sorted(KNOWN_SKUS))
    world = draw_world(
        *(rng, until, random.Random(f"payments/{profile.value}/{seed}")),  # noqa: S311 - as above
        kept=None if masters is None else (masters, drawn),
    )
    runs = [
        Run(
            rng.uniform(0, until * 0.9),
            rng.choice((2.0, 6.0, 20.0)),
            _interruption(rng, lease),
            rng.uniform(0.1, lease),
        )
        for _ in range(rng.choice((1, 2, 2, 3, 4)))
    ]
    billing = draw_billing(random.Random(f"billing/{profile.value}/{seed}"), until)  # noqa: S311 - repeatable, not secret
    billing = in_parts(random.Random(f"parts/{profile.value}/{seed}"), billing, until)  # noqa: S311 - as above
    mornings = () if billing is None else billing.mornings
    later = random.Random(f"later/{profile.value}/{seed}")  # noqa: S311 - as above
    pauses = []
    if rng.random() < 0.12:  # noqa: PLR2004 - one in eight
        start = rng.uniform(0, until * 0.7)
        pauses.append(Hold(start, rng.uniform(start, until)))
    if billing is not None and billing.policy.schedule is not None:
        world = with_periods(world, billing.policy.schedule)
    drawn_parts = random.Random(f"dues/{profile.value}/{seed}")  # noqa: S311 - as above
    return Schedule(
        seed=seed,
        profile=profile,
        until=until,
        timing=timing,
        faults=replace(draw_faults(rng, until), again=tuple((at, at + _MORNING) for at in mornings)),
        world=world,
        runs=sorted(runs, key=lambda run: run.at),
        live_from=rng.uniform(0, until / 2) if rng.random() < 0.1 else 0.0,  # noqa: PLR2004 - one in ten
        pauses=tuple(pauses),
        plan_interruptions=[_plan_interruption(rng) for _ in world.publications],
        shards=rng.choice((1, 2, 4)),
        slots=rng.choice((1, 2, 4, 8)),
        max_attempts=rng.choice((3, 8, 8, 30)),
        two_steps=rng.random() < 0.3,  # noqa: PLR2004 - three in ten
        as_network=rng.random() < 0.2,  # noqa: PLR2004 - one in five
        matches_only=rng.random() < 0.1,  # noqa: PLR2004 - one in ten
        forged_at=rng.uniform(0, until) if rng.random() < 0.08 else None,  # noqa: PLR2004 - one in twelve
        commit_seconds=rng.choice((0.0, 0.005, 0.05, 1.0)),
        skew=rng.choice((-3600.0, -2.0, 0.0, 0.0, 2.0, 3600.0)),
        operations=draw_operations(random.Random(f"operations/{profile.value}/{seed}"), until),  # noqa: S311 - as above
        absences=_absences(random.Random(f"absences/{profile.value}/{seed}"), until),  # noqa: S311 - as above
        billing=billing,
        masters=masters,
        forges_sent=random.Random(f"forged/{profile.value}/{seed}").random() < 0.5,  # noqa: PLR2004, S311 - as above, half
        edits=draw_edits(random.Random(f"edits/{profile.value}/{seed}"), until),  # noqa: S311 - as above
        **_dues(drawn_parts, billing, until, world),
        later_runs=[Run(at, 20.0, _interruption(later, lease), later.uniform(0.1, lease)) for at in mornings],
    )


def _dues(rng: random.Random, billing: Billing | None, until: float, world: World) -> dict[str, Any]:
    """What makes orders due in parts."""
    trigger = None if billing is None else billing.policy.trigger
    if trigger is InvoiceTrigger.DELIVERY:
        return {"shipments": draw_shipments(rng, until), "read_lag": rng.choice((0.0, 0.0, 5.0, 60.0))}
    if billing is not None and trigger is InvoiceTrigger.MILESTONE:
        return {"decisions": draw_decisions(rng, until, world.orders, billing.day)}
    return {}


def _absences(rng: random.Random, until: float) -> tuple[tuple[float, float], ...]:
    if rng.random() >= 0.1:  # noqa: PLR2004 - one in ten
        return ()
    start = rng.uniform(0.0, until)
    return ((start, start + rng.uniform(0.5, 20.0)),)


def _interruption(rng: random.Random, lease: float) -> Interruption | None:
    """Half of them at a named point, so that every point gets its turn; the rest anywhere."""
    if rng.random() < 0.3:  # noqa: PLR2004 - three in ten are undisturbed
        return None
    pause = rng.uniform(0.5, 4 * lease) if rng.random() < 0.4 else None  # noqa: PLR2004 - four in ten live on
    then = Interruption(rng.choice(crash_points()), 1) if pause is not None and rng.random() < 0.5 else None  # noqa: PLR2004 - as often as not
    if rng.random() < 0.5:  # noqa: PLR2004 - as often as not
        return Interruption(rng.choice(crash_points()), rng.choice((1, 1, 1, 2, 3, 6)), pause, then)
    return Interruption(None, rng.randint(1, 120), pause, then)


def _plan_interruption(rng: random.Random) -> Interruption | None:
    return Interruption(None, rng.randint(1, 2)) if rng.random() < 0.15 else None  # noqa: PLR2004 - one in seven
