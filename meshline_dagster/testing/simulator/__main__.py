"""Run schedules from the command line.

python -m meshline_dagster.testing.simulator --seeds 0:1000 --profile all --processes 2
python -m meshline_dagster.testing.simulator --seed 17 --profile lookup_only -v
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from meshline_dagster.testing.simulator.journal import Journal
from meshline_dagster.testing.simulator.points import crash_points
from meshline_dagster.testing.simulator.report import Part, Summary, parts_of, run_many, told
from meshline_dagster.testing.simulator.run import run_schedule
from meshline_dagster.testing.simulator.schedule import draw_schedule
from meshline_dagster.testing.simulator.server import Profile

__all__ = ["main"]

_SAY_EVERY = 30.0


def main(arguments: list[str] | None = None) -> int:
    """Run what is asked for; 1 when a schedule failed."""
    asked = _parser().parse_args(arguments)
    profiles = list(Profile) if asked.profile == "all" else [Profile(asked.profile)]
    started = time.monotonic()
    summary = Summary()
    if asked.verbose:
        for profile in profiles:
            for seed in asked.seeds:
                outcome = run_schedule(draw_schedule(seed, profile))
                _say(*told(outcome))
                summary.add(outcome)
    else:
        _run(parts_of(asked.seeds, profiles), summary, asked)
    _say(*summary.lines(), f"took {time.monotonic() - started:.0f} s with {asked.processes} processes")
    if asked.points:
        _say(*(f"{summary.crashed[point]:7d}  {point}" for point in crash_points()))
    return 1 if summary.failed else 0


def _run(parts: Sequence[Part], summary: Summary, asked: argparse.Namespace) -> None:
    """Run the parts that the journal does not have, and say now and then how far it is."""
    journal = None if asked.journal is None else Journal(asked.journal)
    known = {} if journal is None else journal.read()
    for done in (known[key] for part in parts if (key := _key(part)) in known):
        _say(*done.failed)
        summary.merge(done)
    if summary.schedules:
        _say(f"{summary.schedules} schedules were run before, by the same code: see {asked.journal}")
    started = said = time.monotonic()
    wanted, before = sum(len(seeds) for seeds, _ in parts), summary.schedules
    for part, ended in run_many([one for one in parts if _key(one) not in known], processes=asked.processes):
        _say(*ended.failed)
        summary.merge(ended)
        if journal is not None:
            journal.add(*part, ended)
        now = time.monotonic()
        if now - said >= _SAY_EVERY:
            said, rate = now, (summary.schedules - before) / (now - started)
            left = (wanted - summary.schedules) / rate / 60
            _say(
                f"{summary.schedules} of {wanted} schedules, {rate:.1f} a second, {len(summary.failed)} failures; {left:.0f} minutes left"
            )


def _key(part: Part) -> tuple[str, int, int]:
    seeds, profile = part
    return profile.value, seeds.start, seeds.stop


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m meshline_dagster.testing.simulator",
        description="Deliver under seeded faults; an oracle judges.",
    )
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--seeds", type=_seeds, metavar="A:B", help="from A up to, not including, B, for each profile")
    which.add_argument("--seed", type=lambda text: range(int(text), int(text) + 1), dest="seeds", metavar="N")
    parser.add_argument("--profile", default="all", choices=["all", *(one.value for one in Profile)])
    parser.add_argument("--processes", type=int, default=1, help="how many schedules at once")
    parser.add_argument(
        "--journal",
        type=Path,
        metavar="FILE",
        help="keep what has run there, and do not run it again with the same code",
    )
    parser.add_argument("--points", action="store_true", help="say how often each point was struck by a kill")
    parser.add_argument("-v", "--verbose", action="store_true", help="tell each schedule and its trace")
    return parser


def _seeds(text: str) -> range:
    first, _, last = text.partition(":")
    return range(int(first), int(last))


def _say(*lines: object) -> None:
    for line in lines:
        sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
