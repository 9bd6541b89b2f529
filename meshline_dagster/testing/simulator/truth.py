"""What a schedule knows to be true, for the oracle: from the schedule, the network and the operators, never from the ledger."""

import math
from collections.abc import Collection, Sequence

from meshline_dagster.core.followups import Amendments, InvoiceTrigger
from meshline_dagster.testing.oracle.truth import Billing as BillingTruth
from meshline_dagster.testing.oracle.truth import Truth
from meshline_dagster.testing.simulator.billing import Billing
from meshline_dagster.testing.simulator.network import Network
from meshline_dagster.testing.simulator.operators import Operators
from meshline_dagster.testing.simulator.schedule import Schedule
from meshline_dagster.testing.simulator.server import Profile
from meshline_dagster.testing.simulator.world import Publication

__all__ = ["truth_of"]

_OBEYED_AFTER = 0.51  # seconds: delivery looks at pauses every half second
_TOKENS_KEPT = 1.0  # seconds that a permission of the rate limit may be kept
_WAITS = 6  # for the database, at most, between an answer and its record


def truth_of(
    schedule: Schedule, network: Network, operators: Operators, *, shadows: Collection[str], disturbed: int
) -> Truth:
    """The truth of a schedule that has ended.

    Args:
        shadows: names of processes that ran in shadow mode.
        disturbed: how often a process was killed or stopped.
    """
    operations = schedule.operations
    asking_first = schedule.timing.timeout if schedule.two_steps else 0.0
    step = schedule.commit_seconds + (0.0 if operations.hiring is None else operations.hiring.step)
    return Truth(
        entities=schedule.world.entities,
        protected=schedule.profile is not Profile.LOOKUP_ONLY,
        unique=schedule.profile is Profile.UNIQUE,
        shadows=frozenset(shadows),
        max_attempts=schedule.max_attempts,
        holds=(*schedule.pauses, *operations.pauses, *operations.freezes),
        grace=_OBEYED_AFTER + asking_first,
        billing=_billing(schedule.billing),
        released=tuple(operators.released) if operations.backlog.count == 0 else None,
        approved=(*operators.approved, schedule.until) if operations.reversals.count == 0 else None,
        decided=tuple(operators.approved),
        answered=network.answered,
        recorded_after=_TOKENS_KEPT + _WAITS * step,
        planned=_first_published(schedule.world.publications),
        rate=operations.rate,
        burst=operations.burst or max(1, round(operations.rate or 0)),
        waits=tuple(network.waits),
        steady=not disturbed,
        delay=_TOKENS_KEPT + _WAITS * schedule.commit_seconds + asking_first,
        coalesces=operations.coalesce,
        failed=_failed(schedule, network, disturbed),
        retried=operators.desk.retried,
        closed=operators.desk.closed,
        settled=frozenset(operators.desk.settled),
        decided_of=operators.leaders.decided,
        looked_within=math.inf if disturbed or operations.rate else _looked_within(schedule, step),
        forged=frozenset(operators.forged),
    )


def _looked_within(schedule: Schedule, step: float) -> float:
    """The answer to a look-up takes as long as a request may, and then pauses are looked at once more."""
    return schedule.timing.timeout + _WAITS * step


def _failed(schedule: Schedule, network: Network, disturbed: int) -> dict[str, int]:
    """A request whose sender is killed or stopped gets no answer either."""
    failed = {key: network.failed[key] + disturbed for key in schedule.world.entities}
    for document, order in network.belongs.items():
        failed[order] = max(failed[order], network.failed[document] + disturbed)
    return failed


def _billing(billing: Billing | None) -> BillingTruth | None:
    if billing is None:
        return None
    policy = billing.policy
    by_start, rebills = policy.trigger is InvoiceTrigger.START, policy.amendments is Amendments.CREDIT_AND_REBILL
    return BillingTruth(
        *(billing.epoch, by_start, rebills, policy.closed_through, policy.schedule is not None),
        by_delivery=policy.trigger is InvoiceTrigger.DELIVERY,
        by_milestones=policy.trigger is InvoiceTrigger.MILESTONE,
    )


def _first_published(publications: Sequence[Publication]) -> dict[str, float]:
    first: dict[str, float] = {}
    for one in publications:
        for row in one.rows:
            first.setdefault(row.event_id, one.at)
    return first
