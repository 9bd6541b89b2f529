"""What a replay would send, without asking for it: the build is made in a copy of the warehouse, and only compared with the ledger.

No store is written, no CRM and no ERP is called. The copy goes when the answer is there.
"""

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.parquet as pq
from sqlalchemy import Connection

from meshline_dagster.core.approvals import Write, digest, totals
from meshline_dagster.core.errors import PermanentError
from meshline_dagster.core.identity import posting_key
from meshline_dagster.core.ledger import PostingState
from meshline_dagster.core.postings import RESTATED, EntityPlan, NewPosting
from meshline_dagster.delivery.approvals import ReplayScope, standing_amounts, writes_of
from meshline_dagster.delivery.options import DeliveryOptions
from meshline_dagster.delivery.plan import entity_plans, outbox_rows
from meshline_dagster.orchestration.connect import FeedSpec
from meshline_dagster.orchestration.derive import LOCK_WAIT, WAREHOUSE_POOL
from meshline_dagster.orchestration.manifest import dbt_target_path
from meshline_dagster.orchestration.resources import MeshlineResource
from meshline_dagster.orchestration.settings import SyncSettings
from meshline_dagster.orchestration.sources import build_spec
from meshline_dagster.orchestration.writer import replay_scope
from meshline_dagster.store.builds import Replay, next_build
from meshline_dagster.store.postings import last_posted, postings_of
from meshline_dagster.warehouse.build import DERIVE, prepare, publish_derived
from meshline_dagster.warehouse.connection import held_warehouse, open_warehouse
from meshline_dagster.warehouse.dbt import run_dbt
from meshline_dagster.warehouse.publish import Published

__all__ = ["Preview", "preview_job", "preview_replay"]


@dataclass(frozen=True, slots=True)
class Preview:
    """What a replay would do now.

    Attributes:
        entities: how many orders and customers nothing but the replay would touch.
        replayed: what would wait for one approval, under ``digest``.
        restated: amendments that would each wait for an approval of their own.
        others: writes that the next build plans in any case.
        superseded: planned writes that would not be sent any more.
        money: of ``replayed`` and ``restated``: what stands in the ERP, and would stand there.
    """

    first: date
    last: date
    entities: int
    replayed: Sequence[Write]
    restated: Sequence[Write]
    others: int
    superseded: int
    money: Mapping[str, Mapping[str, Any]]

    def as_json(self) -> dict[str, Any]:
        """Plain values. ``digest`` is null when the replay would plan nothing."""
        counts: dict[str, int] = {}
        for one in self.replayed:
            counts[one.operation] = counts.get(one.operation, 0) + 1
        return {
            "from": self.first.isoformat(),
            "to": self.last.isoformat(),
            "entities": self.entities,
            "writes": len(self.replayed),
            "operations": dict(sorted(counts.items())),
            "digest": digest(self.replayed) if self.replayed else None,
            "restatements": {one.entity_key: digest([one]) for one in self.restated},
            "others": self.others,
            "superseded": self.superseded,
            "money": self.money,
        }


class _PreviewConfig(dg.Config):
    """``first_day`` and ``last_day`` as ISO dates; ``entities`` limits the replay, an empty list does not."""

    first_day: str
    last_day: str
    entities: list[str]


def preview_job(settings: SyncSettings, feeds: Sequence[FeedSpec]) -> dg.JobDefinition:
    """The job ``<name>_replay_preview``; its only op returns the preview as plain values."""

    @dg.op(name=f"{settings.name}_preview", pool=WAREHOUSE_POOL)
    def _preview(context: dg.OpExecutionContext, config: _PreviewConfig, meshline: MeshlineResource) -> dict[str, Any]:
        days = (date.fromisoformat(config.first_day), date.fromisoformat(config.last_day))
        found = preview_replay(settings, feeds, meshline, days, entities=config.entities).as_json()
        context.log.info("the replay would send: %s", found)
        return found

    @dg.job(
        name=f"{settings.name}_replay_preview",
        description="What a replay of some change days would send, and its digest. It writes nothing and calls nobody.",
    )
    def _job() -> None:
        _preview()

    return _job


