"""One group: what is written in one transaction, under leases that are checked inside it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection

from meshline_dagster.delivery.billing import Billing, plan_billing
from meshline_dagster.delivery.gates import IntentGate
from meshline_dagster.delivery.outage import Signal
from meshline_dagster.store import leases
from meshline_dagster.store.exceptions import Finding, raise_exceptions, resolve
from meshline_dagster.store.leases import Lease
from meshline_dagster.store.ledger_writes import Attempt, AttemptEnd, Change, change_states, record_attempts

__all__ = ["Work", "write_works"]


class Work(NamedTuple):
    """What has to become durable together.

    Attributes:
        signals: what it learnt of the destination, for the breaker; whoever writes the group applies them.
        billing: orders that were posted, or whose day has come: what follows from them is planned in this very transaction.
        gate: what is checked inside the transaction, and raises when this must not be written any more.
    """

    changes: Sequence[Change] = ()
    opened: Sequence[Attempt] = ()
    closed: Sequence[AttemptEnd] = ()
    findings: Sequence[Finding] = ()
    resolved: Sequence[str] = ()
    signals: Sequence[Signal] = ()
    gate: IntentGate | None = None
    billing: Billing | None = None


def write_works(
    connection: Connection, works: Sequence[Work], *, held: Mapping[int, Lease], actor: str, now: datetime
) -> None:
    """Write works with their audit entries, in order.

    Args:
        held: the caller's leases, by shard.

    Raises:
        LeaseLostError, GateError, PlanChangedError: a lease was taken over, or a gate has closed; the transaction must roll back.
    """
    changes = [change for work in works for change in work.changes]
    billings = [work.billing for work in works if work.billing is not None]
    shards = {change.shard for change in changes} | {shard for one in billings for shard in one.shards_of_orders()}
    leases.check(connection, [held[shard] for shard in shards])
    for gate in {work.gate.number: work.gate for work in works if work.gate is not None}.values():
        gate.check(connection, now=now)
    change_states(connection, changes, actor=actor, now=now)
    plan_billing(connection, billings, actor=actor, now=now)
    opened = [row for work in works for row in work.opened]
    record_attempts(connection, opened, [row for work in works for row in work.closed])
    raise_exceptions(connection, [finding for work in works for finding in work.findings], now=now)
    resolve(connection, [key for work in works for key in work.resolved], resolution="posted since", now=now)
