"""Delivery against an ERP in memory whose faults we choose."""

import asyncio
import random
import time
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import select

from meshline_dagster.core.documents import Document, DocumentKind
from meshline_dagster.core.identity import external_id
from meshline_dagster.core.postings import OutboxRow
from meshline_dagster.delivery.engine import deliver
from meshline_dagster.delivery.options import DeliveryOptions, Mode
from meshline_dagster.delivery.plan import plan
from meshline_dagster.delivery.session import utc_now
from meshline_dagster.delivery.shards import ShardLeases
from meshline_dagster.store import audit
from meshline_dagster.store.exceptions import exceptions
from meshline_dagster.store.ledger_reports import ledger_summary
from meshline_dagster.store.pauses import pause
from meshline_dagster.store.tables import attempt, posting
from meshline_dagster.testing.memory_erp import Fault, MemoryErp, MemoryWriter

START = datetime(2017, 4, 1, tzinfo=UTC)
OPTIONS = DeliveryOptions(destination="memory", company="1", mode=Mode.LIVE, sandbox=True, patience=20.0)
CUSTOMER = "crm/account/1"


def shortly():
    """The jitter of retries that come soon, where a test does not ask how long they wait."""
    return 0.1


def customer():
    code = external_id("customer", CUSTOMER)
    return OutboxRow(
        event_id="c" * 64,
        entity_key=CUSTOMER,
        document_kind=DocumentKind.CUSTOMER,
        external_id=code,
        event_time=START,
        operation="create",
        depends_on=(),
        amount=Decimal(0),
        currency=None,
        document_date=None,
        payload={"code": code, "name": "Acme", "country": None, "currency": "USD"},
    )


def order(number, *, version=1, amount="10", status="open", sku="A"):
    key = f"crm/opportunity/{number}"
    line = {"line": "1", "sku": sku, "description": None, "quantity": "1", "uom": "unit", "unit_price": amount}
    return OutboxRow(
        event_id=f"{number:060d}{version:04d}",
        entity_key=key,
        document_kind=DocumentKind.SALES_ORDER,
        external_id=external_id("sales_order", key),
        event_time=START + timedelta(days=version),
        operation="create",
        depends_on=(CUSTOMER,),
        amount=Decimal(amount),
        currency="USD",
        document_date=date(2017, 4, 1),
        payload={
            "order_number": str(number),
            "customer": external_id("customer", CUSTOMER),
            "currency": "USD",
            "status": status,
            "amount": amount,
            "lines": [{**line, "amount": amount, "tax_code": "standard", "start": None, "end": None}],
        },
    )


def document_of(row):
    return Document(row.document_kind, row.external_id, "k" * 64, row.event_id, row.operation, row.payload)


def plan_rows(store, rows, options=OPTIONS):
    touched = {row.entity_key for row in rows}
    return plan(
        store, rows, touched=sorted(touched), options=options, build_id=None, actor="test", now=datetime.now(UTC)
    )


def run(store, writer, options=OPTIONS, actor="run-1", clock=utc_now, *, jitter=random.random):
    return asyncio.run(deliver(store, writer, options, actor=actor, clock=clock, jitter=jitter))


def pause_now(store, scope):
    with store.write() as connection:
        pause(connection, scope, actor="cli:controller", reason="", now=START)


def states(store):
    with store.read() as connection:
        return {
            row.state: row.n
            for row in connection.exec_driver_sql("select state, count(*) n from posting group by state").all()
        }


def test_customers_are_posted_before_their_orders_and_a_second_run_posts_nothing(ops):
    erp = MemoryErp()
    plan_rows(ops, [order(n) for n in range(20)] + [customer()])
    report = run(ops, MemoryWriter(erp))
    assert report.outcomes == {"created": 21}
    assert erp.writes[0].kind is DocumentKind.CUSTOMER
    assert len(erp.documents[DocumentKind.SALES_ORDER]) == 20
    assert plan_rows(ops, [order(n) for n in range(20)] + [customer()]).planned == 0
    assert run(ops, MemoryWriter(erp), actor="run-2").outcomes == {}
    assert len(erp.writes) == 21


