# SPDX-License-Identifier: GPL-3.0-or-later
# This program is free software: you can redistribute it and/or modify it under the terms of the GNU General Public
# License as published by the Free Software Foundation, either version 3 of the License, or (at your option) any later
# version. It comes WITHOUT ANY WARRANTY. See <https://www.gnu.org/licenses/>.
"""Addresses of parties, and products: the names that an integration gives them, once each."""

from trytond.model import Unique, fields
from trytond.pool import PoolMeta

__all__ = ["Address", "Template"]


class Address(metaclass=PoolMeta):
    __name__ = "party.address"

    external_id = fields.Char("External ID")

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._sql_constraints.append(
            ("external_id_unique", Unique(table, table.external_id), "extref.msg_address_external_id_unique")
        )

    @classmethod
    def copy(cls, addresses, default=None):
        default = {} if default is None else default.copy()
        default.setdefault("external_id", None)
        return super().copy(addresses, default=default)


class Template(metaclass=PoolMeta):
    __name__ = "product.template"

    external_id = fields.Char("External ID")

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._sql_constraints.append(
            ("external_id_unique", Unique(table, table.external_id), "extref.msg_product_external_id_unique")
        )

    @classmethod
    def copy(cls, templates, default=None):
        default = {} if default is None else default.copy()
        default.setdefault("external_id", None)
        return super().copy(templates, default=default)
