"""The part of the ERP-writer conformance suite about what is delivered of a sales order, for writers that declare ``tells_deliveries``."""

from decimal import Decimal

import pytest

from meshline_dagster.core.documents import DocumentKind, ErpDocument
from meshline_dagster.core.settle import difference
from meshline_dagster.erp.protocol import ErpWriter
from meshline_dagster.testing.erp_control import ErpControl, ErpFixtures, find_one, need, read_ours, run, settle
from meshline_dagster.testing.erp_documents import Line, Sample

__all__ = ["ErpDeliveryConformance"]

_ORDER = DocumentKind.SALES_ORDER


class ErpDeliveryConformance(ErpFixtures):
    """Part of :class:`~meshline_dagster.testing.erp_conformance.ErpWriterConformance`."""

    def test_what_is_delivered_and_what_came_back_is_told(
        self, control: ErpControl, sample: Sample, lines: list[Line]
    ) -> None:
        """By look-ups and by the read-back; nothing of it makes the order another one, and an amendment keeps it."""
        need(control, "deliver")
        if not control.writer().capabilities.tells_deliveries:
            pytest.skip("this ERP does not tell what is delivered")
        (sku, ordered, _), *others = lines
        order = sample.order(1, lines)
        amended = sample.order(1, [*lines, (sku, "1", "3.00")], version=2)

        async def create(writer: ErpWriter) -> list[ErpDocument]:
            await settle(writer, sample.customer(), order)
            return await find_one(writer, order)

        async def look(writer: ErpWriter) -> list[ErpDocument]:
            found, read = await find_one(writer, order), await read_ours(writer, _ORDER, [order])
            assert [_told(one) for one in found] == [_told(one) for one in read]
            return found

        async def amend(writer: ErpWriter) -> list[ErpDocument]:
            await settle(writer, amended)
            return await find_one(writer, order)

        [before] = run(control.writer(), create)
        assert not any(_told(before).values())
        for quantity in (Decimal(ordered), Decimal(0), Decimal(1)):
            control.deliver(order.external_id, sku, quantity)
            [shown] = run(control.writer(), look)
            assert _told(shown) == {sku: quantity, **{other: Decimal(0) for other, *_ in others}}
            assert shown.stamp >= before.stamp
            assert difference(_ORDER, order.payload, shown) is None
        [after] = run(control.writer(), amend)
        assert _told(after)[sku] == Decimal(1)


def _told(document: ErpDocument) -> dict[str, Decimal]:
    """What is delivered, by item."""
    told: dict[str, Decimal] = {}
    for line in document.lines:
        told[line.sku] = told.get(line.sku, Decimal(0)) + (line.delivered or Decimal(0))
    return told
