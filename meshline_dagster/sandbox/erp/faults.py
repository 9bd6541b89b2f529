"""Planned faults: which requests go wrong, and how.

A plan is a list of rules; the first that strikes decides. Each rule counts the requests that it is about for itself and draws from
its own seed, so that what it does never depends on the other rules.
"""

import random
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

__all__ = ["FaultKind", "FaultPlan", "Rule"]

_READS = frozenset({"GET"})


class FaultKind(StrEnum):
    """What goes wrong with a request."""

    REFUSE = "refuse"  # an error status (503 unless told), nothing done
    RESET_BEFORE = "reset_before"  # the connection breaks, nothing done
    RESET_AFTER = "reset_after"  # done, then the connection breaks: a lost answer
    SLOW = "slow"  # done at once, answered after `seconds`
    LATE_COMMIT = "late_commit"  # the connection breaks, done after `seconds`


class Rule:
    """One line of a plan.

    Args:
        fault: what happens.
        at: it strikes the n-th requests that it is about, from 1.
        probability: or each of them with this probability, from ``seed``.
        times: how often it strikes at most; None means for ever.
        on: ``writes``, ``reads`` (GET and look-ups) or ``all``.
        path: only paths that contain this.
        status: of ``refuse``. retry_after: its Retry-After header in seconds, as given; None sends none.
        seconds: of ``slow`` and ``late_commit``.
    """

    def __init__(
        self,
        fault: str,
        *,
        at: Sequence[int] = (),
        probability: float = 0.0,
        seed: int = 0,
        times: int | None = None,
        on: str = "writes",
        path: str = "",
        status: int = 503,
        retry_after: float | str | None = None,
        seconds: float = 1.0,
    ) -> None:
        if on not in {"writes", "reads", "all"}:
            raise ValueError(f"on is writes, reads or all, not {on!r}")
        self.fault = FaultKind(fault)
        self.status = status
        self.retry_after = retry_after
        self.seconds = seconds
        self.struck = 0
        self._at = frozenset(at)
        self._probability = probability
        self._random = random.Random(seed)  # noqa: S311 - a plan that repeats, not a secret
        self._times = times
        self._on = on
        self._path = path
        self._seen = 0

    def strikes(self, method: str, path: str) -> bool:
        """Whether this request is struck; every request that the rule is about is counted."""
        if not self._is_about(method, path):
            return False
        self._seen += 1
        drawn = self._random.random() < self._probability
        spent = self._times is not None and self.struck >= self._times
        return (drawn or self._seen in self._at) and not spent

    def _is_about(self, method: str, path: str) -> bool:
        kind = "reads" if method in _READS or path.endswith("/lookup") else "writes"
        return self._on in {kind, "all"} and self._path in path


class FaultPlan:
    """The rules in force."""

    def __init__(self, rules: Sequence[Mapping[str, Any]] = ()) -> None:
        self.rules = [Rule(**rule) for rule in rules]

    def take(self, method: str, path: str) -> Rule | None:
        """The rule that strikes this request, if any."""
        striking = [rule for rule in self.rules if rule.strikes(method, path)]
        if not striking:
            return None
        striking[0].struck += 1
        return striking[0]
