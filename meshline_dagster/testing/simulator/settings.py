"""How a schedule's deliveries are configured: its options, as a workflow would have them."""

from collections.abc import Callable
from datetime import datetime

from meshline_dagster.core.pauses import Freeze
from meshline_dagster.core.reversals import NO_REVERSAL_LIMITS
from meshline_dagster.delivery.options import DeliveryOptions, MissingMaster, Mode
from meshline_dagster.testing.simulator.schedule import Schedule

__all__ = ["DESTINATION", "options_of"]

DESTINATION = "simulated"


def options_of(
    schedule: Schedule, mode: Mode, *, patience: float, now: float, instant: Callable[[float], datetime]
) -> DeliveryOptions:
    """The options of a delivery that starts now.

    Args:
        now: in virtual seconds. instant: the wall clock's time of a virtual second.
    """
    operations, masters, troubled = schedule.operations, schedule.masters, now < schedule.until
    return DeliveryOptions(
        coalesce=operations.coalesce,
        rate_per_second=operations.rate,
        burst=operations.burst,
        backlog=operations.backlog,
        reversals=operations.reversals if troubled else NO_REVERSAL_LIMITS,
        at_most=operations.at_most if troubled else None,
        freezes=tuple(
            Freeze(instant(hold.start), instant(hold.end), hold.selling_entity) for hold in operations.freezes
        ),
        destination=DESTINATION,
        company="1",
        mode=mode,
        sandbox=True,
        billing=None if schedule.billing is None else schedule.billing.policy,
        shards=schedule.shards,
        max_attempts=schedule.max_attempts,
        patience=patience,
        missing_item=MissingMaster.CREATE if masters is not None and masters.items else None,
        missing_address=MissingMaster.CREATE if masters is not None and masters.addresses else None,
        missing_customer=MissingMaster.EXCEPTION if schedule.matches_only else MissingMaster.CREATE,
    )