def test_every_state_change_is_audited_and_every_request_is_an_attempt(ops):
    plan_rows(ops, [customer(), order(1)])
    run(ops, MemoryWriter(MemoryErp()))
    with ops.read() as connection:
        assert audit.first_broken(connection) is None
        actions = [
            row.action for row in connection.exec_driver_sql("select action from audit_entry order by seq").all()
        ]
        attempts = connection.execute(select(attempt)).all()
    assert sorted(actions) == sorted(["posting.planned", "posting.sending", "posting.posted"] * 2)
    assert all(row.ended_at is not None and row.outcome == "created" for row in attempts)


@pytest.mark.parametrize("unique", [True, False])
@pytest.mark.parametrize("fault", [Fault.LOST_REQUEST, Fault.LOST_ANSWER, Fault.LATE_COMMIT, Fault.BUSY])
def test_each_order_ends_exactly_once_after_a_fault_on_every_first_request(ops, fault, unique):
    seen = set()

    def first_time(document):
        fresh = document.key not in seen
        seen.add(document.key)
        return fault if fresh else None

    erp = MemoryErp(
        unique=unique, faults=first_time, late=0.2
    )  # later than a look-up, sooner than the writer's settle_after
    plan_rows(ops, [customer()] + [order(n) for n in range(5)])
    report = run(ops, MemoryWriter(erp, settle_after=0.4), jitter=shortly)
    assert report.waiting == 0
    assert states(ops) == {"posted": 6}
    assert [len(erp.of(DocumentKind.SALES_ORDER, order(n).external_id)) for n in range(5)] == [1] * 5


def test_an_answer_lost_on_an_amendment_is_settled_by_the_state_that_the_erp_shows(ops):
    erp = MemoryErp()
    plan_rows(ops, [customer(), order(1)])
    run(ops, MemoryWriter(erp))
    erp.faults = lambda _: Fault.LOST_ANSWER
    plan_rows(ops, [order(1), order(1, version=2, amount="25")])
    report = run(ops, MemoryWriter(erp))
    assert report.outcomes == {"unknown": 1, "exists": 1}
    assert [one.amount for one in erp.of(DocumentKind.SALES_ORDER, order(1).external_id)] == [Decimal(25)]


def test_what_a_dead_run_left_as_sending_is_looked_up_before_it_is_sent_again(ops, without_guards):
    erp = MemoryErp(unique=False)
    plan_rows(ops, [customer(), order(1)])
    run(ops, MemoryWriter(erp))
    with ops.write() as connection:  # as a run leaves it that dies between request and outcome
        without_guards(connection, "posting")
        connection.execute(posting.update().values(state="sending", sent_at=datetime.now(UTC)))
    report = run(ops, MemoryWriter(erp), actor="run-2")
    assert report.outcomes == {"exists": 2}
    assert len(erp.of(DocumentKind.SALES_ORDER, order(1).external_id)) == 1


def test_a_refused_order_becomes_an_exception_with_the_erps_words_and_its_correction_is_posted(ops):
    erp = MemoryErp(skus=frozenset({"A"}))
    plan_rows(ops, [customer(), order(1, sku="B"), order(2)])
    run(ops, MemoryWriter(erp))
    with ops.read() as connection:
        (item,) = exceptions(connection)
    assert (item.code, item.amount, item.currency) == ("rejected", Decimal(10), "USD")
    assert "unknown item B" in item.detail
    plan_rows(ops, [order(1, sku="A"), order(2)])
    run(ops, MemoryWriter(erp))
    with ops.read() as connection:
        assert exceptions(connection) == []
    assert len(erp.of(DocumentKind.SALES_ORDER, order(1).external_id)) == 1


def test_a_posted_event_with_another_content_is_never_sent_but_becomes_a_restatement_candidate(ops):
    erp = MemoryErp()
    plan_rows(ops, [customer(), order(1)])
    run(ops, MemoryWriter(erp))
    report = plan_rows(ops, [order(1, amount="11")])
    assert (report.planned, report.restatements) == (0, 1)
    assert run(ops, MemoryWriter(erp)).outcomes == {}
    with ops.read() as connection:
        assert [item.code for item in exceptions(connection)] == ["restatement_candidate"]


