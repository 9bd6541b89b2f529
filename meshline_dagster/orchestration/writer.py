"""The ERP-writer asset: the published outbox enters the ledger, and the ledger is delivered.

It asks the ops store itself whether it may post, since anybody can launch it alone, and it may be killed at any point: what it did is
in the ledger, and the next run goes on from there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import pyarrow.parquet as pq

from meshline_dagster.core.errors import GateError, PausedError, StoreUnavailableError
from meshline_dagster.delivery.approvals import ReplayScope
from meshline_dagster.delivery.engine import DeliveryReport, deliver
from meshline_dagster.delivery.gates import check_verdicts
from meshline_dagster.delivery.loop import run_delivery
from meshline_dagster.delivery.options import DeliveryOptions
from meshline_dagster.delivery.plan import PlanReport, outbox_rows, plan
from meshline_dagster.orchestration.connect import connect_writer
from meshline_dagster.orchestration.modes import RunMode, run_mode
from meshline_dagster.orchestration.resources import MeshlineResource
from meshline_dagster.orchestration.settings import SyncSettings
from meshline_dagster.store.builds import Replay, replay_of
from meshline_dagster.store.ledger_reports import ledger_summary
from meshline_dagster.warehouse.publish import published

__all__ = ["drain_options", "plan_published", "postings_asset", "postings_key", "replay_scope"]

_BATCH = 5_000
_PATIENCE = 10.0
_STORE_RETRIES = 6
_STORE_SECONDS = 10.0


def postings_key(settings: SyncSettings) -> dg.AssetKey:
    """The asset of the destination's ledger."""
    return dg.AssetKey([settings.destination.name, "postings"])


def postings_asset(settings: SyncSettings) -> dg.AssetsDefinition:
    """Build the writer asset of a sync."""

    @dg.asset(
        key=postings_key(settings),
        deps=[dg.AssetKey(["outbox"])],
        group_name="delivery",
        kinds={settings.destination.type, "http"},
        owners=["team:integrations"],
        tags={"meshline/layer": "delivery"},
        description=(
            "Plans the outbox into the posting ledger and delivers what is open, exactly once in effect and in sequence for each "
            "order. Refuses while a table's verdict stands failed or the sync is paused."
        ),
    )
    def _postings(context: dg.AssetExecutionContext, meshline: MeshlineResource) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster does not know the parameterised form
        try:
            return _deliver(context, settings, meshline)
        except StoreUnavailableError as error:
            context.log.warning("%s The step goes on when the database is back.", error)
            raise dg.RetryRequested(_STORE_RETRIES, _STORE_SECONDS) from error
        except GateError as error:
            raise dg.Failure(str(error), allow_retries=False) from error

    return _postings


def _deliver(
    context: dg.AssetExecutionContext, settings: SyncSettings, meshline: MeshlineResource
) -> dg.MaterializeResult:  # type: ignore[type-arg]  # as above
    store, options = meshline.store(), settings.delivery()
    with store.read() as connection:
        check_verdicts(connection)
    if run_mode(context) is RunMode.DRAIN:
        planned, options = PlanReport(), drain_options(options)
    else:
        planned = plan_published(settings, meshline, actor=context.run.run_id)
    try:
        report = run_delivery(deliver(store, connect_writer(settings), options, actor=context.run.run_id))
    except PausedError as pause:
        context.log.warning("%s; what is open waits", pause)
        return dg.MaterializeResult(metadata={"paused": True} | _metadata(settings, meshline, planned, None))
    if report.outage:
        context.log.warning("%s does not answer: what is open stays queued", settings.destination.name)
    return dg.MaterializeResult(metadata=_metadata(settings, meshline, planned, report))


def drain_options(options: DeliveryOptions) -> DeliveryOptions:
    """How a drain delivers: so many postings at most, and without long waits, since the sensor comes again."""
    return replace(options, at_most=_BATCH, patience=_PATIENCE)


def plan_published(settings: SyncSettings, meshline: MeshlineResource, *, actor: str) -> PlanReport:
    """Bring the ledger in step with the newest publication. Nothing published yet plans nothing."""
    current = published(meshline.published_path)
    if current is None:
        return PlanReport()
    touched = pq.read_table(current.path("touched")).to_pylist()
    with meshline.store().read() as connection:
        replay = replay_of(connection, current.build_id)
    return plan(
        meshline.store(),
        outbox_rows(pq.read_table(current.path("outbox"))),
        touched=[row["entity_key"] for row in touched],
        scope=replay_scope(replay, touched),
        options=settings.delivery(),
        build_id=current.build_id,
        actor=actor,
        now=datetime.now(UTC),
    )


def replay_scope(replay: Replay | None, touched: Sequence[Mapping[str, Any]]) -> ReplayScope | None:
    """What of a build's entities only a replay touches; None for a build that covers none.

    Args:
        touched: the published rows; a publication of an older version does not say ``by_replay``.
    """
    if replay is None:
        return None
    return ReplayScope(replay, frozenset(row["entity_key"] for row in touched if row.get("by_replay")))


def _metadata(
    settings: SyncSettings, meshline: MeshlineResource, planned: PlanReport, report: DeliveryReport | None
) -> dict[str, Any]:
    with meshline.store().read() as connection:
        summary = ledger_summary(connection, settings.destination.name)
    metadata: dict[str, Any] = {"mode": settings.mode.value}
    metadata |= {f"plan/{name}": count for name, count in asdict(planned).items() if count}
    for row in summary:  # one row for each currency
        name = f"ledger/{row['document_kind']}/{row['state']}"
        metadata[name] = metadata.get(name, 0) + row["count"]
    if report is None:
        return metadata
    metadata |= {f"delivered/{name}": count for name, count in sorted(report.outcomes.items())}
    return metadata | {
        "requests": report.requests,
        "look-ups": report.lookups,
        "commits": report.commits,
        "waiting": report.waiting,
        "outage": report.outage,
        "backlog waiting for release": report.backlog,
        "waiting for approval": report.unapproved,
    }
