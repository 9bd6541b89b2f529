"""What somebody changed in the ERP is not overwritten by an amendment before a person has seen it."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest
from typer.testing import CliRunner

from meshline_dagster.cli import app
from meshline_dagster.core.documents import DocumentKind, ErpDocument
from meshline_dagster.core.errors import TransientError
from meshline_dagster.core.ownership import Owner, Ownership
from meshline_dagster.delivery.holds import Holds
from meshline_dagster.delivery.pace import Pace
from meshline_dagster.delivery.session import utc_now
from meshline_dagster.store.exceptions import exceptions
from meshline_dagster.store.tables import posting
from meshline_dagster.testing.memory_erp import Fault, MemoryErp, MemoryWriter
from tests.integration.test_delivery_engine import OPTIONS, customer, order, plan_rows, run, states

ORDER = DocumentKind.SALES_ORDER
BATCH = 4


class Asked(MemoryWriter):
    """A writer that notes what is looked up, and takes several documents at once."""

    def __init__(self, erp, **changes):
        super().__init__(erp, **changes)
        self._capabilities = replace(self._capabilities, batch_size=BATCH)
        self.finds = []
        self.silent = 0

    async def find(self, kind, external_ids):
        self.finds.append(list(external_ids))
        if self.silent:
            self.silent -= 1
            raise TransientError("no answer")
        return await super().find(kind, external_ids)


@pytest.fixture
def meshline(store_url, monkeypatch):
    monkeypatch.setenv("MESHLINE_STORE_URL", store_url)

    def call(*words):
        answer = CliRunner().invoke(app, ["postings", *words], catch_exceptions=False)
        assert answer.exit_code == 0, answer.output

    return call


def post(ops, erp, *rows, writer=None, **changes):
    plan_rows(ops, [customer(), *rows], replace(OPTIONS, **changes))
    return run(ops, writer or MemoryWriter(erp, settle_after=0.0), replace(OPTIONS, patience=0.0, **changes))


def change(erp, number=1, **changes):
    """Somebody edits an order in the ERP."""
    documents = erp.documents[ORDER]
    place = next(at for at, one in enumerate(documents) if one.external_id == order(number).external_id)
    documents[place] = replace(documents[place], stamp=erp.clock(), **changes)


def amount_of(erp, number=1):
    [there] = erp.of(ORDER, order(number).external_id)
    return str(there.amount)


def open_items(ops):
    with ops.read() as connection:
        return exceptions(connection)


def dead_key(ops):
    with ops.read() as connection:
        [key] = connection.execute(
            posting.select().with_only_columns(posting.c.key).where(posting.c.state == "dead")
        ).scalars()
    return key


def held(ops, erp):
    """An order of 10 that somebody made 12 in the ERP, and an amendment to 20 that is held because of it."""
    post(ops, erp, order(1))
    [line] = erp.documents[ORDER][0].lines
    change(erp, amount=Decimal(12), lines=(replace(line, amount=Decimal(12), unit_price=Decimal(12)),))
    return post(ops, erp, order(1), order(1, version=2, amount="20"))


def later():
    return utc_now() + timedelta(minutes=1)


def test_an_amendment_that_would_overwrite_somebodys_change_is_held_with_both_values(ops):
    erp = MemoryErp()
    assert held(ops, erp).outcomes == {"changed_in_erp": 1}
    assert amount_of(erp) == "12"
    assert states(ops) == {"posted": 2, "dead": 1}
    [item] = open_items(ops)
    assert (item.code, item.owner, item.priority) == ("changed_in_erp", "finance", "P2")
    assert item.detail.splitlines() == [
        "amount: we posted 10; the ERP has 12; this state says 20",
        "lines: we posted 1 A at 10; the ERP has 1 A at 12; this state says 1 A at 20",
    ]
    for command in ("retry", "close"):
        assert f"`meshline postings {command} {dead_key(ops)} --reason TEXT`" in item.fix


def test_a_held_amendment_holds_its_own_order_alone_and_stays_one_exception(ops):
    erp = MemoryErp()
    held(ops, erp)
    report = post(ops, erp, *(order(1, version=n, amount=f"{n}0") for n in (1, 2, 3)), order(2))
    assert report.outcomes == {"created": 1}
    assert states(ops) == {"posted": 3, "dead": 1, "planned": 1}
    assert [item.code for item in open_items(ops)] == ["changed_in_erp"]


def test_a_cancellation_is_held_as_well_and_another_customer_is_a_change(ops):
    erp = MemoryErp()
    post(ops, erp, order(1), order(2))
    change(erp, 1, amount=Decimal(12), lines=())
    change(erp, 2, customer="MLC-other")
    cancelled = [order(n, version=2, status="cancelled") for n in (1, 2)]
    assert post(ops, erp, order(1), order(2), *cancelled).outcomes == {"changed_in_erp": 2}
    assert {one.status for one in erp.documents[ORDER]} == {"open"}
    assert sorted(item.detail.split(":")[0] for item in open_items(ops)) == ["amount", "customer"]


def with_number(row, number, day="2017-04-01"):
    return replace(row, payload={**row.payload, "po_number": number, "order_date": day})


@pytest.mark.parametrize("owner", [None, Owner.ERP, Owner.CREATE_ONLY])
def test_a_customers_number_that_somebody_entered_is_not_overwritten_unseen(ops, owner):
    owners = Ownership({} if owner is None else {"po_number": owner})
    erp, first, second = MemoryErp(), with_number(order(1), "P1"), with_number(order(1, version=2, amount="20"), "P1")
    post(ops, erp, first, ownership=owners)
    change(erp, po_number="P9")
    outcomes = post(ops, erp, first, second, ownership=owners).outcomes
    assert outcomes == ({"changed_in_erp": 1} if owner is None else {"updated": 1})
    told = ["po_number: we posted P1; the ERP has P9; this state says P1"]
    assert [item.detail for item in open_items(ops)] == (told if owner is None else [])


@pytest.mark.parametrize(
    ("posted", "there", "wanted", "told"),
    [
        ("MLA-1", "MLA-9", "MLA-1", "ship_to: we posted MLA-1; the ERP has MLA-9; this state says MLA-1"),
        ("MLA-1", "", "MLA-2", "ship_to: we posted MLA-1; the ERP has none; this state says MLA-2"),
        ("MLA-1", "MLA-1", "MLA-2", None),
        ("MLA-1", "MLA-2", "MLA-2", None),
        ("MLA-1", None, "MLA-2", None),  # an ERP that does not tell
        (None, "MLA-9", "MLA-2", None),  # it chose one where we named none
    ],
)
def test_an_address_that_somebody_chose_is_not_overwritten_unseen(ops, posted, there, wanted, told):
    def going_to(row, address):
        return replace(row, payload={**row.payload, "ship_to": address})

    erp, first, second = MemoryErp(), going_to(order(1), posted), going_to(order(1, version=2, amount="20"), wanted)
    kind, names = DocumentKind.ADDRESS, ("MLA-1", "MLA-2")
    erp.documents[kind] = [ErpDocument(kind, name, name, name, "open", utc_now()) for name in names]
    post(ops, erp, first)
    change(erp, ship_to=there)
    assert post(ops, erp, first, second).outcomes == ({"updated": 1} if told is None else {"changed_in_erp": 1})
    assert [item.detail for item in open_items(ops)] == ([] if told is None else [told])


def test_a_late_state_of_ours_with_another_number_is_no_change(ops):
    erp = MemoryErp()
    old, new = with_number(order(1), "P1"), with_number(order(1, version=2, amount="20"), "P2", "2017-04-02")
    post(ops, erp, old)
    post(ops, erp, old, new)
    [line] = erp.documents[ORDER][0].lines
    late = replace(line, amount=Decimal(10), unit_price=Decimal(10))
    change(erp, event_id=old.event_id, amount=Decimal(10), lines=(late,), po_number="P1", order_date=date(2017, 4, 1))
    post(ops, erp, old, new, with_number(order(1, version=3, amount="30"), "P3"))
    assert (amount_of(erp), open_items(ops)) == ("30", [])


def test_ours_is_right_a_retry_overwrites_what_the_exception_told(ops, meshline):
    erp = MemoryErp()
    held(ops, erp)
    meshline("retry", dead_key(ops), "--reason", "20 is agreed")
    run(ops, MemoryWriter(erp, settle_after=0.0), clock=later)
    assert amount_of(erp) == "20"
    assert open_items(ops) == []


def test_a_retry_overwrites_nothing_that_was_changed_since(ops, meshline):
    erp = MemoryErp()
    held(ops, erp)
    change(erp, amount=Decimal(13), lines=())
    meshline("retry", dead_key(ops), "--reason", "20 is agreed")
    run(ops, MemoryWriter(erp, settle_after=0.0), clock=later)
    assert amount_of(erp) == "13"
    [item] = open_items(ops)
    assert item.code == "changed_in_erp"
    assert "the ERP has 13" in item.detail


def test_a_retry_remembers_what_may_be_overwritten_also_when_its_first_request_is_lost(ops, meshline):
    erp = MemoryErp()
    held(ops, erp)
    meshline("retry", dead_key(ops), "--reason", "20 is agreed")
    lost = [Fault.LOST_REQUEST, Fault.BUSY]
    erp.faults = lambda document: lost.pop() if lost else None
    run(ops, MemoryWriter(erp, settle_after=0.3), clock=utc_now)
    assert (lost, amount_of(erp)) == ([], "20")


def test_theirs_is_right_a_close_keeps_it_and_the_next_state_amends_the_document(ops, meshline):
    erp = MemoryErp()
    held(ops, erp)
    meshline("close", dead_key(ops), "--reason", "12 was agreed")
    assert (amount_of(erp), open_items(ops)) == ("12", [])
    report = post(ops, erp, *(order(1, version=n, amount=f"{n}0") for n in (1, 2)), order(1, version=3, amount="12"))
    assert report.outcomes == {"updated": 1}
    assert amount_of(erp) == "12"


def test_a_document_that_was_set_back_is_amended_by_a_retry(ops, meshline):
    erp = MemoryErp()
    held(ops, erp)
    [line] = erp.documents[ORDER][0].lines
    change(erp, amount=Decimal(10), lines=(replace(line, amount=Decimal(10)),))
    meshline("retry", dead_key(ops), "--reason", "set back")
    run(ops, MemoryWriter(erp, settle_after=0.0), clock=later)
    assert amount_of(erp) == "20"


def test_a_change_to_the_very_state_that_we_want_is_none(ops):
    erp = MemoryErp()
    post(ops, erp, order(1), order(2))
    [line] = erp.documents[ORDER][0].lines
    change(erp, amount=Decimal(20), lines=(replace(line, amount=Decimal(20)),))
    change(erp, 2, status="cancelled")
    wanted = [order(1, version=2, amount="20"), order(2, version=2, status="cancelled")]
    assert "changed_in_erp" not in post(ops, erp, order(1), order(2), *wanted).outcomes
    assert open_items(ops) == []


@pytest.mark.parametrize("fault", [Fault.LOST_ANSWER, Fault.LATE_COMMIT, Fault.LOST_REQUEST])
def test_our_own_state_that_arrived_without_an_answer_is_no_change(ops, fault):
    erp = MemoryErp(late=0.1)
    post(ops, erp, order(1))
    left = [fault]
    erp.faults = lambda _: left.pop() if left else None
    rows = [order(1, version=n, amount=f"{n}0") for n in (1, 2, 3)]
    plan_rows(ops, [customer(), *rows])
    run(ops, MemoryWriter(erp, settle_after=0.4))
    assert states(ops) == {"posted": 4}
    assert (amount_of(erp), open_items(ops)) == ("30", [])


def test_an_older_state_of_ours_that_came_late_is_no_change(ops):
    erp = MemoryErp()
    old = order(1)
    post(ops, erp, old)
    post(ops, erp, old, order(1, version=2, amount="20"))
    [line] = erp.documents[ORDER][0].lines
    change(erp, event_id=old.event_id, amount=Decimal(10), lines=(replace(line, amount=Decimal(10)),))
    post(ops, erp, old, order(1, version=2, amount="20"), order(1, version=3, amount="30"))
    assert (amount_of(erp), open_items(ops)) == ("30", [])


def test_a_change_that_shows_while_an_amendment_is_unknown_is_the_same_exception(ops):
    erp = MemoryErp()
    post(ops, erp, order(1))

    def lost(_):
        change(erp, amount=Decimal(12), lines=())
        return Fault.LOST_REQUEST

    erp.faults = lost
    plan_rows(ops, [customer(), order(1), order(1, version=2, amount="20")])
    run(ops, MemoryWriter(erp, settle_after=0.2))
    assert [item.code for item in open_items(ops)] == ["changed_in_erp"]
    assert amount_of(erp) == "12"


def test_amendments_are_looked_up_together_and_creations_not_at_all(ops):
    erp = MemoryErp()
    writer = Asked(erp)
    post(ops, erp, *(order(n) for n in range(BATCH)), writer=writer)
    assert writer.finds == []
    amended = [order(n, version=2, amount="20") for n in range(BATCH)]
    report = post(ops, erp, *(order(n) for n in range(BATCH)), *amended, order(BATCH), writer=writer)
    assert report.outcomes == {"updated": BATCH, "created": 1}
    assert sum(map(len, writer.finds)) == BATCH
    assert len(writer.finds) <= 2  # one for each request that amends


def test_a_change_in_a_batch_holds_no_other_row_of_it(ops):
    erp = MemoryErp()
    writer = Asked(erp)
    post(ops, erp, *(order(n) for n in range(BATCH)), writer=writer)
    change(erp, 1, amount=Decimal(12), lines=())
    amended = [order(n, version=2, amount="20") for n in range(BATCH)]
    report = post(ops, erp, *(order(n) for n in range(BATCH)), *amended, writer=writer)
    assert report.outcomes == {"updated": BATCH - 1, "changed_in_erp": 1}
    assert [amount_of(erp, n) for n in range(BATCH)] == ["20", "12", "20", "20"]


def test_a_look_up_without_an_answer_puts_the_amendment_off_and_nothing_is_sent(ops):
    erp = MemoryErp()
    writer = Asked(erp, settle_after=0.0)
    post(ops, erp, order(1), writer=writer)
    writer.silent = 1
    plan_rows(ops, [customer(), order(1), order(1, version=2, amount="20")])
    report = run(ops, writer, replace(OPTIONS, patience=0.0), jitter=lambda: 0.99)
    assert (report.requests, report.outcomes, amount_of(erp)) == (0, {"retry": 1}, "10")
    assert states(ops) == {"posted": 2, "retry_due": 1}
    run(ops, writer, clock=later)
    assert amount_of(erp) == "20"


def test_fields_that_are_not_ours_are_not_sent(ops):
    owners = Ownership(
        sales_order={"payment_terms": Owner.ERP, "po_number": Owner.CREATE_ONLY},
        lines={"tax_code": Owner.ERP, "description": Owner.CREATE_ONLY},
        customer={"country": Owner.ERP},
    )
    erp = MemoryErp()
    first, second = order(1), order(1, version=2, amount="20")
    for row in (first, second):
        row.payload.update(payment_terms="NET30", po_number="PO-1")
    buyer = customer()
    buyer.payload.update(tax_id="DE1", credit_limit="1000")
    options = replace(OPTIONS, ownership=owners, patience=0.0)
    plan_rows(ops, [buyer, first], options)
    run(ops, MemoryWriter(erp), options)
    plan_rows(ops, [first, second], options)
    run(ops, MemoryWriter(erp), options)
    made, created, amended = (write.payload for write in erp.writes)
    assert made == {"code": made["code"], "name": "Acme", "currency": "USD"}
    assert ("payment_terms" in created, "po_number" in created) == (False, True)
    assert ("tax_code" in created["lines"][0], "description" in created["lines"][0]) == (False, True)
    assert {"payment_terms", "po_number"}.isdisjoint(amended)
    assert {"tax_code", "description"}.isdisjoint(amended["lines"][0])
    assert amended["amount"] == "20"


def test_a_customer_is_created_once_also_when_two_versions_of_it_were_planned(ops):
    renamed = customer()
    renamed = replace(
        renamed,
        event_id="d" * 64,
        event_time=renamed.event_time + timedelta(days=1),
        payload={**renamed.payload, "name": "X"},
    )
    erp = MemoryErp()
    plan_rows(ops, [customer(), renamed, order(1)])
    assert run(ops, MemoryWriter(erp)).outcomes == {"created": 2, "created_once": 1}
    assert states(ops) == {"posted": 2, "superseded": 1}


def test_an_amendment_is_not_sent_unseen_when_the_erp_wanted_to_be_left_alone_at_its_look_up(ops, monkeypatch):
    """It asked for a wait when the look-up was about to start, and the wait was over when the request was."""
    erp, seconds = MemoryErp(), [0]
    post(ops, erp, order(1))
    change(erp, amount=Decimal(12))
    turn, refresh = Pace.turn, Holds.refresh

    async def asked_to_wait(self):
        await turn(self)
        if not seconds[0]:
            self.not_before = clock() + timedelta(seconds=2)

    async def soon_after(self):
        seconds[0] = 3
        await refresh(self)

    def clock():
        return utc_now() + timedelta(seconds=seconds[0])

    monkeypatch.setattr(Pace, "turn", asked_to_wait)
    monkeypatch.setattr(Holds, "refresh", soon_after)
    plan_rows(ops, [customer(), order(1), order(1, version=2, amount="20")])
    run(ops, MemoryWriter(erp, settle_after=0.0), replace(OPTIONS, patience=0.0), clock=clock)
    assert amount_of(erp) == "12"
