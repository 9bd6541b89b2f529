"""The part of the ERP-writer conformance suite about one document of several under one external id: cancelled, and shown, by the ERP's id.

It is for writers that declare ``reverse``. The second document is entered where the ERP takes one (and, where the writer looks first, the
control can hide the first); where it does not, one document has to do.
"""

from dataclasses import replace

from meshline_dagster.core.documents import REVERSE, Answer, Document, DocumentKind, ErpDocument, Outcome
from meshline_dagster.core.settle import difference
from meshline_dagster.erp.protocol import ErpReverser, ErpWriter
from meshline_dagster.testing.erp_control import (
    ErpControl,
    ErpFixtures,
    find_one,
    need_operation,
    post_one,
    read_ours,
    run,
    settle,
)
from meshline_dagster.testing.erp_documents import Line, Sample

__all__ = ["ErpReversalConformance"]

_ORDER = DocumentKind.SALES_ORDER
_NOT_THERE = "999999999"
_CREATED = {Outcome.CREATED, Outcome.EXISTS}


class ErpReversalConformance(ErpFixtures):
    """Part of :class:`~meshline_dagster.testing.erp_conformance.ErpWriterConformance`."""

    def test_it_cancels_the_document_with_that_id_and_no_other(
        self, control: ErpControl, sample: Sample, lines: list[Line]
    ) -> None:
        """Also where another carries the same external id; the change is read back."""
        order = sample.order(1, lines)
        need_operation(control, _reversal(order, ""))

        async def work(writer: ErpWriter) -> tuple[list[str], Answer, list[ErpDocument], list[ErpDocument]]:
            ids = await _enter_twice(control, writer, sample, order)
            answer = await post_one(writer, _reversal(order, ids[-1]))
            return ids, answer, await find_one(writer, order), await read_ours(writer, _ORDER, [order])

        ids, answer, found, read = run(control.writer(), work)
        assert answer.outcome is Outcome.UPDATED
        assert answer.erp_id == ids[-1]
        wanted = {**dict.fromkeys(ids, "open"), ids[-1]: "cancelled"}
        assert {one.erp_id: one.status for one in found} == wanted
        assert {one.erp_id: one.status for one in read} == wanted

    def test_a_cancelled_document_is_done(self, control: ErpControl, sample: Sample, lines: list[Line]) -> None:
        """As after a lost answer, or where somebody was faster: another request changes nothing."""
        order = sample.order(1, lines)
        need_operation(control, _reversal(order, ""))

        async def work(writer: ErpWriter) -> tuple[Answer, ErpDocument, ErpDocument]:
            ids = await _enter_twice(control, writer, sample, order)
            await settle(writer, _reversal(order, ids[-1]))
            once = await _show_one(writer, ids[-1])
            answer = await post_one(writer, replace(_reversal(order, ids[-1]), key="f" * 64))
            return answer, once, await _show_one(writer, ids[-1])

        answer, once, twice = run(control.writer(), work)
        assert answer.outcome in {Outcome.UPDATED, Outcome.EXISTS}
        assert once.status == twice.status == "cancelled"
        assert once.stamp == twice.stamp

    def test_what_is_not_there_is_not_reversed(self, control: ErpControl, sample: Sample, lines: list[Line]) -> None:
        """It never falls back on the external id."""
        order = sample.order(1, lines)
        need_operation(control, _reversal(order, ""))

        async def work(writer: ErpWriter) -> tuple[Answer, list[ErpDocument]]:
            await settle(writer, sample.customer(), order)
            return await post_one(writer, _reversal(order, _NOT_THERE)), await find_one(writer, order)

        answer, [found] = run(control.writer(), work)
        assert answer.outcome is Outcome.REJECTED
        assert answer.message
        assert found.status == "open"

    def test_documents_are_shown_by_their_ids(self, control: ErpControl, sample: Sample, lines: list[Line]) -> None:
        """As a look-up by external id shows them; absent ids are absent keys."""
        order = sample.order(1, lines)
        need_operation(control, _reversal(order, ""))

        async def work(writer: ErpWriter) -> tuple[dict[str, ErpDocument], list[ErpDocument]]:
            ids = await _enter_twice(control, writer, sample, order)
            assert isinstance(writer, ErpReverser)
            assert dict(await writer.show(_ORDER, [])) == {}
            return dict(await writer.show(_ORDER, [*ids, _NOT_THERE, ids[0]])), await find_one(writer, order)

        shown, found = run(control.writer(), work)
        assert shown == {one.erp_id: one for one in found}

    def test_the_document_that_is_left_is_amended(self, control: ErpControl, sample: Sample, lines: list[Line]) -> None:
        """What was reversed beside it is out of the way."""
        order, second = sample.order(1, lines), sample.order(1, lines[:1], version=2)
        need_operation(control, _reversal(order, ""))
        need_operation(control, second)

        async def work(writer: ErpWriter) -> tuple[list[str], Answer, list[ErpDocument]]:
            ids = await _enter_twice(control, writer, sample, order)
            if len(ids) > 1:
                await settle(writer, _reversal(order, ids[0]))
            return ids, await post_one(writer, second), await find_one(writer, order)

        ids, answer, found = run(control.writer(), work)
        assert answer.erp_id == ids[-1]
        [left] = [one for one in found if one.status != "cancelled"]
        assert difference(_ORDER, second.payload, left) is None


def _reversal(order: Document, erp_id: str) -> Document:
    key, event_id = "e" * 64, order.event_id[::-1]
    return replace(order, key=key, event_id=event_id, operation=REVERSE, payload={"status": "cancelled"}, erp_id=erp_id)


async def _enter_twice(control: ErpControl, writer: ErpWriter, sample: Sample, order: Document) -> list[str]:
    """The ids of the documents that the order has then, the oldest first: two where the ERP lets somebody else enter it once more."""
    [_, first] = await settle(writer, sample.customer(), order)
    show_again = control.hide_order(order.external_id) if "hide_order" in control.can else None
    second = await post_one(writer, replace(order, key=order.key[::-1]))
    assert second.outcome in _CREATED
    if show_again is not None:
        show_again()
        assert second.erp_id != first.erp_id
    return list(dict.fromkeys([str(first.erp_id), str(second.erp_id)]))


async def _show_one(writer: ErpWriter, erp_id: str) -> ErpDocument:
    assert isinstance(writer, ErpReverser)
    return (await writer.show(_ORDER, [erp_id]))[erp_id]
