"""Builds by recorded statements are the builds that dbt makes: the property and the directed tests stand on that."""

from decimal import Decimal

import pytest

from meshline_dagster.warehouse.records import BuildMode
from tests.integration.warehouse.landed import Project, account, deal, erp_order, instant, line, product
from tests.integration.warehouse.recorded import MemoryWarehouse, RecordedProject

MARTS = ("canonical_events", "event_dispositions", "outbox", "fct_exceptions")
COMPARED = ("fct_reconciliation", "fct_billing", "rpt_status")
LANDINGS = [
    [account("A1"), product("P1", "SKU-1"), deal("D1", instant()), line("L1", "D1", instant())],
    [deal("D2", instant(1)), line("L2", "D2", instant(1), ProductCode="SKU1")],
    [
        *(line("L1", "D1", instant(5), quantity=4), deal("D1", instant(5), amount=400)),
        erp_order("X", instant(9), external_id="MLO-X", amount=Decimal(17)),
    ],
]


@pytest.mark.parametrize("mode", [BuildMode.INCREMENTAL, BuildMode.FULL])
def test_both_leave_the_same_rows(tmp_path, mode):
    project, recorded, memory = Project(tmp_path / "dbt"), RecordedProject(tmp_path / "recorded"), MemoryWarehouse()
    for number, rows in enumerate(LANDINGS):
        for one in (project, recorded):
            one.land(rows)
            if number == 2:
                one.map("product", "SKU1", "SKU-1")
        spec = project.spec(mode)
        memory.build(spec)
        built, again = project.build_as(spec), recorded.build(mode)
        assert (again.mode, again.why, again.rows) == (built.mode, built.why, built.rows)
    for mart in (*MARTS, *COMPARED):
        found = project.query(f"FROM marts.{mart} ORDER BY ALL")
        assert found == recorded.query(f"FROM marts.{mart} ORDER BY ALL")
        assert mart in COMPARED or found == memory.rows(f"marts.{mart}")
    assert len(project.query("FROM marts.fct_reconciliation")) == 3
    memory.close()
