# SPDX-License-Identifier: GPL-3.0-or-later
# This program is free software: you can redistribute it and/or modify it under the terms of the GNU General Public
# License as published by the Free Software Foundation, either version 3 of the License, or (at your option) any later
# version. It comes WITHOUT ANY WARRANTY. See <https://www.gnu.org/licenses/>.
"""Payments of customers: moves that are posted with what they pay, or not at all."""

from trytond.model import Unique, fields
from trytond.pool import Pool, PoolMeta
from trytond.rpc import RPC
from trytond.transaction import Transaction, without_check_access

__all__ = ["Move"]


class Move(metaclass=PoolMeta):
    __name__ = "account.move"

    external_id = fields.Char("External ID")
    event_id = fields.Char("Event")
    pays_external_id = fields.Char("External ID of the Paid Invoice")

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._sql_constraints.append(
            (
                "external_id_unique",
                Unique(table, table.company, table.external_id),
                "extref.msg_move_external_id_unique",
            )
        )
        cls.__rpc__["record_payments"] = RPC(readonly=False)

    @classmethod
    def copy(cls, moves, default=None):
        default = {} if default is None else default.copy()
        for name in ("external_id", "event_id", "pays_external_id"):
            default.setdefault(name, None)
        return super().copy(moves, default=default)

    @classmethod
    def record_payments(cls, vlist):
        """Post a move for each payment, and let it pay its invoice: all of them, or none.

        What is paid beyond what is open of the invoice, or without one, stays to the customer's credit.

        Args:
            vlist: ``company, external_id, event_id, pays_external_id, date, description, amount``, and by id ``party, method`` (the
                payment method), ``currency`` and ``invoice`` (or None).

        Returns:
            The moves' ids, in the same order.
        """
        moves = []
        for values in vlist:  # one after the other: what one pays is not open for the next
            invoice = Pool().get("account.invoice")(values["invoice"]) if values["invoice"] else None
            with without_check_access():
                if invoice:
                    invoice.lock()
                paid = min(values["amount"], max(invoice.amount_to_pay, 0)) if invoice else 0
                created = _move(values, invoice, paid)
            [move] = cls.create([created])
            with without_check_access():
                cls.post([move])
                if paid:
                    _settle(invoice, move)
            moves.append(move.id)
        return moves


def _move(values, invoice, paid):
    """The values of the move: to the bank what was paid, from the customer what the invoice takes, and the rest."""
    pool = Pool()
    company = pool.get("company.company")(values["company"])
    currency = pool.get("currency.currency")(values["currency"])
    method = pool.get("account.invoice.payment.method")(values["method"])
    party = pool.get("party.party")(values["party"])
    date, amount = values["date"], values["amount"]

    def worth(part):
        with Transaction().set_context(date=date):
            return pool.get("currency.currency").compute(currency, part, company.currency)

    def line(account, debit, part):
        sides = {"debit": debit, "credit": 0} if debit >= 0 else {"debit": 0, "credit": -debit}
        second = {"second_currency": currency.id, "amount_second_currency": part}
        owner = {"party": party.id} if account.party_required else {}
        return {"account": account.id, **sides, **owner, **(second if currency != company.currency else {})}

    receivable = invoice.account if invoice else party.account_receivable_used
    total, first = worth(amount), worth(paid) if paid else 0
    lines = [line(method.debit_account.current(date=date), total, amount)]
    parts = ((first, paid), (total - first, amount - paid))
    lines += [line(receivable, -value, -part) for value, part in parts if part]
    names = ("company", "external_id", "event_id", "pays_external_id", "date", "description")
    period = pool.get("account.period").find(company, date=date)
    return {
        **{name: values[name] for name in names},
        "journal": method.journal.id,
        "period": period.id,
        "lines": [("create", lines)],
    }


def _settle(invoice, move):
    """Let the move's first line of the customer pay the invoice, and reconcile what comes out even."""
    invoices, lines = Pool().get("account.invoice"), Pool().get("account.move.line")
    pays = min((line for line in move.lines if line.account == invoice.account), key=lambda line: line.id)
    invoices.add_payment_lines({invoice: [pays]})
    even, rest = invoices(invoice.id).get_reconcile_lines_for_amount(0, invoice.currency)
    if even and not rest:
        lines.reconcile(even)
