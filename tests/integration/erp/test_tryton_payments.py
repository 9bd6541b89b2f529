"""Payments on a real Tryton: in the books with what they pay, and to the customer's credit with the rest."""

import asyncio
import dataclasses
from decimal import Decimal

import pytest

from meshline_dagster.core.documents import Outcome
from meshline_dagster.testing.erp_control import find_one, post_one, run, settle
from tests.integration.erp.tryton_writers import writer_on

pytest_plugins = ["tests.integration.erp.tryton_fixtures"]
pytestmark = [pytest.mark.tryton, pytest.mark.slow]

LINES = [("GTX Basic", "2", "10.50"), ("GTX Pro", "1", "0.07")]  # 21.07, and 23.18 with the standard tax
CREATED, EXISTS, REJECTED, UNKNOWN = Outcome.CREATED, Outcome.EXISTS, Outcome.REJECTED, Outcome.UNKNOWN
RECORD = "model.account.move.record_payments"


def paying(sample, number, amount, of=None, **changes):
    payment = sample.payment(number, of=of)
    return dataclasses.replace(payment, payload={**payment.payload, "amount": amount, **changes})


def invoiced(sample):
    invoice = sample.invoice(1, LINES)
    return invoice, [sample.customer(), sample.order(1, LINES), invoice]


def state_of(sql, invoice):
    [(state,)] = sql("select state from account_invoice where external_id = :id", id=invoice.external_id)
    return state


def lines_of(sql, payment):
    """The move's lines that are the customer's: what each takes, whether it is reconciled, and the invoice that it pays."""
    query = """
        select l.credit - l.debit, l.reconciliation is not null, i.external_id
        from account_move m join account_move_line l on l.move = m.id
        left join "account_invoice-account_move_line" p on p.line = l.id left join account_invoice i on i.id = p.invoice
        where m.external_id = :id and l.party is not null order by l.id
    """
    return [tuple(row) for row in sql(query, id=payment.external_id)]


def test_what_is_paid_in_full_is_reconciled_and_the_invoice_is_paid(invoicing, sample, sql):
    invoice, before = invoiced(sample)
    first, rest = paying(sample, 1, "21.07", invoice), paying(sample, 2, "2.11", invoice)

    async def work(opened):
        await settle(opened, *before, first)
        partly = state_of(sql, invoice)
        await settle(opened, rest)
        return partly, await find_one(opened, invoice)

    partly, [found] = run(invoicing, work)
    assert (partly, state_of(sql, invoice)) == ("posted", "paid")
    assert lines_of(sql, first) == [(Decimal("21.07"), True, invoice.external_id)]
    assert lines_of(sql, rest) == [(Decimal("2.11"), True, invoice.external_id)]
    assert (found.status, found.amount) == ("open", Decimal("21.07"))


def test_what_is_paid_beyond_the_invoice_stays_to_the_customers_credit(invoicing, sample, sql):
    invoice, before = invoiced(sample)
    much, late = paying(sample, 1, "30", invoice), paying(sample, 2, "5", invoice)

    async def work(opened):
        await settle(opened, *before, much, late)
        return await find_one(opened, much), await find_one(opened, late)

    [found], [last] = run(invoicing, work)
    assert state_of(sql, invoice) == "paid"
    assert lines_of(sql, much) == [(Decimal("23.18"), True, invoice.external_id), (Decimal("6.82"), False, None)]
    assert lines_of(sql, late) == [(Decimal(5), False, None)]
    assert (found.amount, found.pays, last.amount) == (Decimal(30), invoice.external_id, Decimal(5))


