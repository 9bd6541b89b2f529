"""The posting ledger's states and the only ways between them.

    planned ──> sending ──> posted
       │           ├──────> rejected      the ERP refused for good: an exception is open
       │           ├──────> retry_due     the ERP did not act and may later
       │           ├──────> unknown       no answer: only a look-up settles it
       │           └──────> partial       some steps of a saga are done
       ├──> superseded                    a newer state of the same order stands
       ├──> shadowed                      the workflow runs in shadow: nothing is sent
       └──> dead                          given up, an exception is open: nothing of its entity is sent

An operator leads a dead posting out: *retried* it is ``unknown`` and looked up first, *closed* it is ``superseded`` for good.

A crash between the intent and the outcome leaves ``sending``: whoever comes next treats it as ``unknown``.
"""

from enum import StrEnum

from meshline_dagster.core.errors import IllegalTransitionError

__all__ = [
    "BY_HAND",
    "CLOSED_ABSENT",
    "CLOSED_IN_ERP",
    "OPEN_STATES",
    "TRANSITIONS",
    "PostingState",
    "check_transition",
]


class PostingState(StrEnum):
    """Where a posting stands."""

    PLANNED = "planned"
    SENDING = "sending"
    POSTED = "posted"
    REJECTED = "rejected"
    RETRY_DUE = "retry_due"
    UNKNOWN = "unknown"
    PARTIAL = "partial"
    SUPERSEDED = "superseded"
    DEAD = "dead"
    SHADOWED = "shadowed"


_S = PostingState

TRANSITIONS: dict[PostingState, frozenset[PostingState]] = {
    _S.PLANNED: frozenset({_S.SENDING, _S.SUPERSEDED, _S.SHADOWED, _S.DEAD}),
    _S.SENDING: frozenset({_S.POSTED, _S.REJECTED, _S.RETRY_DUE, _S.UNKNOWN, _S.PARTIAL, _S.DEAD}),
    _S.RETRY_DUE: frozenset({_S.SENDING, _S.SUPERSEDED, _S.DEAD}),
    _S.UNKNOWN: frozenset({_S.POSTED, _S.RETRY_DUE, _S.PARTIAL, _S.REJECTED, _S.UNKNOWN, _S.DEAD}),
    _S.PARTIAL: frozenset({_S.SENDING, _S.POSTED, _S.RETRY_DUE, _S.UNKNOWN, _S.REJECTED, _S.DEAD}),
    _S.SHADOWED: frozenset({_S.PLANNED, _S.SUPERSEDED}),
    _S.REJECTED: frozenset({_S.SUPERSEDED}),
    _S.DEAD: frozenset({_S.SUPERSEDED, _S.UNKNOWN}),
    _S.POSTED: frozenset(),
    _S.SUPERSEDED: frozenset(),
}

OPEN_STATES: frozenset[PostingState] = frozenset({_S.PLANNED, _S.SENDING, _S.RETRY_DUE, _S.UNKNOWN, _S.PARTIAL})
"""States in which a posting still has work to do."""


CLOSED_IN_ERP = "closed_in_erp"
"""The cause of a superseded posting that an operator closed, and whose document the ERP holds: an order's next state amends it, and what
follows from the order goes by it.
"""

CLOSED_ABSENT = "closed_absent"
"""The same where the ERP holds nothing: the next state creates the document."""

BY_HAND: frozenset[str] = frozenset({CLOSED_IN_ERP, CLOSED_ABSENT})
"""Causes of what an operator settled: it is as frozen as what is posted, and never planned again."""


def check_transition(before: PostingState, after: PostingState) -> None:
    """Raise unless the table allows the step.

    Raises:
        IllegalTransitionError: with both states in the message.
    """
    if after not in TRANSITIONS[before]:
        raise IllegalTransitionError(f"a posting cannot go from {before} to {after}")
