"""The part of the ERP-writer conformance suite about payments: recorded once, never changed, found again."""

from dataclasses import replace
from decimal import Decimal

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

__all__ = ["ErpPaymentConformance"]

_PAYMENT = DocumentKind.PAYMENT


class ErpPaymentConformance(ErpFixtures):
    """Part of :class:`~meshline_dagster.testing.erp_conformance.ErpWriterConformance`."""

    @pytest.fixture
    def paid(self, control: ErpControl, sample: Sample) -> Document:
        """A payment, not yet posted, on account of a customer that is."""
        payment = sample.payment(1)
        need_operation(control, payment)
        run(control.writer(), lambda writer: settle(writer, sample.customer()))
        return payment

    def test_a_payment_is_found_to_the_cent(self, control: ErpControl, paid: Document) -> None:
        """Under its own external id, and read back."""

        async def work(writer: ErpWriter) -> tuple[list[Answer], list[ErpDocument], list[ErpDocument]]:
            answers = await settle(writer, paid)
            return answers, await find_one(writer, paid), await read_ours(writer, _PAYMENT, [paid])

        [answer], [found], read = run(control.writer(), work)
        assert answer.outcome is Outcome.CREATED
        assert (found.kind, found.erp_id, found.status) == (_PAYMENT, answer.erp_id, "open")
        assert (found.amount, found.currency) == (Decimal("21.07"), control.currency)
        assert found.pays is None
        assert difference(_PAYMENT, paid.payload, found) is None
        assert [one.erp_id for one in read] == [found.erp_id]

    def test_a_payment_names_the_invoice_that_it_pays(
        self, control: ErpControl, sample: Sample, lines: list[Line], paid: Document
    ) -> None:
        """Where the ERP takes invoices from us."""
        invoice = sample.invoice(1, lines)
        need_operation(control, invoice)
        payment = sample.payment(2, of=invoice)

        async def work(writer: ErpWriter) -> list[ErpDocument]:
            await settle(writer, sample.order(1, lines), invoice, payment)
            return await find_one(writer, payment)

        assert paid.external_id != payment.external_id
        [found] = run(control.writer(), work)
        assert found.pays in {None, invoice.external_id}
        assert difference(_PAYMENT, payment.payload, found) is None

    def test_one_key_twice_makes_one_payment(self, control: ErpControl, paid: Document) -> None:
        """By the ERP's own memory of keys, or because the external id is taken."""
        check_made_once(control, paid)

    def test_a_payment_whose_answer_is_lost_is_there_once(self, control: ErpControl, paid: Document) -> None:
        """A look-up shows it, so that nobody has to send it again."""
        found = made_without_an_answer(control, paid)
        assert difference(_PAYMENT, paid.payload, found) is None

    @pytest.mark.parametrize("field", ["customer", "invoice"])
    def test_a_payment_by_or_of_what_the_erp_does_not_hold_is_rejected(
        self, control: ErpControl, paid: Document, field: str
    ) -> None:
        """With the field; nothing is left behind."""
        lost = replace(paid, payload={**paid.payload, field: "MLX-nobody"})

        async def work(writer: ErpWriter) -> tuple[Answer, list[ErpDocument]]:
            return await post_one(writer, lost), await find_one(writer, lost)

        answer, found = run(control.writer(), work)
        assert answer.outcome is Outcome.REJECTED
        assert answer.field == field
        assert found == []

    def test_a_payment_is_never_changed(self, control: ErpControl, paid: Document) -> None:
        """No such operation is declared, and one that is asked for all the same is rejected."""
        assert {how for kind, how in control.writer().capabilities.operations if kind is _PAYMENT} == {"create"}
        less = {**paid.payload, "amount": "1"}

        async def work(writer: ErpWriter) -> tuple[list[Answer], list[ErpDocument]]:
            await settle(writer, paid)
            asked = [replace(paid, operation=how, payload=less, event_id="e" * 64) for how in ("amend", "cancel")]
            return [await post_one(writer, one) for one in asked], await find_one(writer, paid)

        refused, [found] = run(control.writer(), work)
        assert [answer.outcome for answer in refused] == [Outcome.REJECTED] * 2
        assert difference(_PAYMENT, paid.payload, found) is None
