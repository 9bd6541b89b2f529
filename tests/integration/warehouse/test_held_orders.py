"""Orders whose newest state is held: published by each build, and kept in the ops store, where billing asks for them."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import select

from meshline_dagster.orchestration import derive
from meshline_dagster.orchestration.findings import held_orders
from meshline_dagster.orchestration.resources import MeshlineResource
from meshline_dagster.store.builds import start_build
from meshline_dagster.store.tables import held_order
from meshline_dagster.warehouse.dbt import DbtResult
from tests.integration.warehouse.landed import account, deal, instant, line, product
from tests.integration.warehouse.recorded import RecordedProject

SOON = instant() + timedelta(minutes=1)


def landed(project):
    """One order that can be posted, one that was and of whose amendment a line is missing, and one that never had its lines."""
    project.land([account("A1"), product("P1", "SKU-1")])
    for one in ("fine", "amended", "late"):
        project.land([deal(one, instant(), amount=300), *([line(f"{one}.1", one, instant())] if one != "late" else [])])
    project.land([deal("amended", instant(0.25), amount=400)])


def test_a_build_says_which_orders_have_a_newest_state_that_waits(tmp_path):
    project = RecordedProject(tmp_path)
    landed(project)
    build = project.build(as_of=SOON)
    assert [key.rsplit("/", 1)[-1] for key in held_orders(build.published)] == ["amended", "late"]
    project.land([line("late.1", "late", instant(0.5)), line("amended.2", "amended", instant(0.5), quantity=1)])
    assert held_orders(project.build(as_of=SOON).published) == []


def test_the_ops_store_knows_what_the_newest_build_says(tmp_path):
    project = RecordedProject(tmp_path)
    landed(project)
    meshline = MeshlineResource(store_url=f"sqlite:///{tmp_path / 'ops.db'}")
    found = []
    for _ in range(2):
        published = project.build(as_of=SOON).published
        with meshline.store().write() as connection:
            build = start_build(connection, run_id="run", as_of=datetime.now(UTC))
        derive._end(meshline, build, DbtResult(success=True), published)
        with meshline.store().read() as connection:
            found.append(sorted(connection.execute(select(held_order.c.entity_key)).scalars()))
        project.land([line("late.1", "late", instant(0.5))])
    assert found == [["crm/opportunity/amended", "crm/opportunity/late"], ["crm/opportunity/amended"]]
