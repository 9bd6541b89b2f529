"""What must hold before anything is sent. The writer checks it itself, since anybody can launch it."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from meshline_dagster.core.errors import GateError, PausedError, PlanChangedError
from meshline_dagster.core.pauses import CALENDAR, Pause, frozen
from meshline_dagster.delivery.options import DeliveryOptions, Mode
from meshline_dagster.store.counters import current_value
from meshline_dagster.store.pauses import pauses_in_force
from meshline_dagster.store.verdicts import failed_verdicts

__all__ = [
    "IntentGate",
    "check_company",
    "check_gates",
    "check_plan",
    "check_verdicts",
    "pauses_now",
    "plan_number",
]


def check_gates(connection: Connection, options: DeliveryOptions, *, now: datetime) -> None:
    """Raise unless the workflow may post now.

    Raises:
        PausedError: everything that goes to the destination is paused. What is paused in part is left out, row by row.
        GateError: a table's verdict stands failed (named, with its detail), or no cut-over date outside the sandbox.
    """
    if options.mode is Mode.LIVE and not options.sandbox and options.effective_from is None:
        raise GateError(
            f"{options.destination} is not a sandbox and has no effective_from: set the cut-over date, "
            "so that deals booked before it are not posted again"
        )
    for paused in pauses_now(connection, options, now=now):
        if paused.scope.is_whole:
            raise PausedError(str(paused) if paused.actor == CALENDAR else f"{paused}: `meshline resume` ends it")
    check_verdicts(connection)


def pauses_now(connection: Connection, options: DeliveryOptions, *, now: datetime) -> list[Pause]:
    """What operators and the close calendar hold back at this moment."""
    return pauses_in_force(connection, options.destination) + frozen(options.freezes, options.destination, now)


def check_verdicts(connection: Connection) -> None:
    """Raise while a table's verdict stands failed: nothing of such tables may even be planned.

    Raises:
        GateError: each verdict with its detail.
    """
    failed = failed_verdicts(connection)
    if failed:
        listed = "; ".join(f"{one.subject} / {one.check_name}: {one.detail}" for one in failed)
        raise GateError(f"the writer refuses while a table's verdict stands failed: {listed}")


def plan_number(connection: Connection, options: DeliveryOptions) -> int:
    """How often the destination was planned: what was read under one number is stale under the next."""
    return current_value(connection, f"plan:{options.destination}")


def check_plan(connection: Connection, options: DeliveryOptions, number: int) -> None:
    """Raise unless the plan is still the one that was read; no other is made before the caller's transaction ends.

    A row that was the oldest open one of its entity may not be that any more, or may have another content now.

    Raises:
        PlanChangedError: it is not.
    """
    if current_value(connection, f"plan:{options.destination}", hold=True) != number:
        raise PlanChangedError


@dataclass(frozen=True, slots=True)
class IntentGate:
    """What is checked in the transaction of an intent, in whatever process that is.

    Attributes:
        number: the plan under which the rows were read.
    """

    options: DeliveryOptions
    number: int

    def check(self, connection: Connection, *, now: datetime) -> None:
        """Raise unless it may be written.

        Raises:
            GateError, PlanChangedError: see :func:`check_gates` and :func:`check_plan`.
        """
        check_gates(connection, self.options, now=now)
        check_plan(connection, self.options, self.number)


def check_company(options: DeliveryOptions, company: str) -> None:
    """Raise unless the ERP answers with the company that this workflow is pinned to.

    Raises:
        GateError: with both ids.
    """
    if company != options.company:
        raise GateError(
            f"{options.destination} answers as company {company!r}, this workflow is pinned to {options.company!r}: "
            "correct the address or the pinned company"
        )
