"""A file of the parts that have run, so that an interrupted run loses little: the next one, with the same code, goes on where it ended."""

import hashlib
import json
from collections import Counter
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import meshline_dagster
from meshline_dagster.testing.simulator.report import Failed, Summary
from meshline_dagster.testing.simulator.server import Profile

__all__ = ["Journal"]

_PACKAGE = Path(meshline_dagster.__file__).parent
_COUNTERS = frozenset(name for name, of in Summary.__dataclass_fields__.items() if of.default_factory is Counter)


class Journal:
    """Summaries by profile and seeds. What other code has run is not counted.

    Args:
        path: the file, one JSON object a line; made with its folder when there is none.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)

    def read(self) -> dict[tuple[str, int, int], Summary]:
        """What has run, by profile, first seed, and the seed after the last. A line that is cut off is left out."""
        found: dict[tuple[str, int, int], Summary] = {}
        for line in self._path.read_text(encoding="utf-8").splitlines() if self._path.exists() else ():
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                continue
            if row["code"] == _digest():
                found[row["profile"], row["first"], row["end"]] = _summary(row["summary"])
        return found

    def add(self, seeds: range, profile: Profile, summary: Summary) -> None:
        """Keep a part that has run."""
        row = {"code": _digest(), "profile": profile.value, "first": seeds.start, "end": seeds.stop}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({**row, "summary": _values(summary)}) + "\n")


def _values(summary: Summary) -> dict[str, Any]:
    values = {name: getattr(summary, name) for name in Summary.__dataclass_fields__}
    return {**values, "failed": [asdict(one) for one in summary.failed]}


def _summary(values: dict[str, Any]) -> Summary:
    counters = {name: Counter(values[name]) for name in _COUNTERS}
    failed = [Failed(one["seed"], Profile(one["profile"]), tuple(one["violations"])) for one in values["failed"]]
    return Summary(**{**values, **counters, "failed": failed})


@lru_cache(maxsize=1)
def _digest() -> str:
    """The identity of the code that runs: SHA-256 over the package's source."""
    digest = hashlib.sha256()
    for file in sorted(_PACKAGE.rglob("*.py")):
        digest.update(f"{file.relative_to(_PACKAGE)}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()
