"""Every error of the project.

    MeshlineError
    ├── ConfigError            the set-up is wrong: fix it, then run again
    ├── TransientError         the same call may succeed later
    │   ├── LeaseHeldError     somebody else is at work on the same thing
    │   ├── PlanChangedError   the ledger was planned anew since it was read
    │   ├── RateLimitedError   the other side asked us to wait
    │   └── StoreUnavailableError  the ops store's database does not answer
    └── PermanentError         the same call will fail again
        ├── AuthError          credentials refused
        ├── LeaseLostError     our lease was taken over: stop without writing
        ├── GateError          the writer may not post: the message says what stands in the way
        │   └── PausedError    an operator or the calendar holds everything back: it waits
        ├── IllegalTransitionError  a ledger state change that the table does not allow
        ├── SourceError        the source answered something that its protocol does not allow
        └── QuotaExhaustedError    a daily limit is used up: stop cleanly and resume later

A class's docstring is its default message, and says what to do next.
"""

from typing import Any

__all__ = [
    "AuthError",
    "ConfigError",
    "ContractError",
    "GateError",
    "IllegalTransitionError",
    "LeaseHeldError",
    "LeaseLostError",
    "MeshlineError",
    "PausedError",
    "PermanentError",
    "PlanChangedError",
    "QuotaExhaustedError",
    "RateLimitedError",
    "RefusedError",
    "SourceError",
    "StoreUnavailableError",
    "TransientError",
]


class MeshlineError(Exception):
    """Something went wrong in Meshline; the message says what, where and what to do next."""

    def __init__(self, message: str | None = None, **context: Any) -> None:
        self.context = context
        text = message or (type(self).__doc__ or "").strip()
        details = ", ".join(f"{key}={value}" for key, value in context.items())
        super().__init__(f"{text} ({details})" if details else text)


class ConfigError(MeshlineError):
    """The configuration is not usable. Correct the value that the message names and run again."""


class TransientError(MeshlineError):
    """The other side did not answer as hoped. The same call may succeed later."""


class LeaseHeldError(TransientError):
    """Another run holds this lease. Wait until it is done, or let the other run do the work."""


class PlanChangedError(TransientError):
    """The ledger was planned anew since this was read. Nothing was written; read it again."""


class RateLimitedError(TransientError):
    """The other side asked us to slow down. Retry after the delay that it named."""

    def __init__(self, message: str | None = None, *, retry_after: float | None = None, **context: Any) -> None:
        self.retry_after = retry_after
        super().__init__(message, **context)


class StoreUnavailableError(TransientError):
    """The ops store's database does not answer. What is recorded stays; bring the database back, and the next run goes on from there."""


class PermanentError(MeshlineError):
    """The same call will fail again. Correct the cause before you repeat it."""


class AuthError(PermanentError):
    """The credentials were refused. Check the secret in the environment and the user's permissions."""


class LeaseLostError(PermanentError):
    """Another run took this lease over. Nothing was written under it; run again."""


class GateError(PermanentError):
    """The writer may not post now. Clear what the message names, then run the writer again."""


class PausedError(GateError):
    """Posting is paused: nothing is lost, it waits. `meshline resume` ends a pause."""


class IllegalTransitionError(PermanentError):
    """A posting cannot go from its state to the one asked for. Read the row again before acting on it."""


class RefusedError(PermanentError):
    """What an operator asked for does not fit the state of things. Nothing was changed; look at them again before the next word."""


class ContractError(PermanentError):
    """An event does not fulfil its contract. Correct the fields that the message names, where the event is made."""

    def __init__(self, message: str | None = None, *, problems: tuple[Any, ...] = (), **context: Any) -> None:
        self.problems = problems
        super().__init__(message, **context)


class SourceError(PermanentError):
    """The source broke its own protocol. Look at the answer quoted in the message."""


class QuotaExhaustedError(PermanentError):
    """The source's daily limit is used up. What was read is kept; the next poll goes on from there."""
