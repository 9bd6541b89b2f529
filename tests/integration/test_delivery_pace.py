"""The pace at the writer: one rate for all runs of a destination, and a wait that it asked one request for holds for all."""

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from meshline_dagster.core.documents import Answer, DocumentKind, Outcome
from meshline_dagster.delivery.engine import deliver
from meshline_dagster.orchestration.drain_sensor import why_drain
from meshline_dagster.orchestration.settings import RestDestination, SalesforceSource, SyncSettings
from meshline_dagster.store.rates import delay_all, not_before, take_tokens
from meshline_dagster.testing.memory_erp import MemoryErp, MemoryWriter
from tests.integration.test_delivery_engine import OPTIONS, customer, order, plan_rows, run, states


class Watched(MemoryWriter):
    """A writer that notes when each request starts, and asks for waits where the test wants one."""

    def __init__(self, erp, *, wait=None, **options):
        super().__init__(erp, **options)
        self.started, self.wait = [], wait

    async def post(self, documents):
        self.started.append(time.monotonic())
        if self.wait is not None and documents[0].kind is DocumentKind.SALES_ORDER:
            seconds, self.wait = self.wait, None
            return [Answer(Outcome.RETRY, message="429", retry_after=seconds) for _ in documents]
        return await super().post(documents)


def test_two_runs_at_once_keep_one_rate_together(ops):
    limited = replace(OPTIONS, rate_per_second=20.0, burst=4, shards=16)
    plan_rows(ops, [customer()])
    run(ops, MemoryWriter(MemoryErp()))
    plan_rows(ops, [order(n) for n in range(40)])
    erp = MemoryErp(unique=False)
    erp.documents[DocumentKind.CUSTOMER] = [erp.build(_customer(), "c")]
    writers = [Watched(erp) for _ in range(2)]
    begun = time.monotonic()

    async def both():
        calls = [deliver(ops, one, limited, actor=f"run-{n}") for n, one in enumerate(writers)]
        return await asyncio.gather(*calls)

    asyncio.run(both())
    assert states(ops) == {"posted": 41}
    started = sorted(moment for one in writers for moment in one.started)
    assert len(started) == 40
    assert started[-1] - begun >= (40 - 4 - 20) / 20  # at most a burst, and a chunk of each run, ahead of the rate
    for place, moment in enumerate(started):
        within = sum(1 for other in started[place:] if other <= moment + 1.0)
        assert within <= 20 + 4 + 2 * 10


def test_the_limit_costs_few_transactions(ops, monkeypatch):
    calls = []

    def counted(*arguments, **named):
        calls.append(1)
        return take_tokens(*arguments, **named)

    monkeypatch.setattr("meshline_dagster.delivery.pace.take_tokens", counted)
    plan_rows(ops, [customer()] + [order(n) for n in range(60)])
    run(ops, MemoryWriter(MemoryErp(), slots=8), replace(OPTIONS, rate_per_second=200.0, burst=100))
    assert states(ops) == {"posted": 61}
    assert len(calls) < 15
    calls.clear()
    plan_rows(ops, [order(100)])
    run(ops, MemoryWriter(MemoryErp()))
    assert calls == []


def test_a_wait_that_one_request_was_asked_for_holds_for_all_and_ends_by_itself(ops):
    plan_rows(ops, [customer()] + [order(n) for n in range(30)])
    writer = Watched(MemoryErp(latency=0.05), wait=2.0, slots=2)
    run(ops, writer)
    assert states(ops) == {"posted": 31}
    gaps = [later - sooner for sooner, later in zip(writer.started, writer.started[1:], strict=False)]
    assert max(gaps) > 1.0
    before = next(place for place, gap in enumerate(gaps) if gap > 1.0)
    assert before <= 4  # the customer, the order that was refused, and what was under way beside it


def test_another_run_obeys_the_wait_too_and_no_drain_is_wanted_before_it_is_over(ops):
    plan_rows(ops, [customer(), order(1)])
    now = datetime.now(UTC)
    with ops.write() as connection:
        delay_all(connection, "memory", now + timedelta(seconds=60))
        delay_all(connection, "memory", now + timedelta(seconds=5))
        assert not_before(connection, "memory") == now + timedelta(seconds=60)
        assert not_before(connection, "other") is None
    erp = MemoryErp()
    assert run(ops, MemoryWriter(erp), replace(OPTIONS, patience=1.0)).outcomes == {}
    assert why_drain(ops, OPTIONS, now=now)[1].startswith("the destination asked to be left alone until")
    assert why_drain(ops, OPTIONS, now=now + timedelta(seconds=61))[0]
    assert run(ops, MemoryWriter(erp), clock=lambda: now + timedelta(seconds=61)).outcomes == {"created": 2}


def test_a_very_long_wait_is_cut_to_a_quarter_of_an_hour(ops):
    plan_rows(ops, [customer(), order(1)])
    run(ops, Watched(MemoryErp(), wait=86400.0), replace(OPTIONS, patience=1.0))
    with ops.read() as connection:
        until = not_before(connection, "memory")
    assert timedelta(minutes=14) < until - datetime.now(UTC) <= timedelta(minutes=15)


@pytest.mark.parametrize("limits", [{}, {"rate_per_second": 5, "burst": 2, "failures": 9}])
def test_the_limits_of_the_settings_reach_the_writer(limits):
    settings = SyncSettings(
        sources=(SalesforceSource(),), destination=RestDestination(), origin="2026-01-01", limits=limits
    )
    found = settings.delivery()
    expected = {"rate_per_second": None, "burst": None, "failures": 5} | limits
    assert {name: getattr(found, name) for name in expected} == expected


def _customer():
    from tests.integration.test_delivery_engine import document_of

    return document_of(customer())
