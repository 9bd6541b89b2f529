"""The part of the ERP-writer conformance suite about masters beside customers: found where they are, made once where they are not."""

import pytest

from meshline_dagster.core.documents import Answer, Document, DocumentKind, ErpDocument, Outcome
from meshline_dagster.core.settle import difference
from meshline_dagster.erp.protocol import ErpWriter
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
from meshline_dagster.testing.erp_repetition import check_made_once, made_without_an_answer

__all__ = ["ErpMasterConformance"]

_ITEM, _ORDER = DocumentKind.ITEM, DocumentKind.SALES_ORDER


class ErpMasterConformance(ErpFixtures):
    """Part of :class:`~meshline_dagster.testing.erp_conformance.ErpWriterConformance`."""

    @pytest.fixture(params=["address", "item"])
    def master(self, request: pytest.FixtureRequest, control: ErpControl, sample: Sample) -> Document:
        """One that is not there yet; what it belongs to is."""
        document: Document = getattr(sample, request.param)()
        need_operation(control, document)
        run(control.writer(), lambda writer: settle(writer, sample.customer()))
        return document

    def test_a_master_is_found_as_soon_as_it_is_made(self, control: ErpControl, master: Document) -> None:
        """Under its own external id, and read back."""

        async def work(
            writer: ErpWriter,
        ) -> tuple[list[ErpDocument], list[Answer], list[ErpDocument], list[ErpDocument]]:
            absent = await find_one(writer, master)
            answers = await settle(writer, master)
            return absent, answers, await find_one(writer, master), await read_ours(writer, master.kind, [master])

        absent, [answer], [found], read = run(control.writer(), work)
        assert absent == []
        assert answer.outcome is Outcome.CREATED
        assert (found.kind, found.erp_id, found.status) == (master.kind, answer.erp_id, "open")
        assert [one.erp_id for one in read] == [found.erp_id]

    def test_one_key_twice_makes_one_master(self, control: ErpControl, master: Document) -> None:
        """By the ERP's own memory of keys, or because the external id is taken."""
        check_made_once(control, master)

    def test_a_master_whose_answer_is_lost_is_there_once(self, control: ErpControl, master: Document) -> None:
        """A look-up shows it, so that nobody has to send it again."""
        assert made_without_an_answer(control, master).external_id == master.external_id

    def test_a_master_belongs_to_the_erp_once_it_is_there(self, control: ErpControl, master: Document) -> None:
        """No change of it is declared."""
        assert {how for kind, how in control.writer().capabilities.operations if kind is master.kind} <= {
            "create",
            "find",
        }

    def test_items_that_the_erp_knows_are_found_by_their_sku(self, control: ErpControl, sample: Sample) -> None:
        """One for each: whoever matches before he creates makes no second one. An item that is not there is an absent key."""
        if not control.writer().capabilities.finds(_ITEM):
            pytest.skip("this ERP declares no items")
        absent = sample.item().external_id

        async def work(writer: ErpWriter) -> dict[str, int]:
            found = await writer.find(_ITEM, [*control.skus, absent])
            return {sku: len(records) for sku, records in found.items()}

        assert run(control.writer(), work) == dict.fromkeys(control.skus, 1)

    def test_an_order_may_name_an_item_as_soon_as_that_is_made(
        self, control: ErpControl, sample: Sample, lines: list[Line]
    ) -> None:
        """Beside items that were there."""
        item = sample.item()
        need_operation(control, item)
        order = sample.order(1, [*lines, (item.external_id, "3", "1.25")])

        async def work(writer: ErpWriter) -> list[ErpDocument]:
            await settle(writer, sample.customer(), item, order)
            return await find_one(writer, order)

        [found] = run(control.writer(), work)
        assert item.external_id in {line.sku for line in found.lines}

    def test_an_order_may_name_the_addresses_of_its_customer(
        self, control: ErpControl, sample: Sample, lines: list[Line]
    ) -> None:
        """And is the same document as without."""
        address = sample.address()
        need_operation(control, address)
        order = sample.order(1, lines, bill_to=address.external_id, ship_to=address.external_id)

        async def work(writer: ErpWriter) -> tuple[list[ErpDocument], list[ErpDocument]]:
            await settle(writer, sample.customer(), address, order)
            return await find_one(writer, address), await find_one(writer, order)

        [there], [found] = run(control.writer(), work)
        assert there.customer in {None, sample.customer().external_id}
        assert difference(_ORDER, order.payload, found) is None

    def test_an_address_of_an_unknown_customer_is_rejected(self, control: ErpControl, sample: Sample) -> None:
        """With the field; nothing is left behind."""
        address = sample.address()
        need_operation(control, address)

        async def work(writer: ErpWriter) -> tuple[Answer, list[ErpDocument]]:
            return await post_one(writer, address), await find_one(writer, address)

        answer, found = run(control.writer(), work)
        assert answer.outcome is Outcome.REJECTED
        assert "customer" in (answer.field or "")
        assert found == []
