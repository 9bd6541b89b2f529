"""What was planned in shadow is posted when the workflow goes live, also what no build touches any more."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import event

from meshline_dagster.core.backlog import BacklogLimits
from meshline_dagster.core.documents import DocumentKind
from meshline_dagster.delivery.options import Mode
from meshline_dagster.delivery.plan import plan
from meshline_dagster.orchestration.poll_sensor import reasons_to_run
from meshline_dagster.orchestration.resources import MeshlineResource
from meshline_dagster.store.shadowed import is_any_releasable, releasable
from meshline_dagster.testing.memory_erp import MemoryErp, MemoryWriter
from tests.integration.test_delivery_engine import OPTIONS, customer, order, plan_rows, run, states

SHADOW = replace(OPTIONS, mode=Mode.SHADOW)
CUTOVER = replace(OPTIONS, effective_from=date(2017, 4, 1))  # the day on which the orders of these tests are booked


def plan_nothing(ops, options=OPTIONS):
    """A plan of a build that touched no entity."""
    return plan(ops, [], touched=[], options=options, build_id=None, actor="test", now=datetime.now(UTC))


def booked_before(number):
    return replace(order(number), document_date=date(2017, 3, 31))


def test_going_live_releases_all_that_was_shadowed_whatever_the_build_touched(ops):
    rows = [customer(), order(1), order(1, version=2, amount="20"), order(2)]
    plan_rows(ops, rows, SHADOW)
    assert plan_nothing(ops, SHADOW).released == 0
    assert plan_rows(ops, [order(3)]).released == 4
    assert plan_nothing(ops).released == 0
    erp = MemoryErp()
    assert run(ops, MemoryWriter(erp)).outcomes == {"created": 4, "updated": 1}
    assert states(ops) == {"posted": 5}


def test_a_shadowed_state_of_an_order_whose_newer_state_is_posted_is_not_released(ops):
    plan_rows(ops, [customer(), order(1, version=2)])
    run(ops, MemoryWriter(MemoryErp()))
    plan_rows(ops, [customer(), order(2)], SHADOW)
    with ops.write() as connection:  # such a row can come only from an older version of planning
        older = order(1).event_time.astimezone(UTC) - timedelta(days=9)
        columns = "destination, entity_key, document_kind, revision, external_id, operation, depends_on, shard, payload, fingerprint"
        rest = "amount, currency, document_date, attempts, cause, created_at, updated_at"
        connection.exec_driver_sql(
            f"insert into posting ({columns}, {rest}, event_id, key, event_time, state) select {columns}, {rest}, 'old', 'old', "
            f"'{older:%Y-%m-%d %H:%M:%S.%f}', 'shadowed' from posting where event_id = '{order(1, version=2).event_id}'"
        )
    made = plan_nothing(ops)
    assert (made.released, made.superseded) == (1, 1)


def test_what_was_booked_before_the_cutover_is_not_released_nor_are_customers_that_only_it_names(ops):
    other = replace(customer(), entity_key="crm/account/2", event_id="d" * 64, external_id="MLC-2")
    old = replace(booked_before(1), depends_on=(other.entity_key,))
    plan_rows(ops, [customer(), other, old, order(2)], SHADOW)
    assert plan_nothing(ops, CUTOVER).released == 2
    assert plan_nothing(ops, CUTOVER).released == 0
    erp = MemoryErp()
    assert run(ops, MemoryWriter(erp), CUTOVER).outcomes == {"created": 2}
    assert states(ops) == {"posted": 2, "shadowed": 2}
    assert [one.external_id for one in erp.documents[DocumentKind.CUSTOMER]] == [customer().external_id]


def test_a_customer_is_released_for_an_order_that_is_planned_live(ops):
    plan_rows(ops, [customer(), booked_before(1)], SHADOW)
    assert plan_nothing(ops, CUTOVER).released == 0
    made = plan_rows(ops, [order(2)], CUTOVER)
    assert (made.planned, made.released) == (1, 1)
    assert run(ops, MemoryWriter(MemoryErp()), CUTOVER).outcomes == {"created": 2}


def test_a_publication_from_before_the_cutover_was_set_plans_nothing_that_it_excludes(ops):
    plan_rows(ops, [customer(), booked_before(1)], SHADOW)
    made = plan_rows(ops, [booked_before(1), booked_before(2)], CUTOVER)
    assert (made.planned, made.released, made.superseded) == (0, 0, 1)


def test_a_large_release_waits_for_an_operator(ops):
    plan_rows(ops, [customer(), *(order(number) for number in range(5))], SHADOW)
    limited = replace(OPTIONS, backlog=BacklogLimits(count=3), patience=0.0)
    assert plan_nothing(ops, limited).released == 6
    assert run(ops, MemoryWriter(MemoryErp()), limited).backlog == 6
    assert states(ops) == {"planned": 6}


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("effective_from", [None, date(2026, 1, 1)])
def test_where_nothing_is_shadowed_looking_for_it_reads_no_posting(ops, effective_from):
    asked = []
    with ops.read() as connection:
        event.listen(connection, "before_cursor_execute", lambda *call: asked.append(call[2:4]))
        assert releasable(connection, "memory", effective_from=effective_from) == {}
        assert not is_any_releasable(connection, "memory", effective_from=effective_from)
        for statement, parameters in asked[:2]:
            plan_of = connection.exec_driver_sql("EXPLAIN QUERY PLAN " + statement, parameters).all()
            steps = [row[-1] for row in plan_of if "posting" in row[-1]]
            assert steps[0].endswith("INDEX ix_posting_destination_state (destination=? AND state=?)")
            assert not [step for step in steps if step.startswith("SCAN")]


def test_the_sensor_wants_a_run_for_what_was_shadowed_once_the_workflow_is_live(ops, store_url):
    meshline = MeshlineResource(store_url=store_url)
    plan_rows(ops, [customer(), order(1)], SHADOW)
    assert reasons_to_run([], meshline, SHADOW) == []
    assert reasons_to_run([], meshline, OPTIONS) == ["what was shadowed may be posted"]
    plan_nothing(ops)
    assert reasons_to_run([], meshline, OPTIONS) == []
