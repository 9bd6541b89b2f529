"""A poller sees only some of the versions; whichever it misses, what an order is in the end is the same."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from meshline_dagster.warehouse.records import BuildMode
from tests.integration.warehouse.landed import Project
from tests.integration.warehouse.recorded import MemoryWarehouse
from tests.properties.test_builds import EXAMPLES, POLICY, thoroughly
from tests.properties.worlds import World, worlds

pytestmark = pytest.mark.timeout(600 if EXAMPLES <= 100 else 0)

_MASTERS = ("salesforce__product2", "salesforce__account")
_NEWEST = """
    SELECT entity_key, status, digest, disposition
    FROM marts.canonical_events INNER JOIN marts.event_dispositions USING (entity_key, position)
    QUALIFY row_number() OVER (PARTITION BY entity_key ORDER BY position DESC) = 1
"""


def _age(row):
    view, values = row
    return values["_stamp"], view.endswith("deletes"), values["_observed_at"], values["_hash"]


def _lasting(world: World) -> set[int]:
    """Places of the rows that nobody misses: the last version of each record, every deletion, and the masters."""
    last: dict[tuple[str, str], int] = {}
    for place, row in enumerate(world):
        record = row[0], row[1]["_id"]
        if record not in last or _age(world[last[record]]) < _age(row):
            last[record] = place
    always = {place for place, row in enumerate(world) if row[0] in _MASTERS or row[0].endswith("deletes")}
    return always | set(last.values())


def _newest(world: World, folder: Path):
    project, warehouse = Project(folder, policy=POLICY), MemoryWarehouse()
    project.land(world)
    warehouse.build(project.spec(BuildMode.FULL))
    rows = warehouse.connection.execute(_NEWEST).fetchall()
    warehouse.close()
    return {key: rest for key, *rest in rows}


@settings(thoroughly, max_examples=EXAMPLES // 2)
@given(worlds, st.randoms(use_true_random=False))
def test_an_open_order_ends_as_it_is_whichever_earlier_versions_were_missed(world, chance):
    lasting = _lasting(world)
    seen = [row for place, row in enumerate(world) if place in lasting or chance.random() < 0.5]
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        whole, part = _newest(world, Path(one)), _newest(seen, Path(other))
    note(f"{len(seen)} of {len(world)} versions seen\n{whole}\n{part}")
    for key, (status, digest, _) in whole.items():
        if status == "open":
            assert part[key][:2] == ["open", digest]
        elif key in part and part[key][0] == "open":
            assert part[key][2] != "post"
    assert set(part) <= set(whole)
