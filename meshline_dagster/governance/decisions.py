"""Decisions about writes that wait for an approval: who may make them, and what follows.

The name of who decides is what the operating system says: it is recorded, not proven.
"""

from datetime import datetime

from sqlalchemy import Connection

from meshline_dagster.core.errors import ConfigError, PermanentError
from meshline_dagster.core.ledger import PostingState
from meshline_dagster.core.postings import REFUSED
from meshline_dagster.store.approvals import APPROVED, REJECTED, Approval, decide, find_approvals, waiting
from meshline_dagster.store.counters import next_values
from meshline_dagster.store.ledger_writes import Change, change_states

__all__ = ["approve", "named", "reject"]

_SHORTEST = 8


def named(connection: Connection, start: str) -> Approval:
    """The one approval whose digest starts with a text of at least eight digits.

    Raises:
        ConfigError: none has, or more than one.
    """
    if len(start) < _SHORTEST:
        raise ConfigError(f"give at least {_SHORTEST} digits of the digest; `meshline approvals list` shows them")
    found = find_approvals(connection, start)
    if len(found) == 1:
        return found[0]
    if not found:
        raise ConfigError(
            f"nothing that has the digest {start} waits: `meshline approvals list` shows what was asked for. A dry run asks for "
            "nothing: launch the replay first"
        )
    raise ConfigError(f"more than one approval fits {start}: {', '.join(one.digest for one in found)}")


def approve(connection: Connection, asked: Approval, *, actor: str, reason: str, now: datetime) -> int:
    """Let the writes of an approval go. Returns how many are still to be sent; approving twice changes nothing.

    Raises:
        PermanentError: the actor is who asked for the writes, or they were decided otherwise before.
    """
    if actor in asked.authors:
        raise PermanentError(
            f"{actor} asked for these writes and cannot approve them: the approver is not the author. Have somebody else do it"
        )
    if not decide(connection, asked, APPROVED, actor=actor, reason=reason, now=now):
        _refuse_other(connection, asked, APPROVED)
    return len(waiting(connection, asked))


def reject(connection: Connection, asked: Approval, *, actor: str, reason: str, now: datetime) -> int:
    """Take the writes of an approval back: they become superseded. Returns how many; whoever asked for them may do this, too.

    Raises:
        PermanentError: they were decided otherwise before.
    """
    next_values(connection, f"plan:{asked.destination}")  # whatever a delivery has read is stale now
    if not decide(connection, asked, REJECTED, actor=actor, reason=reason, now=now):
        _refuse_other(connection, asked, REJECTED)
    rows = waiting(connection, asked)
    changes = [Change.of(row, PostingState.SUPERSEDED, row.lease_token or 0, cause=REFUSED) for row in rows]
    change_states(connection, changes, actor=actor, now=now)
    return len(rows)


def _refuse_other(connection: Connection, asked: Approval, decision: str) -> None:
    """A decision stands. The same one again is no error."""
    stands = named(connection, asked.digest)
    if stands.decision != decision:
        raise PermanentError(
            f"{asked.digest} was {stands.decision} by {stands.decided_by} at {stands.decided_at:%Y-%m-%d %H:%M} UTC: "
            "that stands. Run the replay again to ask anew"
        )
