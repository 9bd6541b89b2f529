# SPDX-License-Identifier: GPL-3.0-or-later
# This program is free software: you can redistribute it and/or modify it under the terms of the GNU General Public
# License as published by the Free Software Foundation, either version 3 of the License, or (at your option) any later
# version. It comes WITHOUT ANY WARRANTY. See <https://www.gnu.org/licenses/>.
"""Sales and their lines."""

from trytond.model import Unique, fields
from trytond.pool import PoolMeta
from trytond.transaction import Transaction

__all__ = ["ADDING_LINES", "Sale", "SaleLine"]

ADDING_LINES = "_extref_adding_lines"
"""Context key; a client cannot set it, because Tryton drops private keys from what it is sent."""


class Sale(metaclass=PoolMeta):
    __name__ = "sale.sale"

    external_id = fields.Char("External ID")
    event_id = fields.Char("Event")

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._sql_constraints.append(
            ("external_id_unique", Unique(table, table.company, table.external_id), "extref.msg_external_id_unique")
        )

    @classmethod
    def copy(cls, sales, default=None):
        default = {} if default is None else default.copy()
        default.setdefault("external_id", None)
        default.setdefault("event_id", None)
        return super().copy(sales, default=default)


class SaleLine(metaclass=PoolMeta):
    __name__ = "sale.line"

    @classmethod
    def check_modification(cls, mode, lines, values=None, external=False):
        # Tryton creates lines on drafts only; an amendment that is being validated may add some to a sale in progress
        if mode == "create" and not external and Transaction().context.get(ADDING_LINES):
            return
        super().check_modification(mode, lines, values=values, external=external)
