"""The drain: a run of the writer alone when postings are due that no poll brings about.

Retries whose time has come, unknown outcomes to settle, what waited for a pause, a freeze or a release, and a destination that may be
probed after an outage. The run takes a bounded batch; the next tick asks again.
"""

from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg
from sqlalchemy import Connection

from meshline_dagster.core.breaker import BreakerState, may_probe
from meshline_dagster.core.errors import GateError
from meshline_dagster.delivery.backlog import waiting_backlog
from meshline_dagster.delivery.gates import check_gates, pauses_now
from meshline_dagster.delivery.options import DeliveryOptions, Mode
from meshline_dagster.orchestration.modes import RunMode
from meshline_dagster.orchestration.resources import MeshlineResource
from meshline_dagster.orchestration.settings import SyncSettings
from meshline_dagster.orchestration.turns import why_wait
from meshline_dagster.store.approvals import unapproved
from meshline_dagster.store.backlogs import released_through, unreleased
from meshline_dagster.store.billing import is_any_ripe, ripe_entities
from meshline_dagster.store.breakers import breaker_of
from meshline_dagster.store.duplicates import reversed_soon
from meshline_dagster.store.engine import Store
from meshline_dagster.store.pauses import held
from meshline_dagster.store.postings import due_postings, is_any_due
from meshline_dagster.store.rates import not_before

__all__ = ["drain_sensor", "why_drain"]


def drain_sensor(settings: SyncSettings) -> dg.SensorDefinition:
    """Build the sensor."""

    @dg.sensor(
        name=f"{settings.name}_drain",
        job_name=f"{settings.name}_drain",
        minimum_interval_seconds=settings.poll_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Asks the ledger whether postings are due, and requests a run of the writer alone, one at a time.",
    )
    def _sensor(
        context: dg.SensorEvaluationContext, meshline: MeshlineResource
    ) -> Iterator[dg.RunRequest | dg.SkipReason]:
        wait = why_wait(context.instance, settings, RunMode.DRAIN)
        if wait is not None:
            yield dg.SkipReason(wait)
            return
        due, reason = why_drain(meshline.store(), settings.delivery(), now=datetime.now(UTC))
        if not due:
            yield dg.SkipReason(reason)
            return
        context.update_cursor(reason)
        yield dg.RunRequest(tags={"meshline/reason": reason})

    return _sensor


def why_drain(store: Store, options: DeliveryOptions, *, now: datetime) -> tuple[bool, str]:
    """Whether a run of the writer has something to do, and what, or why not. An idle ledger costs one look into an index."""
    if options.mode is not Mode.LIVE:
        return False, "the sync is not live"
    with store.read() as connection:
        breaker = breaker_of(connection, options.destination)
        if breaker.state is not BreakerState.CLOSED:
            probe = may_probe(breaker, now=now)
            return probe, "the destination may be probed" if probe else "the destination is given up for now"
        until = not_before(connection, options.destination)
        if until is not None and now < until:
            return False, f"the destination asked to be left alone until {until:%H:%M:%S} UTC"
        billing = options.billing
        ripe = billing is not None and is_any_ripe(connection, options.destination, today=billing.day(now))
        if not ripe and not is_any_due(connection, options.destination, now=now):
            return False, "nothing is due"
        try:
            check_gates(connection, options, now=now)
        except GateError as error:
            return False, str(error)
        return _what_is_due(connection, options, now=now)


def _what_is_due(connection: Connection, options: DeliveryOptions, *, now: datetime) -> tuple[bool, str]:
    to, shards = options.destination, range(options.shards)
    billing = options.billing
    if billing is not None and ripe_entities(connection, to, shards, today=billing.day(now), limit=1):
        return True, "orders are to be invoiced from today on"
    paused = held(pause.scope for pause in pauses_now(connection, options, now=now)) | unapproved() | reversed_soon()
    if waiting_backlog(connection, options) is not None:
        paused |= unreleased(released_through(connection, to))
    due = due_postings(connection, to, shards, now=now, limit=1, held=paused)
    return bool(due), "postings are due" if due else "what is due waits for something else than its time"
