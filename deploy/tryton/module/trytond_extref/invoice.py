# SPDX-License-Identifier: GPL-3.0-or-later
# This program is free software: you can redistribute it and/or modify it under the terms of the GNU General Public
# License as published by the Free Software Foundation, either version 3 of the License, or (at your option) any later
# version. It comes WITHOUT ANY WARRANTY. See <https://www.gnu.org/licenses/>.
"""Invoices and credit notes: the names that an integration gives them, and what a credit note takes back, never more than that."""

from trytond.i18n import gettext
from trytond.model import Unique, fields
from trytond.model.exceptions import ValidationError
from trytond.pool import Pool, PoolMeta
from trytond.pyson import Eval

__all__ = ["Invoice", "InvoiceLine"]


class Invoice(metaclass=PoolMeta):
    __name__ = "account.invoice"

    external_id = fields.Char("External ID")
    event_id = fields.Char("Event")
    order_external_id = fields.Char("External ID of the Order")
    reverses_external_id = fields.Char("External ID of the Reversed Invoice")

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._sql_constraints.append(
            (
                "external_id_unique",
                Unique(table, table.company, table.external_id),
                "extref.msg_invoice_external_id_unique",
            )
        )

    @classmethod
    def create(cls, vlist):
        return super().create([_with_accounts(values) for values in vlist])

    @classmethod
    def copy(cls, invoices, default=None):
        default = {} if default is None else default.copy()
        for name in ("external_id", "event_id", "order_external_id", "reverses_external_id"):
            default.setdefault(name, None)
        return super().copy(invoices, default=default)


class InvoiceLine(metaclass=PoolMeta):
    __name__ = "account.invoice.line"

    reverses = fields.Many2One(
        "account.invoice.line", "Reverses", ondelete="RESTRICT", states={"readonly": Eval("invoice_state") != "draft"}
    )

    @classmethod
    def copy(cls, lines, default=None):
        default = {} if default is None else default.copy()
        default.setdefault("reverses", None)
        return super().copy(lines, default=default)

    @classmethod
    def validate(cls, lines):
        super().validate(lines)
        for line in lines:
            if line.reverses:
                line.check_reversed()

    def check_reversed(self):
        """What is taken back of a posted line is at most what it says."""
        original = self.reverses
        where = [("reverses", "=", original.id), ("invoice.state", "!=", "cancelled")]
        notes = self.search(where)
        quantity, amount = sum(note.quantity for note in notes), sum(note.amount for note in notes)
        is_over = abs(quantity) > abs(original.quantity) or abs(amount) > abs(original.amount)
        if is_over or original.invoice.state not in {"posted", "paid"}:
            raise ValidationError(gettext("extref.msg_over_credited", line=original.rec_name))


def _with_accounts(values):
    """What an integration creates gets its accounts and its journal as the form would fill them in."""
    if not values.get("external_id"):
        return values
    pool = Pool()
    party = pool.get("party.party")(values["party"])
    products = pool.get("product.product")
    [journal] = pool.get("account.journal").search([("type", "=", "revenue")], limit=1)
    lines = [
        line if line.get("account") else line | {"account": products(line["product"]).account_revenue_used.id}
        for action, created in values["lines"]
        if action == "create"
        for line in created
    ]
    filled = {"account": party.account_receivable_used.id, "journal": journal.id}
    return {**filled, **values, "lines": [("create", lines)]}
