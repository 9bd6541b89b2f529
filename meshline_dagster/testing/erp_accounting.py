"""The part of the ERP-writer conformance suite about invoices and credit notes: made once, never changed, never credited twice."""

from dataclasses import replace
from decimal import Decimal

import pytest

from meshline_dagster.core.documents import ACCOUNTING_KINDS, Answer, Document, DocumentKind, ErpDocument, Outcome
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

__all__ = ["ErpAccountingConformance"]

_INVOICE, _CREDIT_NOTE = DocumentKind.INVOICE, DocumentKind.CREDIT_NOTE


class ErpAccountingConformance(ErpFixtures):
    """Part of :class:`~meshline_dagster.testing.erp_conformance.ErpWriterConformance`."""

    @pytest.fixture
    def ordered(self, control: ErpControl, sample: Sample, lines: list[Line]) -> Document:
        """An invoice, not yet posted, of an order that is."""
        invoice = sample.invoice(1, lines)
        need_operation(control, invoice)
        run(control.writer(), lambda writer: settle(writer, sample.customer(), sample.order(1, lines)))
        return invoice

    def test_an_invoice_is_found_to_the_cent(self, control: ErpControl, ordered: Document) -> None:
        """Under its own external id, in the books, of its order."""

        async def work(writer: ErpWriter) -> tuple[list[Answer], list[ErpDocument], list[ErpDocument]]:
            answers = await settle(writer, ordered)
            return answers, await find_one(writer, ordered), await read_ours(writer, _INVOICE, [ordered])

        [answer], [found], read = run(control.writer(), work)
        assert answer.outcome is Outcome.CREATED
        assert (found.kind, found.erp_id, found.status) == (_INVOICE, answer.erp_id, "open")
        assert found.amount == Decimal("21.07")
        assert found.order in {None, ordered.payload["order"]}
        assert difference(_INVOICE, ordered.payload, found) is None
        assert [one.erp_id for one in read] == [found.erp_id]

    def test_one_key_twice_makes_one_invoice(self, control: ErpControl, ordered: Document) -> None:
        """By the ERP's own memory of keys, or because the external id is taken."""
        check_made_once(control, ordered)

    def test_an_invoice_whose_answer_is_lost_is_there_once(self, control: ErpControl, ordered: Document) -> None:
        """A look-up shows it, so that nobody has to send it again."""
        found = made_without_an_answer(control, ordered)
        assert difference(_INVOICE, ordered.payload, found) is None

    def test_an_invoice_of_an_unknown_order_is_rejected(
        self, control: ErpControl, sample: Sample, lines: list[Line]
    ) -> None:
        """With the field; nothing is left behind."""
        invoice = sample.invoice(1, lines)
        need_operation(control, invoice)

        async def work(writer: ErpWriter) -> tuple[Answer, list[ErpDocument]]:
            await settle(writer, sample.customer())
            return await post_one(writer, invoice), await find_one(writer, invoice)

        answer, found = run(control.writer(), work)
        assert answer.outcome is Outcome.REJECTED
        assert answer.field == "order"
        assert answer.message
        assert found == []

    def test_a_credit_note_takes_back_part_of_an_invoice_line(
        self, control: ErpControl, sample: Sample, lines: list[Line], ordered: Document
    ) -> None:
        """It names its invoice, its amounts are positive, and the invoice stays as it was."""
        note = sample.credit_note(1, [(1, (lines[0][0], "1", lines[0][2]))], of=ordered)

        async def work(writer: ErpWriter) -> tuple[list[ErpDocument], list[ErpDocument], list[ErpDocument]]:
            await settle(writer, ordered, note)
            return (
                await find_one(writer, note),
                await find_one(writer, ordered),
                await read_ours(writer, _CREDIT_NOTE, [note]),
            )

        [found], [invoice], read = run(control.writer(), work)
        assert (found.kind, found.status, found.amount) == (_CREDIT_NOTE, "open", Decimal("10.50"))
        assert found.reverses in {None, ordered.external_id}
        assert difference(_CREDIT_NOTE, note.payload, found) is None
        assert difference(_INVOICE, ordered.payload, invoice) is None
        assert [one.erp_id for one in read] == [found.erp_id]

    def test_a_credit_note_whose_answer_is_lost_is_there_once(
        self, control: ErpControl, sample: Sample, lines: list[Line], ordered: Document
    ) -> None:
        """As for an invoice."""
        note = sample.credit_note(1, [(1, lines[0]), (2, lines[1])], of=ordered)
        found = made_without_an_answer(control, note, ordered)
        assert difference(_CREDIT_NOTE, note.payload, found) is None

    def test_no_more_is_credited_than_was_invoiced(
        self, control: ErpControl, sample: Sample, lines: list[Line], ordered: Document
    ) -> None:
        """Neither at once, nor by a second credit note; what fits is taken still."""
        sku, quantity, price = lines[0]
        assert quantity == "2"
        first = sample.credit_note(1, [(1, (sku, "1", price))], of=ordered)
        beyond = sample.credit_note(1, [(1, (sku, "2", price))], of=ordered, version=2)
        rest = sample.credit_note(1, [(1, (sku, "1", price))], of=ordered, version=3)

        async def work(writer: ErpWriter) -> tuple[Answer, list[ErpDocument], list[ErpDocument]]:
            await settle(writer, ordered, first)
            refused = await post_one(writer, beyond)
            await settle(writer, rest)
            return refused, await find_one(writer, beyond), await find_one(writer, rest)

        refused, none, [_] = run(control.writer(), work)
        assert refused.outcome is Outcome.REJECTED
        assert refused.message
        assert none == []

    def test_a_credit_note_against_no_invoice_of_ours_is_rejected(
        self, control: ErpControl, sample: Sample, lines: list[Line], ordered: Document
    ) -> None:
        """Nothing is left behind."""
        note = sample.credit_note(1, [(1, lines[0])], of=ordered)

        async def work(writer: ErpWriter) -> tuple[Answer, list[ErpDocument]]:
            return await post_one(writer, note), await find_one(writer, note)

        answer, found = run(control.writer(), work)
        assert answer.outcome is Outcome.REJECTED
        assert answer.field == "invoice"
        assert found == []

    def test_what_is_in_the_books_is_never_changed(
        self, control: ErpControl, sample: Sample, lines: list[Line], ordered: Document
    ) -> None:
        """No such operation is declared, and one that is asked for all the same is rejected."""
        operations = control.writer().capabilities.operations
        assert {how for kind, how in operations if kind in ACCOUNTING_KINDS} == {"create"}
        other = sample.invoice(1, lines[:1])

        async def work(writer: ErpWriter) -> tuple[list[Answer], list[ErpDocument]]:
            await settle(writer, ordered)
            refused = [await post_one(writer, replace(other, operation=how)) for how in ("amend", "cancel")]
            return refused, await find_one(writer, ordered)

        refused, [found] = run(control.writer(), work)
        assert [answer.outcome for answer in refused] == [Outcome.REJECTED] * 2
        assert difference(_INVOICE, ordered.payload, found) is None
