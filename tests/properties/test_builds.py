"""However changes come in, the warehouse ends with the same rows as when it sees them all at once.

``make test`` tries 14 histories, ``make simulate`` 100; MESHLINE_EXAMPLES says another number.
"""

import os
import tempfile
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, note, settings

from meshline_dagster.warehouse.records import BuildMode, Policy
from tests.integration.warehouse.landed import Project
from tests.integration.warehouse.recorded import MemoryWarehouse
from tests.properties.worlds import History, histories

EXAMPLES = int(os.environ.get("MESHLINE_EXAMPLES", "14"))
POLICY = Policy(lines_limit=timedelta(days=1), customer_limit=timedelta(days=2), items=True, addresses=True)
MARTS = ("marts.canonical_events", "marts.event_dispositions", "marts.outbox", "marts.fct_exceptions")

pytestmark = pytest.mark.timeout(600 if EXAMPLES <= 100 else 0)

thoroughly = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="MESHLINE_EXAMPLES" not in os.environ,
    suppress_health_check=list(HealthCheck),
)


def _rows(warehouse):
    return {mart: warehouse.rows(mart) for mart in MARTS}


def _at_once(folder: Path, history: History):
    """One full build over everything, landed in one go in the order of the world."""
    project = Project(folder / "at once", policy=POLICY)
    project.land(history.world)
    for step in history.steps:
        for decision in step.decisions:
            project.map(*decision)
    warehouse = MemoryWarehouse()
    warehouse.build(project.spec(BuildMode.FULL, as_of=history.as_of))
    try:
        return _rows(warehouse)
    finally:
        warehouse.close()


def _step_by_step(folder: Path, history: History):
    project = Project(folder / "step by step", policy=POLICY)
    warehouse = MemoryWarehouse()
    try:
        for step in history.steps:
            project.land([history.world[place] for place in step.landed])
            for decision in step.decisions:
                project.map(*decision)
            spec = project.spec(step.mode, as_of=step.as_of, replay=step.replay)
            if warehouse.build(spec, stop_at=None if step.ending in {1, None} else step.ending) and step.ending == 1:
                project.planned()
        return _rows(warehouse)
    finally:
        warehouse.close()


@thoroughly
@given(history=histories())
def test_any_sequence_of_builds_leaves_what_one_full_build_leaves(history):
    with tempfile.TemporaryDirectory() as folder:
        expected = _at_once(Path(folder), history)
        found = _step_by_step(Path(folder), history)
    for mart in MARTS:
        note(f"{mart}: {len(expected[mart])} rows")
        assert found[mart] == expected[mart], mart
