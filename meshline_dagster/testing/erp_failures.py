"""The part of the ERP-writer conformance suite about what goes wrong: refusals, repetitions, lost answers, closed doors."""

import asyncio
import contextlib
from dataclasses import replace

import pytest

from meshline_dagster.core.documents import Answer, DocumentKind, ErpDocument, Outcome
from meshline_dagster.core.errors import AuthError, TransientError
from meshline_dagster.core.settle import difference
from meshline_dagster.erp.protocol import ErpWriter
from meshline_dagster.testing.erp_control import (
    ErpControl,
    ErpFixtures,
    find_one,
    need,
    need_operation,
    post_one,
    run,
    settle,
)
from meshline_dagster.testing.erp_documents import Line, Sample

__all__ = ["ErpFailureConformance"]

_ORDER = DocumentKind.SALES_ORDER


class ErpFailureConformance(ErpFixtures):
    """Part of :class:`~meshline_dagster.testing.erp_conformance.ErpWriterConformance`."""

    def test_an_amendment_of_what_is_not_there_is_rejected(
        self, control: ErpControl, sample: Sample, lines: list[Line]
    ) -> None:
        """It is never turned into a creation."""
        second = sample.order(1, lines, version=2)
        need_operation(control, second)

        async def work(writer: ErpWriter) -> tuple[Answer, list[ErpDocument]]:
            await settle(writer, sample.customer())
            return await post_one(writer, second), await find_one(writer, second)

        answer, found = run(control.writer(), work)
        assert answer.outcome is Outcome.REJECTED
        assert found == []

    def test_an_external_id_in_other_case_is_another_one(
        self, control: ErpControl, sample: Sample, lines: list[Line]
    ) -> None:
        """Also where the ERP's search takes both for the same: neither shown, nor changed."""
        customer, order = sample.customer(), sample.order(1, lines)
        other = {one.kind: replace(one, external_id=one.external_id.swapcase()) for one in (customer, order)}
        second = replace(other[_ORDER], operation="amend")

        async def work(writer: ErpWriter) -> tuple[list[ErpDocument], list[str], Answer | None]:
            await settle(writer, customer, order)
            shown = [found for one in other.values() for found in await find_one(writer, one)]
            both = await writer.find(_ORDER, [order.external_id, second.external_id])
            can_amend = (_ORDER, "amend") in writer.capabilities.operations
            return shown, list(both), await post_one(writer, second) if can_amend else None

        shown, both, answer = run(control.writer(), work)
        assert shown == []
        assert both == [order.external_id]
        assert answer is None or answer.outcome is Outcome.REJECTED

    def test_one_key_twice_makes_one_document(self, control: ErpControl, sample: Sample, lines: list[Line]) -> None:
        """By the ERP's own memory of keys, or because the external id is taken."""
        capabilities = control.writer().capabilities
        if not (capabilities.native_idempotency or capabilities.unique_external_id):
            pytest.skip("this ERP takes everything twice: the engine looks up before it repeats a request")
        order = sample.order(1, lines)

        async def work(writer: ErpWriter) -> tuple[list[Answer], list[ErpDocument]]:
            answers = await settle(writer, sample.customer(), order, order)
            return answers, await find_one(writer, order)

        answers, [found] = run(control.writer(), work)
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
            return await post_one(writer, order), await find_one(writer, order)

        answer, found = run(control.writer(), work)
        assert answer.outcome is Outcome.REJECTED
        assert answer.message
        assert "customer" in (answer.field or "")
        assert found == []

    def test_an_order_of_an_unknown_item_is_rejected(
        self, control: ErpControl, sample: Sample, lines: list[Line]
    ) -> None:
        """The message names the item; nothing is left behind, not even the lines before it."""
        need(control, "refuse_skus")
        order = sample.order(1, [*lines, ("no such item", "1", "1.00")])

        async def work(writer: ErpWriter) -> tuple[Answer, list[ErpDocument]]:
            await settle(writer, sample.customer())
            return await post_one(writer, order), await find_one(writer, order)

        answer, found = run(control.writer(), work)
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
            refused = await post_one(writer, order)
            await settle(writer, sample.customer(), order)
            return refused, await find_one(writer, order)

        refused, found = run(control.writer(), work)
        assert refused.outcome is Outcome.REJECTED
        assert len(found) == 1

    def test_a_lost_answer_is_unknown_and_a_look_up_shows_the_document(
        self, control: ErpControl, sample: Sample, lines: list[Line]
    ) -> None:
        """Never "rejected" and never "not now": the ERP has acted."""
        need(control, "lose_answer")
        order = sample.order(1, lines)

        async def work(writer: ErpWriter) -> tuple[Answer, list[ErpDocument]]:
            await settle(writer, sample.customer())
            control.lose_next_answer()
            return await post_one(writer, order), await find_one(writer, order)

        answer, [found] = run(control.writer(), work)
        assert answer.outcome is Outcome.UNKNOWN
        assert difference(_ORDER, order.payload, found) is None

    def test_an_amendment_whose_answer_is_lost_shows_in_a_look_up(
        self, control: ErpControl, sample: Sample, lines: list[Line]
    ) -> None:
        """It is made once, and nothing is sent again behind the engine's back."""
        need(control, "lose_answer")
        second = sample.order(1, lines[:1], version=2)
        need_operation(control, second)

        async def work(writer: ErpWriter) -> tuple[Answer, list[ErpDocument]]:
            await settle(writer, sample.customer(), sample.order(1, lines))
            control.lose_next_answer()
            return await post_one(writer, second), await find_one(writer, second)

        answer, [found] = run(control.writer(), work)
        assert answer.outcome is Outcome.UNKNOWN
        assert difference(_ORDER, second.payload, found) is None

    def test_a_refused_connection_is_not_now(self, control: ErpControl, sample: Sample, lines: list[Line]) -> None:
        """Nothing was sent, so that nothing is unknown; ``open`` may say so at once."""
        need(control, "refuse_connection")

        async def work() -> Answer:
            writer = control.unreachable()
            with contextlib.suppress(TransientError):
                await writer.open()
            try:
                return await post_one(writer, sample.order(1, lines))
            finally:
                await writer.aclose()

        answer = asyncio.run(work())
        assert answer.outcome is Outcome.RETRY
        assert answer.message

    def test_refused_credentials_stop_it_at_the_door(self, control: ErpControl) -> None:
        """``open`` raises, and its words do not hold the secret."""
        need(control, "refuse_credentials")
        with pytest.raises(AuthError):
            run(control.stranger(), lambda writer: writer.company())

    def test_an_operation_that_it_does_not_declare_is_rejected(self, control: ErpControl, sample: Sample) -> None:
        """Without a request."""
        undeclared = replace(sample.customer(), operation="no such operation")

        async def work(writer: ErpWriter) -> Answer:
            return await post_one(writer, undeclared)

        answer = run(control.writer(), work)
        assert answer.outcome is Outcome.REJECTED