def test_a_late_older_state_is_superseded_not_sent(ops):
    erp = MemoryErp()
    plan_rows(ops, [customer(), order(1, version=3, amount="30")])
    run(ops, MemoryWriter(erp))
    assert plan_rows(ops, [order(1, version=2, amount="20"), order(1, version=3, amount="30")]).superseded == 1
    run(ops, MemoryWriter(erp))
    assert [one.amount for one in erp.of(DocumentKind.SALES_ORDER, order(1).external_id)] == [Decimal(30)]


def test_a_cancellation_of_what_was_never_posted_sends_nothing(ops):
    erp = MemoryErp()
    plan_rows(ops, [customer(), order(1, version=2, status="cancelled")])
    assert run(ops, MemoryWriter(erp)).outcomes == {"created": 1, "nothing_to_cancel": 1}
    assert DocumentKind.SALES_ORDER not in erp.documents


def test_two_runs_at_the_same_time_post_every_order_once(ops):
    erp = MemoryErp(unique=False, latency=0.005)
    plan_rows(ops, [customer()] + [order(n) for n in range(60)])

    async def both():
        return await asyncio.gather(
            deliver(ops, MemoryWriter(erp), OPTIONS, actor="run-1"),
            deliver(ops, MemoryWriter(erp), OPTIONS, actor="run-2"),
        )

    asyncio.run(both())
    assert states(ops) == {"posted": 61}
    assert len(erp.documents[DocumentKind.SALES_ORDER]) == 60


def test_shadow_mode_sends_nothing_and_going_live_releases_what_was_shadowed(ops):
    erp, shadow = MemoryErp(), DeliveryOptions(destination="memory", company="1")
    plan_rows(ops, [customer(), order(1)], shadow)
    assert run(ops, MemoryWriter(erp), shadow).outcomes == {}
    assert (states(ops), erp.writes) == ({"shadowed": 2}, [])
    assert plan_rows(ops, [customer(), order(1)]).released == 2
    assert run(ops, MemoryWriter(erp)).outcomes == {"created": 2}


def test_an_outage_leaves_the_work_queued_with_one_alert_and_ends_by_itself(ops):
    erp = MemoryErp(faults=lambda _: Fault.UNREACHABLE)
    plan_rows(ops, [customer()] + [order(n) for n in range(3)])
    options = DeliveryOptions(
        destination="memory", company="1", mode=Mode.LIVE, sandbox=True, patience=20, max_attempts=99
    )
    started = time.monotonic()
    report = run(ops, MemoryWriter(erp, slots=1), options, jitter=shortly)
    assert report.outage
    assert time.monotonic() - started < 15
    with ops.read() as connection:
        assert [item.code for item in exceptions(connection)] == ["destination_unavailable"]
        assert {row["state"] for row in ledger_summary(connection)} == {"planned", "retry_due"}
    erp.faults = lambda _: None
    later = datetime.now(UTC) + timedelta(minutes=6)
    run(ops, MemoryWriter(erp, slots=1), options, clock=lambda: later)
    with ops.read() as connection:
        assert exceptions(connection) == []
    assert states(ops) == {"posted": 4}


def test_a_delivery_that_can_start_no_request_gives_up_when_its_patience_ends(ops, monkeypatch):
    monkeypatch.setattr(ShardLeases, "covers", lambda *_: False)
    plan_rows(ops, [customer(), order(1)])
    erp = MemoryErp()
    report = run(ops, MemoryWriter(erp), replace(OPTIONS, patience=0.5))
    assert erp.writes == []
    assert report.waiting == 1


def test_a_payload_that_somebody_changed_in_the_ledger_is_never_sent(ops, without_guards):
    erp = MemoryErp()
    plan_rows(ops, [customer(), order(1), order(2)])
    with ops.write() as connection:
        without_guards(connection, "posting")
        forged = posting.c.entity_key == order(1).entity_key
        connection.execute(posting.update().where(forged).values(payload=posting.c.payload + " "))
    assert run(ops, MemoryWriter(erp)).outcomes == {"created": 2, "fingerprint_conflict": 1}
    assert not erp.of(DocumentKind.SALES_ORDER, order(1).external_id)
    with ops.read() as connection:
        [item] = exceptions(connection)
    assert (item.code, item.priority) == ("fingerprint_conflict", "P1")


class DrippingWriter(MemoryWriter):
    """Its answers to look-ups never end."""

    drips = frozenset({"find"})

    async def company(self):
        await self._drip("company")
        return await super().company()

    async def find(self, kind, external_ids):
        await self._drip("find")
        return await super().find(kind, external_ids)

    async def _drip(self, call):
        if call in self.drips:
            await asyncio.sleep(3600)


