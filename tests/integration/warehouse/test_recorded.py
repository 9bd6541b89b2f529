"""Builds by recorded statements are the builds that dbt makes: the property and the directed tests stand on that."""

import pytest

from meshline_dagster.warehouse.records import BuildMode
from tests.integration.warehouse.landed import Project, account, deal, instant, line, product
from tests.integration.warehouse.recorded import MemoryWarehouse

MARTS = ("canonical_events", "event_dispositions", "outbox", "fct_exceptions")
LANDINGS = [
    [account("A1"), product("P1", "SKU-1"), deal("D1", instant()), line("L1", "D1", instant())],
    [deal("D2", instant(1)), line("L2", "D2", instant(1), ProductCode="SKU1")],
    [line("L1", "D1", instant(5), quantity=4), deal("D1", instant(5), amount=400)],
]


@pytest.mark.parametrize("mode", [BuildMode.INCREMENTAL, BuildMode.FULL])
def test_both_leave_the_same_rows(tmp_path, mode):
    project, memory = Project(tmp_path), MemoryWarehouse()
    for number, rows in enumerate(LANDINGS):
        project.land(rows)
        if number == 2:
            project.map("product", "SKU1", "SKU-1")
        spec = project.spec(mode)
        memory.build(spec)
        project.build_as(spec)
    for mart in MARTS:
        assert project.query(f"FROM marts.{mart} ORDER BY ALL") == memory.rows(f"marts.{mart}")
    memory.close()
