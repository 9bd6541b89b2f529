# SPDX-License-Identifier: GPL-3.0-or-later
# This program is free software: you can redistribute it and/or modify it under the terms of the GNU General Public
# License as published by the Free Software Foundation, either version 3 of the License, or (at your option) any later
# version. It comes WITHOUT ANY WARRANTY. See <https://www.gnu.org/licenses/>.
"""Amendments: the event that asked for them, and lines that they add."""

from trytond.model import ModelView, Unique, Workflow, fields
from trytond.pool import Pool, PoolMeta
from trytond.pyson import Eval
from trytond.transaction import Transaction

from .sale import ADDING_LINES

__all__ = ["Amendment", "AmendmentLine"]

_ADD = "add"


class Amendment(metaclass=PoolMeta):
    __name__ = "sale.amendment"

    event_id = fields.Char("Event")

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._sql_constraints.append(
            ("event_unique", Unique(table, table.sale, table.event_id), "extref.msg_event_unique")
        )

    @classmethod
    @ModelView.button
    @Workflow.transition("validated")
    def validate_amendment(cls, amendments):
        Sale = Pool().get("sale.sale")  # noqa: N806 - Tryton's way to name a model
        with Transaction().set_context(**{ADDING_LINES: True}):
            super().validate_amendment(cls.browse(amendments))  # a record saves in the context that it was read in
        for amendment in amendments:
            if amendment.event_id:
                Sale.write([amendment.sale], {"event_id": amendment.event_id})


class AmendmentLine(metaclass=PoolMeta):
    __name__ = "sale.amendment.line"

    tax = fields.Many2One(
        "account.tax",
        "Tax",
        domain=[("parent", "=", None)],
        states={"readonly": Eval("state") != "draft", "invisible": Eval("action") != _ADD},
        help="Leave empty to use the product's taxes.",
    )

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls.action.selection.append((_ADD, "Add Line"))
        for name in ("product", "quantity", "unit", "unit_price", "description"):
            states = getattr(cls, name).states
            states["invisible"] = ~Eval("action").in_(["line", _ADD])
            if name in {"quantity", "unit_price"}:
                states["required"] = Eval("action").in_(["line", _ADD])
        cls.product.states["required"] = Eval("action") == _ADD

    @fields.depends("action", "product")
    def on_change_with_product_uom_category(self, name=None):
        if self.action == _ADD:
            return self.product.default_uom_category if self.product else None
        return super().on_change_with_product_uom_category(name=name)

    def _apply_add(self, sale, sale_line):  # noqa: ARG002 - Tryton's signature
        SaleLine = Pool().get("sale.line")  # noqa: N806 - Tryton's way to name a model
        line = SaleLine(type="line", sale=sale)
        self._apply_line(sale, line)
        line.taxes = [self.tax] if self.tax else line.compute_taxes(sale.party)
        sale.lines = [*sale.lines, line]
