"""The part of the ERP-writer conformance suite about what is whose: what we posted never looks like somebody else's change, and an amendment
leaves alone what it leaves out.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from meshline_dagster.core.documents import Document, ErpDocument
from meshline_dagster.core.foreign import erp_state, foreign_changes
from meshline_dagster.erp.protocol import ErpWriter
from meshline_dagster.testing.erp_control import ErpControl, ErpFixtures, find_one, need, need_operation, run, settle
from meshline_dagster.testing.erp_documents import Line, Sample

__all__ = ["ErpOwnershipConformance"]

_NOT_OURS = frozenset({"po_number", "payment_terms", "order_date", "customer_name"})
_NOT_OURS_OF_LINES = frozenset({"description", "tax_code", "start", "end"})


class ErpOwnershipConformance(ErpFixtures):
    """Part of :class:`~meshline_dagster.testing.erp_conformance.ErpWriterConformance`."""

    def test_what_we_posted_looks_like_nobodys_change(
        self, control: ErpControl, sample: Sample, lines: list[Line]
    ) -> None:
        """After a creation and after an amendment: else each further amendment would wait for a person."""
        first, again = sample.order(1, lines, po_number="PO-1"), sample.order(1, lines, version=3, po_number="PO-3")
        second = sample.order(1, [(control.skus[1], "3", "7.77")], version=2, po_number="PO-2", order_date="2017-04-03")
        third = sample.order(1, lines, version=3, operation="cancel")
        need_operation(control, second)

        async def work(writer: ErpWriter) -> list[list[ErpDocument]]:
            await settle(writer, sample.customer(), first)
            created = await find_one(writer, first)
            await settle(writer, second)
            return [created, await find_one(writer, second)]

        [created], [amended] = run(control.writer(), work)
        assert foreign_changes(first.payload, second.payload, created) == ()
        assert foreign_changes(second.payload, third.payload, amended) == ()
        assert foreign_changes(second.payload, again.payload, amended) == ()
        assert {one.field for one in foreign_changes(first.payload, first.payload, amended)} >= {"amount"}
        assert erp_state(created) != erp_state(amended)

    def test_an_amendment_leaves_alone_what_it_leaves_out(
        self, control: ErpControl, sample: Sample, lines: list[Line]
    ) -> None:
        """Members that are not in the payload belong to the ERP."""
        need(control, "show_po_number")
        first = sample.order(1, lines, po_number="PO-4711")
        second = _without(sample.order(1, [(sku, "5", price) for sku, _, price in lines], version=2))
        need_operation(control, second)

        async def work(writer: ErpWriter) -> list[ErpDocument]:
            await settle(writer, sample.customer(), first, second)
            return await find_one(writer, second)

        [found] = run(control.writer(), work)
        assert foreign_changes(second.payload, second.payload, found) == ()
        assert control.po_number_of(first.external_id) == "PO-4711"

    def test_a_creation_does_without_what_is_not_ours(
        self, control: ErpControl, sample: Sample, lines: list[Line]
    ) -> None:
        """The ERP takes what it has for it."""
        order = _without(sample.order(1, lines))

        async def work(writer: ErpWriter) -> list[ErpDocument]:
            await settle(writer, sample.customer(), order)
            return await find_one(writer, order)

        [found] = run(control.writer(), work)
        assert foreign_changes(order.payload, order.payload, found) == ()


def _without(document: Document) -> Document:
    payload: Mapping[str, Any] = document.payload
    lines = [
        {name: value for name, value in line.items() if name not in _NOT_OURS_OF_LINES} for line in payload["lines"]
    ]
    left = {name: value for name, value in payload.items() if name not in _NOT_OURS}
    return replace(document, payload={**left, "lines": lines})
