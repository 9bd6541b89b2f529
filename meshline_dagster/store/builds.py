"""Builds of the warehouse and the cursor between them.

The next build starts where the last *planned* build ended: a build whose outbox delivery never took over is covered again.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import Connection, func, insert, select, update

from meshline_dagster.store.counters import next_values
from meshline_dagster.store.manifest import landing_seq
from meshline_dagster.store.mappings import mapping_seq
from meshline_dagster.store.tables import build, replay_request

__all__ = [
    "Build",
    "Replay",
    "finish_build",
    "last_build",
    "last_planned",
    "mark_planned",
    "next_build",
    "replay_of",
    "replay_wanted",
    "request_replay",
    "start_build",
]


@dataclass(frozen=True, slots=True)
class Build:
    """What one build covers: landing files and mappings in ``(from, to]``, and the range of the replays asked for since, seen as of
    an instant.

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
    request_to: int
    replay_from: date | None
    replay_to: date | None
    planned_at: datetime | None


@dataclass(frozen=True, slots=True)
class Replay:
    """The replays that one build covers.

    Attributes:
        requested_by: who asked for them: ``cli:<user>``, or ``run:<id>`` where only a Dagster run is known.
        entities: what delivery may plan anew because of them; None: every entity in the range.
    """

    first: date
    last: date
    requested_by: tuple[str, ...]
    entities: frozenset[str] | None


_COLUMNS = [build.c[name] for name in Build.__dataclass_fields__]


def start_build(connection: Connection, *, run_id: str, as_of: datetime, full: bool = False) -> Build:
    """Open a build from the last planned one up to everything committed now."""
    (number,) = next_values(connection, "build")
    row = next_build(connection, number=number, as_of=as_of, full=full)
    values = {name: getattr(row, name) for name in Build.__dataclass_fields__}
    connection.execute(insert(build).values(**values, run_id=run_id, started_at=as_of))
    return row


def next_build(
    connection: Connection, *, number: int, as_of: datetime, full: bool = False, days: tuple[date, date] | None = None
) -> Build:
    """What the next build would cover if it were opened now; nothing is written.

    Args:
        days: first and last change day of a replay to be covered instead of those asked for.
    """
    since = last_planned(connection)
    first = since is None
    request_to, replay = _requested(connection, 0 if since is None else since.request_to)
    replay = days or replay
    mode = "full" if full or first else "incremental" if replay is None else "replay"
    return Build(
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
        request_to=request_to,
        replay_from=replay[0] if replay else None,
        replay_to=replay[1] if replay else None,
        planned_at=None,
    )


def request_replay(
    connection: Connection,
    first: date,
    last: date,
    *,
    run_id: str,
    now: datetime,
    requested_by: str | None = None,
    entities: Sequence[str] | None = None,
) -> None:
    """Ask the next build to recompute what changed on these days. It stays asked for until such a build has been planned.

    The assets of one run ask for the same range; it counts once.

    Args:
        requested_by: who asked; None: nobody but the run is known.
        entities: the entities that delivery may plan anew because of it; None: all.
    """
    table = replay_request
    known = select(table.c.seq).where(table.c.run_id == run_id, table.c.first_day == first, table.c.last_day == last)
    (seq,) = next_values(connection, "replay")
    if connection.execute(known).first() is None:
        limit = None if entities is None else json.dumps(sorted(entities))
        values = {"first_day": first, "last_day": last, "run_id": run_id, "requested_at": now}
        values |= {"requested_by": requested_by, "entities": limit}
        connection.execute(insert(table).values(seq=seq, **values))


def replay_wanted(connection: Connection) -> bool:
    """Whether a replay was asked for that no planned build has covered."""
    planned = last_planned(connection)
    return _requested(connection, 0 if planned is None else planned.request_to)[1] is not None


def replay_of(connection: Connection, build_id: str) -> Replay | None:
    """What a build covers of replays that were asked for; None when it covers none, when the ledger has taken it over already, and for
    the first build, which is no replay.
    """
    covered = connection.execute(select(*_COLUMNS).where(build.c.id == build_id)).one_or_none()
    if covered is None or covered.replay_from is None or covered.after is None or covered.planned_at is not None:
        return None
    since = connection.execute(select(build.c.request_to).where(build.c.id == covered.after)).scalar_one()
    table = replay_request
    asked = connection.execute(
        select(table.c.run_id, table.c.requested_by, table.c.entities)
        .where(table.c.seq > since, table.c.seq <= covered.request_to)
        .order_by(table.c.seq)
    ).all()
    names = dict.fromkeys(row.requested_by or f"run:{row.run_id}" for row in asked)
    unlimited = any(row.entities is None for row in asked)
    entities = None if unlimited else frozenset(key for row in asked for key in json.loads(row.entities))
    return Replay(covered.replay_from, covered.replay_to, tuple(names), entities)


def _requested(connection: Connection, after: int) -> tuple[int, tuple[date, date] | None]:
    """The last request's number, and the days from the first to the last that any request since ``after`` names."""
    table = replay_request
    query = select(func.max(table.c.seq), func.min(table.c.first_day), func.max(table.c.last_day)).where(
        table.c.seq > after
    )
    last, first_day, last_day = connection.execute(query).one()
    return (after, None) if last is None else (last, (first_day, last_day))


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