def test_a_look_up_whose_answer_never_ends_is_given_up_and_asked_again(ops):
    erp = MemoryErp(faults=lambda _: Fault.LOST_ANSWER)
    plan_rows(ops, [customer()])
    report = run(ops, DrippingWriter(erp, timeout=0.2), replace(OPTIONS, patience=0.5))
    assert (report.outcomes, report.waiting) == ({"unknown": 1}, 1)
    assert run(ops, MemoryWriter(erp, timeout=0.2)).outcomes == {"exists": 1}


def test_an_erp_that_never_says_who_it_is_is_an_outage(ops):
    writer = DrippingWriter(MemoryErp(), timeout=0.1)
    writer.drips = {"company"}
    plan_rows(ops, [customer()])
    assert run(ops, writer).outage


def test_an_older_state_that_is_planned_while_a_newer_one_is_about_to_be_sent_goes_first(ops):
    plan_rows(ops, [customer(), order(1, version=3, amount="30")] + [order(n) for n in range(2, 12)])
    older = order(1, version=2, amount="20")

    async def planned_in_between(document):
        if document.external_id == order(2).external_id:
            await asyncio.to_thread(plan_rows, ops, [older, order(1, version=3, amount="30")])

    erp = MemoryErp(faults=planned_in_between, latency=0.02)
    run(ops, MemoryWriter(erp, slots=1))
    amounts = [one.payload["amount"] for one in erp.writes if one.external_id == older.external_id]
    assert amounts in (["20", "30"], ["30"])
    assert [one.amount for one in erp.of(DocumentKind.SALES_ORDER, older.external_id)] == [Decimal(30)]


def late_once():
    """Every order's first request gets no answer and is acted on 0.3 s later."""
    seen = set()

    def late(document):
        fresh = document.kind is DocumentKind.SALES_ORDER and document.key not in seen
        seen.add(document.key)
        return Fault.LATE_COMMIT if fresh else None

    return MemoryErp(unique=False, faults=late, late=0.3)


class SlowWriter(MemoryWriter):
    """A request waits before it reaches the ERP, and the answer to a look-up after it left it."""

    before_post = after_find = 0.0

    async def post(self, documents):
        await asyncio.sleep(self.before_post)
        return await super().post(documents)

    async def find(self, kind, external_ids):
        found = await super().find(kind, external_ids)
        await asyncio.sleep(self.after_find)
        return found


def test_a_look_up_counts_from_when_it_was_asked_not_from_when_its_answer_came(ops):
    plan_rows(ops, [customer(), order(1)])
    writer = SlowWriter(late_once(), settle_after=0.75)
    writer.after_find = 0.8
    run(ops, writer, jitter=shortly)  # the look-up is asked before the ERP acts
    assert len(writer.erp.of(DocumentKind.SALES_ORDER, order(1).external_id)) == 1


def test_the_erps_time_to_settle_begins_when_a_request_is_given_up_not_when_it_was_meant(ops):
    plan_rows(ops, [customer(), order(1), order(2)])
    writer = SlowWriter(late_once(), settle_after=0.75, slots=1)
    writer.before_post = 0.8
    run(ops, writer, jitter=shortly)
    assert [len(writer.erp.of(DocumentKind.SALES_ORDER, order(n).external_id)) for n in (1, 2)] == [1, 1]


def test_an_older_state_that_is_posted_late_does_not_close_the_exception_about_a_newer_one(ops):
    erp = MemoryErp(skus=frozenset({"A"}))
    versions = [order(1), order(1, version=2, sku="B"), order(1, version=3, sku="C")]
    plan_rows(ops, [customer(), *versions])
    run(ops, MemoryWriter(erp))
    plan_rows(ops, [versions[0], order(1, version=2), versions[2]])
    assert run(ops, MemoryWriter(erp)).outcomes == {"updated": 1}
    with ops.read() as connection:
        assert [item.code for item in exceptions(connection)] == ["rejected"]
    plan_rows(ops, [versions[0], order(1, version=2), order(1, version=3)])
    run(ops, MemoryWriter(erp))
    with ops.read() as connection:
        assert exceptions(connection) == []