def test_a_batch_whose_answer_is_lost_is_recorded_once(invoicing, proxy, sample, sql):
    invoice, before = invoiced(sample)
    payments = [paying(sample, number, "10", invoice) for number in (1, 2)]

    async def work(opened):
        await settle(opened, *before)
        proxy.lose_next(RECORD)
        lost = await opened.post(payments)
        return lost, await opened.post([*payments, paying(sample, 3, "3.18", invoice)])

    lost, again = run(invoicing, work)
    assert [answer.outcome for answer in lost] == [UNKNOWN, UNKNOWN]
    assert [answer.outcome for answer in again] == [EXISTS, EXISTS, CREATED]
    assert state_of(sql, invoice) == "paid"
    assert sql("select count(*) from account_move where external_id = :id", id=payments[0].external_id) == [(1,)]


def test_one_that_is_refused_leaves_nothing_and_the_others_of_its_batch_stand(invoicing, sample, sql):
    payments = [
        paying(sample, 1, "1"),
        paying(sample, 2, "2", payment_date="2011-01-01"),
        paying(sample, 3, "0"),
        paying(sample, 4, "4", currency="XTS"),
        paying(sample, 5, "5"),
    ]

    async def work(opened):
        await settle(opened, sample.customer())
        return await opened.post(payments)

    answers = run(invoicing, work)
    assert [answer.outcome for answer in answers] == [CREATED, REJECTED, REJECTED, REJECTED, CREATED]
    assert [answer.field for answer in answers[2:4]] == ["amount", "currency"]
    assert answers[1].message
    assert sql("select id from account_move where external_id = :id", id=payments[1].external_id) == []


def test_a_payment_that_is_there_with_another_amount_is_for_a_person(invoicing, sample):
    payment, other = paying(sample, 1, "10"), paying(sample, 1, "11")

    async def work(opened):
        await settle(opened, sample.customer(), payment)
        return await post_one(opened, other), await find_one(opened, payment)

    answer, [found] = run(invoicing, work)
    assert (answer.outcome, answer.field, answer.erp_id) == (Outcome.EXISTS_DIFFERENT, "amount", found.erp_id)


def test_a_payment_in_another_currency_keeps_its_amount(invoicing, sample):
    payment = paying(sample, 1, "12.34", currency="EUR")

    async def work(opened):
        return await settle(opened, sample.customer(), payment), await find_one(opened, payment)

    _, [found] = run(invoicing, work)
    assert (found.amount, found.currency) == (Decimal("12.34"), "EUR")


def test_payments_at_the_same_time_pay_an_invoice_no_more_than_once(company, sample, sql):
    """Each takes what is open when it is its turn."""
    invoice, before = invoiced(sample)
    payments = [paying(sample, number, "10", invoice) for number in range(1, 5)]

    async def work(opened):
        await settle(opened, *before)
        answers = await asyncio.gather(*(opened.post([payment]) for payment in payments))
        return [answer.outcome for [answer] in answers]

    assert run(writer_on(company, invoices=True), work) == [CREATED] * 4
    paid = [amount for payment in payments for amount, _, pays in lines_of(sql, payment) if pays]
    kept = [amount for payment in payments for amount, _, pays in lines_of(sql, payment) if not pays]
    assert (sum(paid), sum(kept), state_of(sql, invoice)) == (Decimal("23.18"), Decimal("16.82"), "paid")


def test_a_race_for_one_payment_records_one(company, sample):
    payment = paying(sample, 1, "10")

    async def work(opened):
        await settle(opened, sample.customer())
        rivals = [writer_on(company) for _ in range(3)]
        for rival in rivals:
            await rival.open()
        answers = await asyncio.gather(*(post_one(rival, payment) for rival in rivals))
        for rival in rivals:
            await rival.aclose()
        return answers, await find_one(opened, payment)

    answers, [_] = run(writer_on(company), work)
    assert {answer.outcome for answer in answers} <= {CREATED, EXISTS, UNKNOWN, Outcome.RETRY}


def test_a_payment_method_that_tryton_does_not_have_is_refused_by_name(company, sample):
    writer = writer_on(company, payment_method="Barter")

    async def work(opened):
        await settle(opened, sample.customer())
        return await post_one(opened, sample.payment(1))

    answer = run(writer, work)
    assert (answer.outcome, answer.field) == (REJECTED, "payment_method")
