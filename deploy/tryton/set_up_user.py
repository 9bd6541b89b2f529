# SPDX-License-Identifier: GPL-3.0-or-later
# This program is free software: you can redistribute it and/or modify it under the terms of the GNU General Public
# License as published by the Free Software Foundation, either version 3 of the License, or (at your option) any later
# version. It comes WITHOUT ANY WARRANTY. See <https://www.gnu.org/licenses/>.
"""The account that delivery logs in with: sales, amendments, parties, products, invoices and payments, and nothing else."""

from proteus import Model

__all__ = ["create_user"]

_GROUPS = (
    *("Sales", "Sales Administrator", "Sale Amendment"),
    *("Party Administration", "Product Administration", "Account Product Administration", "Accounting"),
)


def create_user(login, password, company):
    """Create ``login`` with the groups that delivery needs."""
    user = Model.get("res.user")(name=login, login=login, password=password)
    group = Model.get("res.group")
    for found in group.find([("name", "in", list(_GROUPS))]):
        user.groups.append(group(found.id))
    user.companies.append(Model.get("company.company")(company.id))
    user.company = user.companies[0]
    user.save()
