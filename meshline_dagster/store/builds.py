"""Builds of the warehouse and the cursor between them.

The next build starts where the last *planned* build ended: a build whose outbox delivery never took over is covered again.
"""

from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import Connection, insert, select, update

from meshline_dagster.store.counters import next_values
from meshline_dagster.store.manifest import landing_seq
from meshline_dagster.store.mappings import mapping_seq
from meshline_dagster.store.tables import build

__all__ = ["Build", "finish_build", "last_build", "last_planned", "mark_planned", "start_build"]


@dataclass(frozen=True, slots=True)
class Build:
    """What one build covers: landing files and mappings in ``(from, to]``, seen as of an instant.

    ``after`` is the planned build that it starts from; None for the first.
    """

    id: str
    number: int
    after: str | None
    mode: str
    status: str
    as_of: datetime
    landing_from: int
    landing_to: int
    mapping_from: int
    mapping_to: int
    replay_from: date | None
    replay_to: date | None
    planned_at: datetime | None


_COLUMNS = [build.c[name] for name in Build.__dataclass_fields__]


def start_build(
    connection: Connection, *, run_id: str, as_of: datetime, replay: tuple[date, date] | None, full: bool = False
) -> Build:
    """Open a build from the last planned one up to everything committed now."""
    (number,) = next_values(connection, "build")
    since = last_planned(connection)
    first = since is None
    mode = "full" if full or first else "incremental" if replay is None else "replay"
    row = Build(
        id=f"b{number:08d}",
        number=number,
        after=None if since is None else since.id,
        mode=mode,
        status="running",
        as_of=as_of,
        landing_from=0 if since is None else since.landing_to,
        landing_to=landing_seq(connection),
        mapping_from=0 if since is None else since.mapping_to,
        mapping_to=mapping_seq(connection),
        replay_from=replay[0] if replay else None,
        replay_to=replay[1] if replay else None,
        planned_at=None,
    )
    values = {name: getattr(row, name) for name in Build.__dataclass_fields__}
    connection.execute(insert(build).values(**values, run_id=run_id, started_at=as_of))
    return row


def finish_build(connection: Connection, build_id: str, *, succeeded: bool, now: datetime) -> None:
    """Close a build."""
    status = "succeeded" if succeeded else "failed"
    connection.execute(update(build).where(build.c.id == build_id).values(status=status, ended_at=now))


def mark_planned(connection: Connection, build_id: str, *, now: datetime) -> None:
    """Delivery has every outbox row of this build in its ledger: the next build may start from here."""
    connection.execute(
        update(build)
        .where(build.c.id == build_id, build.c.status == "succeeded", build.c.planned_at.is_(None))
        .values(planned_at=now)
    )


def last_planned(connection: Connection) -> Build | None:
    """The build that the next one starts from; None before the first."""
    query = select(*_COLUMNS).where(build.c.planned_at.is_not(None)).order_by(build.c.number.desc()).limit(1)
    row = connection.execute(query).one_or_none()
    return None if row is None else Build(*row)


def last_build(connection: Connection, *, status: str | None = "succeeded") -> Build | None:
    """The newest build, by default the newest that succeeded."""
    query = select(*_COLUMNS).order_by(build.c.number.desc()).limit(1)
    if status is not None:
        query = query.where(build.c.status == status)
    row = connection.execute(query).one_or_none()
    return None if row is None else Build(*row)
