"""The conformance suite for ERP writers: what the delivery engine relies on, whatever the ERP.

Subclass :class:`ErpWriterConformance` in a test module and override the fixture ``control`` with an :class:`ErpControl` of a real
ERP that may be written to (a sandbox server, a throw-away database):

    class TestMyWriter(ErpWriterConformance):
        @pytest.fixture
        def control(self):
            with my_server() as server:
                yield MyControl(server)

A test whose means the control does not list in ``can`` is skipped, and says so.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Protocol, TypeVar

import pytest

from meshline_dagster.core.documents import Answer, Document, DocumentKind, ErpDocument, Outcome
from meshline_dagster.core.errors import AuthError, TransientError
from meshline_dagster.core.settle import difference
from meshline_dagster.erp.protocol import ErpWriter
from meshline_dagster.testing.erp_documents import Line, Sample

__all__ = ["PRICES", "UNICODE", "ErpControl", "ErpWriterConformance"]

PRICES = ("0.01", "0.07", "0.10", "19.99", "55.00", "1234567.89", "8.60", "3393.33")
"""Prices in cents that a float, or a careless rounding, would change once they are added up."""

UNICODE = 'Ærø & Søn <株式会社> \N{ZERO WIDTH JOINER}😀 O\'Brien\u2028"x"'
"""A name that a careless quoting or encoding would change."""

_SETTLED = frozenset({Outcome.CREATED, Outcome.UPDATED, Outcome.EXISTS})
_ORDER, _CUSTOMER = DocumentKind.SALES_ORDER, DocumentKind.CUSTOMER
_ABSENT_IDS = 250
_T = TypeVar("_T")


class ErpControl(Protocol):
    """An adopter's hold on the ERP behind a writer.

    Attributes:
        can: which of ``lose_answer``, ``refuse_connection``, ``refuse_credentials``, ``refuse_skus`` and ``show_name`` it has the
            means for.
        company: the id that ``company()`` must answer.
        currency: one that the company sells in; it has cents.
        skus: two items that the ERP knows, or more.
    """

    can: frozenset[str]
    company: str
    currency: str
    skus: Sequence[str]

    def writer(self) -> ErpWriter:
        """A new writer on the ERP, not yet open."""
        ...

    def unreachable(self) -> ErpWriter:
        """A new writer whose posts find nobody listening; its ``open`` may fail (``can`` has ``refuse_connection``)."""
        ...

    def stranger(self) -> ErpWriter:
        """A new writer with wrong credentials (``can`` has ``refuse_credentials``)."""
        ...

    def lose_next_answer(self) -> None:
        """Let the ERP do what the next posting asks for, and the answer not arrive (``can`` has ``lose_answer``)."""
        ...

    def name_of(self, external_id: str) -> str:
        """The name of a customer, as the ERP has it (``can`` has ``show_name``)."""
        ...


def _need(control: ErpControl, means: str) -> None:
    if means not in control.can:
        pytest.skip(f"no means to {means.replace('_', ' ')} here")


def _run(writer: ErpWriter, work: Callable[[ErpWriter], Awaitable[_T]]) -> _T:
    """Open the writer, work, give it back."""

    async def inside() -> _T:
        await writer.open()
        try:
            return await work(writer)
        finally:
            await writer.aclose()

    return asyncio.run(inside())


async def _post(writer: ErpWriter, document: Document) -> Answer:
    [answer] = await writer.post([document])
    return answer


async def _settle(writer: ErpWriter, *documents: Document) -> list[Answer]:
    """Post one after the other what must be taken."""
    answers = [await _post(writer, document) for document in documents]
    for answer in answers:
        assert answer.outcome in _SETTLED, answer
        assert answer.erp_id
    return answers


async def _find(writer: ErpWriter, document: Document) -> list[ErpDocument]:
    found = await writer.find(document.kind, [document.external_id])
    assert set(found) <= {document.external_id}
    return list(found.get(document.external_id, []))


async def _read(writer: ErpWriter, kind: DocumentKind, documents: Sequence[Document]) -> list[ErpDocument]:
    ours = {document.external_id for document in documents}
    return [one async for page in writer.read(kind, None) for one in page if one.external_id in ours]


class ErpWriterConformance:
    """Subclass it, and give it a ``control``."""

    @pytest.fixture
    def control(self) -> ErpControl:
        """The adopter's hold on an ERP."""
        pytest.fail("override the fixture `control` with a hold on your ERP")

    @pytest.fixture
    def sample(self, control: ErpControl) -> Sample:
        """Documents with names of their own."""
        return Sample(control.currency)

    @pytest.fixture
    def lines(self, control: ErpControl) -> list[Line]:
        """Two lines of known items."""
        return [(control.skus[0], "2", "10.50"), (control.skus[1], "1", "0.07")]

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

        assert _run(control.writer(), company) == control.company

    def test_it_opens_again_after_it_was_closed(self, control: ErpControl) -> None:
        """A writer serves one delivery after the other, each in an event loop of its own; closing twice does no harm."""
        writer = control.writer()
        for _ in range(2):
            _run(writer, lambda opened: opened.company())
        asyncio.run(writer.aclose())

    def test_what_is_created_is_found_to_the_cent(self, control: ErpControl, sample: Sample, lines: list[Line]) -> None:
        """Id, event, status, customer, money and lines."""
        order = sample.order(1, lines)

        async def work(writer: ErpWriter) -> tuple[list[Answer], list[ErpDocument], list[ErpDocument]]:
            answers = await _settle(writer, sample.customer(), order)
            return answers, await _find(writer, sample.customer()), await _find(writer, order)

        answers, [customer], [found] = _run(control.writer(), work)
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
            await _settle(writer, sample.customer(), order)
            return await _find(writer, order)

        [found] = _run(control.writer(), work)
        assert found.amount == sum(Decimal(PRICES[place]) * (place + 1) for place in places)
        assert sorted(line.unit_price for line in found.lines) == sorted(Decimal(price) for price in PRICES)
        assert difference(_ORDER, order.payload, found) is None

    def test_names_arrive_as_they_are(self, control: ErpControl, sample: Sample) -> None:
        """Every character of them."""
        _need(control, "show_name")
        customer = sample.customer(UNICODE)
        _run(control.writer(), lambda writer: _settle(writer, customer))
        assert control.name_of(customer.external_id) == UNICODE

    def test_an_amendment_replaces_the_lines(self, control: ErpControl, sample: Sample, lines: list[Line]) -> None:
        """A document is a target state: nothing of the earlier lines stays."""
        first, second = sample.order(1, lines), sample.order(1, [(control.skus[1], "3", "7.77")], version=2)
        _need_operation(control, second)

        async def work(writer: ErpWriter) -> tuple[list[Answer], list[ErpDocument]]:
            answers = await _settle(writer, sample.customer(), first, second)
            return answers, await _find(writer, second)

        answers, [found] = _run(control.writer(), work)
        assert answers[1].erp_id == answers[2].erp_id == found.erp_id
        assert found.amount == Decimal("23.31")
        assert [(line.sku, line.quantity) for line in found.lines] == [(control.skus[1], Decimal(3))]
        assert difference(_ORDER, second.payload, found) is None

    def test_an_amendment_to_the_same_again_changes_nothing(
        self, control: ErpControl, sample: Sample, lines: list[Line]
    ) -> None:
        """As after a lost answer."""
        second = sample.order(1, lines[:1], version=2)
        _need_operation(control, second)

        async def work(writer: ErpWriter) -> list[ErpDocument]:
            await _settle(writer, sample.customer(), sample.order(1, lines), second, second)
            return await _find(writer, second)

        [found] = _run(control.writer(), work)
        assert difference(_ORDER, second.payload, found) is None

    def test_a_cancelled_order_shows_as_cancelled(self, control: ErpControl, sample: Sample, lines: list[Line]) -> None:
        """And stays so when it is cancelled again."""
        cancel = sample.order(1, lines, version=2, operation="cancel")
        _need_operation(control, cancel)

        async def work(writer: ErpWriter) -> list[list[ErpDocument]]:
            await _settle(writer, sample.customer(), sample.order(1, lines), cancel)
            once = await _find(writer, cancel)
            await _settle(writer, cancel)
            return [once, await _find(writer, cancel)]

        for [found] in _run(control.writer(), work):
            assert found.status == "cancelled"
            assert difference(_ORDER, cancel.payload, found) is None

    def test_an_amendment_of_what_is_not_there_is_rejected(
        self, control: ErpControl, sample: Sample, lines: list[Line]
    ) -> None:
        """It is never turned into a creation."""
        second = sample.order(1, lines, version=2)
        _need_operation(control, second)

        async def work(writer: ErpWriter) -> tuple[Answer, list[ErpDocument]]:
            await _settle(writer, sample.customer())
            return await _post(writer, second), await _find(writer, second)

        answer, found = _run(control.writer(), work)
        assert answer.outcome is Outcome.REJECTED
        assert found == []

    def test_one_key_twice_makes_one_document(self, control: ErpControl, sample: Sample, lines: list[Line]) -> None:
        """By the ERP's own memory of keys, or because the external id is taken."""
        capabilities = control.writer().capabilities
        if not (capabilities.native_idempotency or capabilities.unique_external_id):
            pytest.skip("this ERP takes everything twice: the engine looks up before it repeats a request")
        order = sample.order(1, lines)

        async def work(writer: ErpWriter) -> tuple[list[Answer], list[ErpDocument]]:
            answers = await _settle(writer, sample.customer(), order, order)
            return answers, await _find(writer, order)

        answers, [found] = _run(control.writer(), work)
        assert {answers[1].erp_id, answers[2].erp_id} == {found.erp_id}
        assert answers[2].outcome in {Outcome.CREATED, Outcome.EXISTS}
        if not capabilities.native_idempotency:
            assert answers[2].outcome is Outcome.EXISTS

    def test_an_order_of_an_unknown_customer_is_rejected(
        self, control: ErpControl, sample: Sample, lines: list[Line]
    ) -> None:
        """With words and the field; nothing is left behind."""
        order = sample.order(1, lines)

        async def work(writer: ErpWriter) -> tuple[Answer, list[ErpDocument]]:
            return await _post(writer, order), await _find(writer, order)

        answer, found = _run(control.writer(), work)
        assert answer.outcome is Outcome.REJECTED
        assert answer.message
        assert "customer" in (answer.field or "")
        assert found == []

    def test_an_order_of_an_unknown_item_is_rejected(
        self, control: ErpControl, sample: Sample, lines: list[Line]
    ) -> None:
        """The message names the item; nothing is left behind, not even the lines before it."""
        _need(control, "refuse_skus")
        order = sample.order(1, [*lines, ("no such item", "1", "1.00")])

        async def work(writer: ErpWriter) -> tuple[Answer, list[ErpDocument]]:
            await _settle(writer, sample.customer())
            return await _post(writer, order), await _find(writer, order)

        answer, found = _run(control.writer(), work)
        assert answer.outcome is Outcome.REJECTED
        assert "no such item" in answer.message
        assert answer.field
        assert found == []

    def test_a_rejected_order_is_taken_once_it_is_corrected(
        self, control: ErpControl, sample: Sample, lines: list[Line]
    ) -> None:
        """A refusal uses nothing up: not the external id, nor the key."""
        order = sample.order(1, lines)

        async def work(writer: ErpWriter) -> tuple[Answer, list[ErpDocument]]:
            refused = await _post(writer, order)
            await _settle(writer, sample.customer(), order)
            return refused, await _find(writer, order)

        refused, found = _run(control.writer(), work)
        assert refused.outcome is Outcome.REJECTED
        assert len(found) == 1

    def test_absent_ids_are_absent_keys(self, control: ErpControl, sample: Sample, lines: list[Line]) -> None:
        """However many are asked for at once; the present one is among them."""
        order = sample.order(0, lines)
        absent = [sample.order(number, lines).external_id for number in range(1, _ABSENT_IDS)]

        async def work(writer: ErpWriter) -> list[set[str]]:
            await _settle(writer, sample.customer(), order)
            asked = [[], absent, [*absent, order.external_id, order.external_id]]
            return [set(await writer.find(_ORDER, ids)) for ids in asked]

        assert _run(control.writer(), work) == [set(), set(), {order.external_id}]

    def test_as_many_at_once_as_it_declares(self, control: ErpControl, sample: Sample, lines: list[Line]) -> None:
        """In full batches; one answer for each document, in its order."""
        size, slots = control.writer().capabilities.batch_size, control.writer().capabilities.max_in_flight
        batches = [
            [sample.order(batch * size + place, lines) for place in range(min(size, 10))]
            for batch in range(min(slots, 32))
        ]

        async def work(writer: ErpWriter) -> dict[str, tuple[str | None, ...]]:
            await _settle(writer, sample.customer())
            answered = await asyncio.gather(*(writer.post(batch) for batch in batches))
            orders = [order for batch in batches for order in batch]
            found = await writer.find(_ORDER, [order.external_id for order in orders])
            pairs = zip(orders, [answer for answers in answered for answer in answers], strict=True)
            return {
                order.external_id: (answer.erp_id, *(one.erp_id for one in found[order.external_id]))
                for order, answer in pairs
            }

        for answered, *shown in _run(control.writer(), work).values():
            assert shown == [answered]

    def test_changes_are_read_oldest_first_and_from_their_own_second_on(
        self, control: ErpControl, sample: Sample, lines: list[Line]
    ) -> None:
        """A document that changed exactly at ``since`` is among them: a reader that overlaps misses nothing."""
        orders = [sample.order(number, lines) for number in range(5)]

        async def work(writer: ErpWriter) -> tuple[list[ErpDocument], list[ErpDocument]]:
            await _settle(writer, sample.customer(), *orders)
            everything = await _read(writer, _ORDER, orders)
            since = everything[2].stamp
            return everything, [one async for page in writer.read(_ORDER, since) for one in page]

        everything, later = _run(control.writer(), work)
        assert {one.external_id for one in everything} == {order.external_id for order in orders}
        stamps = [one.stamp for one in everything]
        assert stamps == sorted(stamps)
        assert {one.erp_id for one in everything[2:]} <= {one.erp_id for one in later}
        assert all(one.stamp >= everything[2].stamp for one in later)
        assert all(difference(_ORDER, orders[0].payload, one) is None for one in everything)

    def test_an_amended_document_is_read_again(self, control: ErpControl, sample: Sample, lines: list[Line]) -> None:
        """With a later stamp and its new content."""
        second = sample.order(1, lines[:1], version=2)
        _need_operation(control, second)

        async def work(writer: ErpWriter) -> list[list[ErpDocument]]:
            await _settle(writer, sample.customer(), sample.order(1, lines))
            before = await _read(writer, _ORDER, [second])
            await _settle(writer, second)
            return [before, await _read(writer, _ORDER, [second])]

        [before], [after] = _run(control.writer(), work)
        assert before.erp_id == after.erp_id
        assert after.stamp >= before.stamp
        assert after.amount == Decimal(second.payload["amount"])

    def test_a_lost_answer_is_unknown_and_a_look_up_shows_the_document(
        self, control: ErpControl, sample: Sample, lines: list[Line]
    ) -> None:
        """Never "rejected" and never "not now": the ERP has acted."""
        _need(control, "lose_answer")
        order = sample.order(1, lines)

        async def work(writer: ErpWriter) -> tuple[Answer, list[ErpDocument]]:
            await _settle(writer, sample.customer())
            control.lose_next_answer()
            return await _post(writer, order), await _find(writer, order)

        answer, [found] = _run(control.writer(), work)
        assert answer.outcome is Outcome.UNKNOWN
        assert difference(_ORDER, order.payload, found) is None

    def test_an_amendment_whose_answer_is_lost_shows_in_a_look_up(
        self, control: ErpControl, sample: Sample, lines: list[Line]
    ) -> None:
        """It is made once, and nothing is sent again behind the engine's back."""
        _need(control, "lose_answer")
        second = sample.order(1, lines[:1], version=2)
        _need_operation(control, second)

        async def work(writer: ErpWriter) -> tuple[Answer, list[ErpDocument]]:
            await _settle(writer, sample.customer(), sample.order(1, lines))
            control.lose_next_answer()
            return await _post(writer, second), await _find(writer, second)

        answer, [found] = _run(control.writer(), work)
        assert answer.outcome is Outcome.UNKNOWN
        assert difference(_ORDER, second.payload, found) is None

    def test_a_refused_connection_is_not_now(self, control: ErpControl, sample: Sample, lines: list[Line]) -> None:
        """Nothing was sent, so that nothing is unknown; ``open`` may say so at once."""
        _need(control, "refuse_connection")

        async def work() -> Answer:
            writer = control.unreachable()
            with contextlib.suppress(TransientError):
                await writer.open()
            try:
                return await _post(writer, sample.order(1, lines))
            finally:
                await writer.aclose()

        answer = asyncio.run(work())
        assert answer.outcome is Outcome.RETRY
        assert answer.message

    def test_refused_credentials_stop_it_at_the_door(self, control: ErpControl) -> None:
        """``open`` raises, and its words do not hold the secret."""
        _need(control, "refuse_credentials")
        with pytest.raises(AuthError):
            _run(control.stranger(), lambda writer: writer.company())

    def test_an_operation_that_it_does_not_declare_is_rejected(self, control: ErpControl, sample: Sample) -> None:
        """Without a request."""
        undeclared = replace(sample.customer(), operation="no such operation")

        async def work(writer: ErpWriter) -> Answer:
            return await _post(writer, undeclared)

        answer = _run(control.writer(), work)
        assert answer.outcome is Outcome.REJECTED


def _need_operation(control: ErpControl, document: Document) -> None:
    if (document.kind, document.operation) not in control.writer().capabilities.operations:
        pytest.skip(f"this ERP cannot {document.operation} a {document.kind.value}")
