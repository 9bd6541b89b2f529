"""The conformance suite for ERP writers: what the delivery engine relies on, whatever the ERP.

Subclass :class:`ErpWriterConformance` in a test module and override the fixture ``control`` with an :class:`ErpControl` of a real
ERP that may be written to (a sandbox server, a throw-away database):

    class TestMyWriter(ErpWriterConformance):
        @pytest.fixture
        def control(self):
            with my_server() as server:
                yield MyControl(server)

A test whose means the control does not list in ``can`` is skipped, and says so; so are those about addresses, items, invoices, credit
notes, payments, reversals and deliveries where the writer does not declare them.
"""

import asyncio
from datetime import timedelta
from decimal import Decimal

from meshline_dagster.core.documents import Answer, DocumentKind, ErpDocument, Outcome
from meshline_dagster.core.settle import difference
from meshline_dagster.erp.protocol import ErpWriter
from meshline_dagster.testing.erp_accounting import ErpAccountingConformance
from meshline_dagster.testing.erp_control import (
    ErpControl,
    find_one,
    need,
    need_operation,
    read_ours,
    run,
    settle,
)
from meshline_dagster.testing.erp_deliveries import ErpDeliveryConformance
from meshline_dagster.testing.erp_documents import Line, Sample
from meshline_dagster.testing.erp_failures import ErpFailureConformance
from meshline_dagster.testing.erp_masters import ErpMasterConformance
from meshline_dagster.testing.erp_ownership import ErpOwnershipConformance
from meshline_dagster.testing.erp_payments import ErpPaymentConformance
from meshline_dagster.testing.erp_reversals import ErpReversalConformance

__all__ = ["PRICES", "UNICODE", "ErpControl", "ErpWriterConformance"]

PRICES = ("0.01", "0.07", "0.10", "19.99", "55.00", "1234567.89", "8.60", "3393.33")
"""Prices in cents that a float, or a careless rounding, would change once they are added up."""

UNICODE = 'Ærø & Søn <株式会社> \N{ZERO WIDTH JOINER}😀 O\'Brien\u2028"x"'
"""A name that a careless quoting or encoding would change."""

_ORDER, _CUSTOMER = DocumentKind.SALES_ORDER, DocumentKind.CUSTOMER
_ABSENT_IDS = 250