def preview_replay(
    settings: SyncSettings,
    feeds: Sequence[FeedSpec],
    meshline: MeshlineResource,
    days: tuple[date, date],
    *,
    entities: Sequence[str] = (),
) -> Preview:
    """Make the build of a replay in a copy of the warehouse, and compare its outbox with the ledger.

    Args:
        days: first and last change day.
        entities: the entity keys that the replay is limited to; none: all that changed on these days.

    Raises:
        PermanentError: nothing was derived yet, or dbt failed.
    """
    limit = frozenset(entities) or None
    replay = Replay(days[0], days[1], (), limit)
    source = meshline.warehouse_path
    if not source.exists():
        raise PermanentError(f"there is no warehouse at {source}: run the sync once before anything is replayed")
    with tempfile.TemporaryDirectory(prefix="preview-", dir=source.parent) as folder:
        copy = Path(folder, source.name)
        with held_warehouse(source, timeout=LOCK_WAIT):
            for file in source.parent.glob(f"{source.name}*"):
                if file.suffix != ".lock":  # the file, and the log of what a crash kept from it
                    shutil.copyfile(file, copy.with_name(file.name))
        published = _build(settings, feeds, meshline, copy, days)
        rows = outbox_rows(pq.read_table(published.path("outbox")))
        touched = pq.read_table(published.path("touched")).to_pylist()
    scope = replay_scope(replay, touched)
    assert scope is not None
    with meshline.store().read() as connection:
        keys = [row["entity_key"] for row in touched]
        options = settings.delivery()
        return _compared(connection, options, entity_plans(connection, rows, keys, options, scope), scope)


def _build(
    settings: SyncSettings, feeds: Sequence[FeedSpec], meshline: MeshlineResource, copy: Path, days: tuple[date, date]
) -> Published:
    zone = meshline.zone()
    with open_warehouse(copy, filesystem=zone.filesystem) as connection:
        with meshline.store().read() as ops:
            build = next_build(ops, number=0, as_of=datetime.now(UTC), days=days)
            spec = build_spec(
                ops, zone, build, feeds=feeds, destination=settings.destination.name, policy=settings.policy_of_rules()
            )
        prepared = prepare(connection, spec)
        arguments = prepared.dbt_args(DERIVE)
        run_dbt(arguments, warehouse=copy, target_path=dbt_target_path()).raise_for_failure()
        return publish_derived(connection, prepared, copy.parent / "published")


def _compared(
    connection: Connection, options: DeliveryOptions, plans: Sequence[EntityPlan], scope: ReplayScope
) -> Preview:
    fresh = [new for one in plans for new in one.insert if new.state is not PostingState.SUPERSEDED]
    fresh.sort(key=lambda new: (new.row.event_time, new.row.event_id))
    restated = [_write(new, options) for new in fresh if new.cause == RESTATED]
    planned = [_write(new, options) for new in fresh if new.cause != RESTATED]
    planned += writes_of(postings_of(connection, [posting_id for one in plans for posting_id in one.release]))
    replayed = [one for one in planned if one.entity_key in scope.entities]
    looked_at = [*replayed, *restated]
    before = last_posted(connection, options.destination, sorted({one.entity_key for one in looked_at}))
    money = totals(looked_at, standing_amounts(before))
    return Preview(
        first=scope.replay.first,
        last=scope.replay.last,
        entities=len(scope.entities),
        replayed=replayed,
        restated=restated,
        others=len(planned) - len(replayed),
        superseded=sum(len(one.supersede) for one in plans),
        money={currency: total.as_json() for currency, total in sorted(money.items())},
    )


def _write(new: NewPosting, options: DeliveryOptions) -> Write:
    row = new.row
    return Write(
        key=posting_key(options.destination, row.event_id, new.revision),
        operation=row.operation,
        fingerprint=new.fingerprint,
        external_id=row.external_id,
        entity_key=row.entity_key,
        amount=row.amount,
        currency=row.currency,
    )
