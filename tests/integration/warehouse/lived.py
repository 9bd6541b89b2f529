"""A warehouse that lives from build to build, and the same one built at once: what a directed test looks at."""

from pathlib import Path
from typing import Any

from meshline_dagster.warehouse.records import BuildMode
from tests.integration.warehouse.landed import Project, Row
from tests.integration.warehouse.recorded import MemoryWarehouse

__all__ = ["Lived"]

_MARTS = ("marts.canonical_events", "marts.event_dispositions", "marts.outbox", "marts.fct_exceptions")


class Lived:
    """One project over time."""

    def __init__(self, folder: Path, **project: Any) -> None:
        self.project = Project(folder, **project)
        self._warehouse = MemoryWarehouse()

    def build(self, *rows: Row, mode: BuildMode = BuildMode.INCREMENTAL, **spec: Any) -> None:
        """Land rows, build, and move the cursor; then compare with one full build over everything."""
        self.project.land(rows)
        self._warehouse.build(self.project.spec(mode, **spec))
        self.project.planned()
        at_once = MemoryWarehouse()
        at_once.build(self.project.spec(BuildMode.FULL, as_of=spec.get("as_of")))
        for mart in _MARTS:
            assert self._warehouse.rows(mart) == at_once.rows(mart), mart
        at_once.close()

    def break_off(self, *rows: Row, stop_at: float, **spec: Any) -> None:
        """Land rows, and begin a build that breaks off after this share of its models."""
        self.project.land(rows)
        self._warehouse.build(self.project.spec(**spec), stop_at=stop_at)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """What a query finds."""
        return self._warehouse.connection.execute(sql).fetchall()

    @property
    def touched(self) -> list[str]:
        """The entities that the last build recomputed."""
        return [key for (key,) in self.query("SELECT entity_key FROM intermediate.int_touched_entities ORDER BY ALL")]

    @property
    def dispositions(self) -> list[tuple[str, int, str, list[str]]]:
        """Deal, position, disposition and reasons of every event."""
        return self.query(
            "SELECT split_part(entity_key, '/', 3), position, disposition, list_transform(reasons, lambda one: one.code)"
            " FROM marts.event_dispositions ORDER BY ALL"
        )

    @property
    def outbox(self) -> list[tuple[str, str, str]]:
        """Entity, operation and JSON of every row."""
        return self.query("SELECT entity_key, operation, payload FROM marts.outbox ORDER BY entity_key, position")

    @property
    def exceptions(self) -> list[tuple[str, str]]:
        """Deal and main reason of every exception."""
        return self.query("SELECT split_part(entity_key, '/', 3), code FROM marts.fct_exceptions ORDER BY ALL")
