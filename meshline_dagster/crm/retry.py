"""How often a request that may still succeed is repeated, and how long is waited in between."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import stamina

from meshline_dagster.core.errors import RateLimitedError, TransientError

__all__ = ["RetryPolicy"]

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how long a request that may still succeed is repeated; times in seconds."""

    attempts: int = 6
    wait_initial: float = 0.5
    wait_max: float = 30.0
    wait_jitter: float = 1.0

    def run(self, call: Callable[[], _T]) -> _T:
        """Call until it succeeds, fails for good, or the attempts are used up.

        A delay that the other side named is kept to; one that is longer than ``wait_max`` is handed on to the caller.
        """
        for attempt in stamina.retry_context(
            on=self._backoff,
            attempts=self.attempts,
            timeout=None,
            wait_initial=self.wait_initial,
            wait_max=self.wait_max,
            wait_jitter=self.wait_jitter,
        ):
            with attempt:
                return call()
        raise AssertionError("unreachable")  # pragma: no cover - retry_context raises after its last attempt

    def _backoff(self, error: Exception) -> bool | float:
        if isinstance(error, RateLimitedError) and error.retry_after is not None:
            return error.retry_after if error.retry_after <= self.wait_max else False
        return isinstance(error, TransientError)
