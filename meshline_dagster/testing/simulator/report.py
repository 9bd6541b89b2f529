"""Running many schedules, and what is said about them."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context

from meshline_dagster.testing.simulator.points import crash_points
from meshline_dagster.testing.simulator.run import Outcome, run_schedule
from meshline_dagster.testing.simulator.schedule import draw_schedule
from meshline_dagster.testing.simulator.server import Profile

__all__ = ["Failed", "Part", "Summary", "parts_of", "run_many", "told"]

Part = tuple[range, Profile]

_PART = 25


@dataclass(frozen=True, slots=True)
class Failed:
    """A schedule that failed, and what the oracle said."""

    seed: int
    profile: Profile
    violations: tuple[str, ...]

    def __str__(self) -> str:
        again = f"python -m meshline_dagster.testing.simulator --seed {self.seed} --profile {self.profile.value} -v"
        return "\n".join([f"FAILED  {again}", *(f"  {violation}" for violation in self.violations)])


@dataclass(slots=True)
class Summary:
    """Many schedules in figures.

    Attributes:
        billed: how many of them invoice their orders.
        effects: what the ERPs did; documents: what they hold in the end, by kind; virtual_seconds: how long all of it would have taken.
        crashed: kills by the point at which they struck; an ``await`` counts with all that wait for it.
        detected: violations that no client can prevent, by check: the ERP acted later than it promises.
        exceptions: what was left to people in the end, by code.
    """

    schedules: int = 0
    billed: int = 0
    effects: int = 0
    virtual_seconds: float = 0.0
    kills: int = 0
    pauses: int = 0
    documents: Counter[str] = field(default_factory=Counter)
    struck: Counter[str] = field(default_factory=Counter)
    crashed: Counter[str] = field(default_factory=Counter)
    detected: Counter[str] = field(default_factory=Counter)
    exceptions: Counter[str] = field(default_factory=Counter)
    failed: list[Failed] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """Count one schedule."""
        self.schedules += 1
        self.billed += outcome.schedule.billing is not None
        self.documents.update(outcome.documents)
        self.effects += outcome.effects
        self.virtual_seconds += outcome.seconds
        self.kills += outcome.kills
        self.pauses += outcome.pauses
        self.struck.update({kind.value: count for kind, count in outcome.struck.items()})
        self.crashed.update(outcome.crashed)
        self.detected.update(violation.check for violation in outcome.violations if violation.beyond)
        self.exceptions.update(outcome.exceptions)
        if outcome.failures:
            violations = tuple(str(violation) for violation in outcome.failures)
            self.failed.append(Failed(outcome.schedule.seed, outcome.schedule.profile, violations))

    def merge(self, other: "Summary") -> None:
        """Add another summary's figures."""
        for name in ("schedules", "billed", "effects", "virtual_seconds", "kills", "pauses"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("documents", "struck", "crashed", "detected", "exceptions"):
            getattr(self, name).update(getattr(other, name))
        self.failed += other.failed

    def lines(self) -> list[str]:
        """The figures as text."""
        points = crash_points()
        hit = sum(1 for point in points if self.crashed[point])
        return [
            (
                f"{self.schedules} schedules, {self.effects} effects in the ERP, {self.virtual_seconds / 3600:.0f} virtual hours; "
                f"{self.kills} kills at {hit} of {len(points)} points, {self.pauses} pauses, {len(self.failed)} failures"
            ),
            f"in the ERP: {_listed(self.documents)}; {self.billed} schedules invoice their orders",
            f"faults: {_listed(self.struck)}",
            f"detected, not preventable: {_listed(self.detected)}",
            f"left to people: {_listed(self.exceptions)}",
        ]


def run_many(parts: Sequence[Part], *, processes: int = 1) -> Iterator[tuple[Part, Summary]]:
    """Run all schedules; yields the summary of each part as it ends."""
    if processes == 1:
        yield from ((part, _run_part(part)) for part in parts)
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield from zip(parts, pool.map(_run_part, parts), strict=True)


def parts_of(seeds: range, profiles: Sequence[Profile]) -> list[Part]:
    """All schedules of these seeds, in parts that take some seconds each."""
    starts = range(seeds.start, seeds.stop, _PART)
    return [(range(start, min(start + _PART, seeds.stop)), profile) for start in starts for profile in profiles]


def told(outcome: Outcome) -> Iterable[str]:
    """A schedule, what happened, and what the oracle said."""
    yield from outcome.schedule.lines()
    for at, text in outcome.trace:
        yield f"{at:9.3f}  {text}"
    yield from (f"VIOLATION {violation}" for violation in outcome.violations)


def _run_part(work: Part) -> Summary:
    seeds, profile = work
    summary = Summary()
    for seed in seeds:
        summary.add(run_schedule(draw_schedule(seed, profile)))
    return summary


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.most_common()) or "nothing"
