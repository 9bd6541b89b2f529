"""Dagster's event log in local files, which writes events that come together in one transaction.

A backfill over ten years of days announces each day of each raw asset, and says later that it is done. One by one, as Dagster's own class
writes them, that takes longer than everything else such a run does. Dagster hands events over in groups where the environment sets
``DAGSTER_EVENT_BATCH_SIZE``.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import dagster as dg
from dagster._core.events import ASSET_EVENTS
from dagster._core.storage.event_log import SqlEventLogStorageTable, SqliteEventLogStorage
from dagster._serdes import ConfigurableClassData

from meshline_dagster.core.errors import ConfigError

__all__ = ["LocalEventLogStorage"]

_EVENTS = SqlEventLogStorageTable
_WITH_IDS = _EVENTS.insert().returning(_EVENTS.c.id, sort_by_parameter_order=True)


class LocalEventLogStorage(SqliteEventLogStorage):
    """The files of Dagster's default event log, below ``DAGSTER_HOME``. Named in ``dagster.yaml`` as ``event_log_storage``."""

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """Nothing to configure."""
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> Self:  # noqa: ARG003 - Dagster passes it
        """Made by Dagster from ``dagster.yaml``. Raises ``ConfigError`` where ``DAGSTER_HOME`` is not set."""
        if "DAGSTER_HOME" not in os.environ:
            raise ConfigError("DAGSTER_HOME is not set: the event log is kept in files below it")
        return cls(str(Path(os.environ["DAGSTER_HOME"]) / "history" / "runs"), inst_data=inst_data)

    def store_event_batch(self, events: Sequence[dg.EventLogEntry]) -> None:
        """Store events of one run; those of assets in two transactions, one in the run's file and one in the index."""
        of_assets = [event for event in events if event.dagster_event_type in ASSET_EVENTS]
        if of_assets:
            self._store_of_assets(of_assets)
        for event in events:
            if event.dagster_event_type not in ASSET_EVENTS:
                self.store_event(event)

    def _store_of_assets(self, events: Sequence[dg.EventLogEntry]) -> None:
        """The index first: where that cannot be written, nothing is, and Dagster stores them one by one."""
        rows = [self._event_to_row(event) for event in events]
        last = {event.get_dagster_event().asset_key: place for place, event in enumerate(events)}
        with self.index_transaction() as connection:
            ids = list(connection.execute(_WITH_IDS, rows).scalars())
            self._store_asset_event_tags(connection, events, ids)
            for place in last.values():
                self._store_asset_event(connection, events[place], ids[place])
        with self.run_connection(events[0].run_id) as connection:
            connection.execute(_EVENTS.insert(), rows)