class ErpWriterConformance(
    ErpFailureConformance,
    ErpMasterConformance,
    ErpAccountingConformance,
    ErpPaymentConformance,
    ErpReversalConformance,
    ErpDeliveryConformance,
    ErpOwnershipConformance,
):
    """Subclass it, and give it a ``control``."""

    def test_it_keeps_the_protocol(self, control: ErpControl) -> None:
        """A name to keep, capabilities that the engine can work with."""
        writer = control.writer()
        assert isinstance(writer, ErpWriter)
        assert writer.name
        assert writer.name == control.writer().name
        capabilities = writer.capabilities
        assert capabilities.batch_size >= 1
        assert capabilities.max_in_flight >= 1
        assert capabilities.request_timeout > 0
        assert capabilities.settle_after >= timedelta(0)
        assert {(_CUSTOMER, "create"), (_ORDER, "create")} <= capabilities.operations

    def test_it_names_the_company(self, control: ErpControl) -> None:
        """What the engine compares with the pinned one."""

        async def company(writer: ErpWriter) -> str:
            return await writer.company()

        assert run(control.writer(), company) == control.company

    def test_it_opens_again_after_it_was_closed(self, control: ErpControl) -> None:
        """A writer serves one delivery after the other, each in an event loop of its own; closing twice does no harm."""
        writer = control.writer()
        for _ in range(2):
            run(writer, lambda opened: opened.company())
        asyncio.run(writer.aclose())

    def test_what_is_created_is_found_to_the_cent(self, control: ErpControl, sample: Sample, lines: list[Line]) -> None:
        """Id, event, status, customer, money and lines."""
        order = sample.order(1, lines)

        async def work(writer: ErpWriter) -> tuple[list[Answer], list[ErpDocument], list[ErpDocument]]:
            answers = await settle(writer, sample.customer(), order)
            return answers, await find_one(writer, sample.customer()), await find_one(writer, order)

        answers, [customer], [found] = run(control.writer(), work)
        assert [answer.outcome for answer in answers] == [Outcome.CREATED] * 2
        assert [customer.erp_id, found.erp_id] == [answer.erp_id for answer in answers]
        assert (found.kind, found.status, found.currency) == (_ORDER, "open", control.currency)
        assert found.event_id in {None, order.event_id}
        assert found.customer in {None, sample.customer().external_id}
        assert found.amount == Decimal("21.07")
        assert found.stamp.utcoffset() == timedelta(0)
        assert sorted((line.sku, line.quantity, line.unit_price, line.amount) for line in found.lines) == sorted(
            (sku, Decimal(quantity), Decimal(price), Decimal(quantity) * Decimal(price))
            for sku, quantity, price in lines
        )
        assert difference(_ORDER, order.payload, found) is None

    def test_decimals_are_exact(self, control: ErpControl, sample: Sample) -> None:
        """Lines and total, for prices that floats garble."""
        places = range(len(PRICES))
        order = sample.order(1, [(control.skus[place % 2], str(place + 1), PRICES[place]) for place in places])

        async def work(writer: ErpWriter) -> list[ErpDocument]:
            await settle(writer, sample.customer(), order)
            return await find_one(writer, order)

        [found] = run(control.writer(), work)
        assert found.amount == sum(Decimal(PRICES[place]) * (place + 1) for place in places)
        assert sorted(line.unit_price for line in found.lines) == sorted(Decimal(price) for price in PRICES)
        assert difference(_ORDER, order.payload, found) is None

    def test_names_arrive_as_they_are(self, control: ErpControl, sample: Sample) -> None:
        """Every character of them."""
        need(control, "show_name")
        customer = sample.customer(UNICODE)
        run(control.writer(), lambda writer: settle(writer, customer))
        assert control.name_of(customer.external_id) == UNICODE

    def test_an_amendment_replaces_the_lines(self, control: ErpControl, sample: Sample, lines: list[Line]) -> None:
        """A document is a target state: nothing of the earlier lines stays."""
        first, second = sample.order(1, lines), sample.order(1, [(control.skus[1], "3", "7.77")], version=2)
        need_operation(control, second)

        async def work(writer: ErpWriter) -> tuple[list[Answer], list[ErpDocument]]:
            answers = await settle(writer, sample.customer(), first, second)
            return answers, await find_one(writer, second)

        answers, [found] = run(control.writer(), work)
        assert answers[1].erp_id == answers[2].erp_id == found.erp_id
        assert found.amount == Decimal("23.31")
        assert [(line.sku, line.quantity) for line in found.lines] == [(control.skus[1], Decimal(3))]
        assert difference(_ORDER, second.payload, found) is None

    def test_an_amendment_to_the_same_again_changes_nothing(
        self, control: ErpControl, sample: Sample, lines: list[Line]
    ) -> None:
        """As after a lost answer."""
        second = sample.order(1, lines[:1], version=2)
        need_operation(control, second)

        async def work(writer: ErpWriter) -> list[ErpDocument]:
            await settle(writer, sample.customer(), sample.order(1, lines), second, second)
            return await find_one(writer, second)

        [found] = run(control.writer(), work)
        assert difference(_ORDER, second.payload, found) is None

    def test_a_cancelled_order_shows_as_cancelled(self, control: ErpControl, sample: Sample, lines: list[Line]) -> None:
        """And stays so when it is cancelled again."""
        cancel = sample.order(1, lines, version=2, operation="cancel")
        need_operation(control, cancel)

        async def work(writer: ErpWriter) -> list[list[ErpDocument]]:
            await settle(writer, sample.customer(), sample.order(1, lines), cancel)
            once = await find_one(writer, cancel)
            await settle(writer, cancel)
            return [once, await find_one(writer, cancel)]

        for [found] in run(control.writer(), work):
            assert found.status == "cancelled"
            assert difference(_ORDER, cancel.payload, found) is None

    def test_absent_ids_are_absent_keys(self, control: ErpControl, sample: Sample, lines: list[Line]) -> None:
        """However many are asked for at once; the present one is among them."""
        order = sample.order(0, lines)
        absent = [sample.order(number, lines).external_id for number in range(1, _ABSENT_IDS)]

        async def work(writer: ErpWriter) -> list[set[str]]:
            await settle(writer, sample.customer(), order)
            asked = [[], absent, [*absent, order.external_id, order.external_id]]
            return [set(await writer.find(_ORDER, ids)) for ids in asked]

        assert run(control.writer(), work) == [set(), set(), {order.external_id}]

    def test_as_many_at_once_as_it_declares(self, control: ErpControl, sample: Sample, lines: list[Line]) -> None:
        """In full batches; one answer for each document, in its order."""
        size, slots = control.writer().capabilities.batch_size, control.writer().capabilities.max_in_flight
        batches = [
            [sample.order(batch * size + place, lines) for place in range(min(size, 10))]
            for batch in range(min(slots, 32))
        ]

        async def work(writer: ErpWriter) -> dict[str, tuple[str | None, ...]]:
            await settle(writer, sample.customer())
            answered = await asyncio.gather(*(writer.post(batch) for batch in batches))
            orders = [order for batch in batches for order in batch]
            found = await writer.find(_ORDER, [order.external_id for order in orders])
            pairs = zip(orders, [answer for answers in answered for answer in answers], strict=True)
            return {
                order.external_id: (answer.erp_id, *(one.erp_id for one in found[order.external_id]))
                for order, answer in pairs
            }

        for answered, *shown in run(control.writer(), work).values():
            assert shown == [answered]

    def test_changes_are_read_oldest_first_and_from_their_own_second_on(
        self, control: ErpControl, sample: Sample, lines: list[Line]
    ) -> None:
        """A document that changed exactly at ``since`` is among them: a reader that overlaps misses nothing."""
        orders = [sample.order(number, lines) for number in range(5)]

        async def work(writer: ErpWriter) -> tuple[list[ErpDocument], list[ErpDocument]]:
            await settle(writer, sample.customer(), *orders)
            everything = await read_ours(writer, _ORDER, orders)
            since = everything[2].stamp
            return everything, [one async for page in writer.read(_ORDER, since) for one in page]

        everything, later = run(control.writer(), work)
        assert {one.external_id for one in everything} == {order.external_id for order in orders}
        stamps = [one.stamp for one in everything]
        assert stamps == sorted(stamps)
        assert {one.erp_id for one in everything[2:]} <= {one.erp_id for one in later}
        assert all(one.stamp >= everything[2].stamp for one in later)
        assert all(difference(_ORDER, orders[0].payload, one) is None for one in everything)

    def test_an_amended_document_is_read_again(self, control: ErpControl, sample: Sample, lines: list[Line]) -> None:
        """With a later stamp and its new content."""
        second = sample.order(1, lines[:1], version=2)
        need_operation(control, second)

        async def work(writer: ErpWriter) -> list[list[ErpDocument]]:
            await settle(writer, sample.customer(), sample.order(1, lines))
            before = await read_ours(writer, _ORDER, [second])
            await settle(writer, second)
            return [before, await read_ours(writer, _ORDER, [second])]

        [before], [after] = run(control.writer(), work)
        assert before.erp_id == after.erp_id
        assert after.stamp >= before.stamp
        assert after.amount == Decimal(second.payload["amount"])
