# SPDX-License-Identifier: GPL-3.0-or-later
# This program is free software: you can redistribute it and/or modify it under the terms of the GNU General Public
# License as published by the Free Software Foundation, either version 3 of the License, or (at your option) any later
# version. It comes WITHOUT ANY WARRANTY. See <https://www.gnu.org/licenses/>.
"""What sales refer to: countries, payment terms, taxes by our tax code, products by sku."""

from decimal import Decimal

from proteus import Model

from set_up_books import account_of

__all__ = ["create_masters"]

_TAX_ACCOUNT = "Accrued Taxes (Other Than Payroll)"


def create_masters(catalog, company):
    """Create what ``catalog`` names."""
    for code, name in catalog["countries"].items():
        Model.get("country.country")(code=code, name=name).save()
    for name, days in catalog["payment_terms"].items():
        term = Model.get("account.invoice.payment_term")(name=name)
        term.lines.new(type="remainder").relativedeltas.new(days=days)
        term.save()
    taxes = {code: _create_tax(code, Decimal(rate), company) for code, rate in catalog["taxes"].items()}
    default = next(iter(taxes.values()))
    category = Model.get("product.category")(name="Goods", accounting=True)
    category.account_expense, category.account_revenue = account_of("expense", company), account_of("revenue", company)
    category.customer_taxes.append(default)
    category.save()
    for sku in catalog["skus"]:
        _create_product(sku, category)


def _create_tax(code, rate, company):
    """A tax whose name is our tax code: delivery finds it by that."""
    account = Model.get("account.account").find([("name", "=", _TAX_ACCOUNT), ("company", "=", company.id)], limit=1)[0]
    tax = Model.get("account.tax")(name=code, description=code, type="percentage", rate=rate)
    tax.invoice_account = tax.credit_note_account = account
    tax.save()
    return tax


def _create_product(sku, category):
    unit, *_ = Model.get("product.uom").find([("symbol", "=", "u")], limit=1)
    template = Model.get("product.template")(name=sku, code=sku, type="goods", default_uom=unit)
    template.salable = True
    template.list_price = Decimal(0)
    template.account_category = category
    template.save()
