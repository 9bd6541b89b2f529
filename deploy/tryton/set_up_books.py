# SPDX-License-Identifier: GPL-3.0-or-later
# This program is free software: you can redistribute it and/or modify it under the terms of the GNU General Public
# License as published by the Free Software Foundation, either version 3 of the License, or (at your option) any later
# version. It comes WITHOUT ANY WARRANTY. See <https://www.gnu.org/licenses/>.
"""The company and its books: currencies, chart of accounts, payment method, open fiscal years."""

import datetime as dt
from decimal import Decimal

from proteus import Model, Wizard
from proteus.config import get_config

__all__ = ["account_of", "create_books"]

_BANK_ACCOUNT = "Cash and Cash Equivalents"
_TO_THE_CENT = Decimal("0.01")


def create_books(catalog):
    """Create the company of ``catalog`` and its books; return the company."""
    for code in [catalog["currency"], *catalog["currencies"]]:
        _create_currency(code)
    company = _create_company(catalog["company"], catalog["currency"])
    _create_chart(company)
    _create_payment_method(catalog["payment_method"], company)
    today = dt.datetime.now(tz=dt.UTC).date()
    for year in sorted({*catalog["fiscal_years"], today.year}):
        _open_year(company, year)
    return company


def account_of(kind, company):
    """The company's first open account of a kind: ``receivable``, ``payable``, ``revenue`` or ``expense``."""
    where = [(f"type.{kind}", "=", True), ("company", "=", company.id), ("closed", "!=", True)]
    return Model.get("account.account").find(where, limit=1)[0]


def _create_company(name, currency):
    party = Model.get("party.party")(name=name)
    party.save()
    wizard = Wizard("company.company.config")
    wizard.execute("company")
    wizard.form.party = party
    wizard.form.currency = Model.get("currency.currency").find([("code", "=", currency)])[0]
    wizard.execute("add")
    get_config()._context = Model.get("res.user").get_preferences(True, {})  # noqa: SLF001 - proteus has no other way
    return Model.get("company.company").find()[0]


def _create_chart(company):
    template_id = Model.get("ir.model.data").get_id("account.account_template_root_en", get_config().context)
    wizard = Wizard("account.create_chart")
    wizard.execute("account")
    wizard.form.account_template = Model.get("account.account.template")(template_id)
    wizard.form.company = company
    wizard.execute("create_account")
    wizard.form.account_receivable = account_of("receivable", company)
    wizard.form.account_payable = account_of("payable", company)
    wizard.form.category_account_expense = account_of("expense", company)
    wizard.form.category_account_revenue = account_of("revenue", company)
    wizard.execute("create_properties")


def _create_payment_method(name, company):
    """Where payments go: the journal of cash, and the account of what is in the bank."""
    where = [("name", "=", _BANK_ACCOUNT), ("company", "=", company.id), ("type", "!=", None)]
    account = Model.get("account.account").find(where, limit=1)[0]
    journal = Model.get("account.journal").find([("type", "=", "cash")], limit=1)[0]
    method = Model.get("account.invoice.payment.method")(name=name, company=company, journal=journal)
    method.credit_account = method.debit_account = account
    method.save()


def _create_currency(code):
    currency = Model.get("currency.currency")(name=code, symbol=code, code=code, rounding=_TO_THE_CENT)
    currency.save()
    # amounts are compared per currency; the rate is only there because Tryton converts for its ledger
    Model.get("currency.currency.rate")(date=dt.date.min, rate=Decimal(1), currency=currency).save()


def _open_year(company, year):
    fiscal_year = Model.get("account.fiscalyear")(
        name=str(year),
        company=company,
        start_date=dt.date(year, 1, 1),
        end_date=dt.date(year, 12, 31),
        move_sequence=_sequence("Account Move", company, year),
    )
    numbers = _sequence("Invoice", company, year)
    sequences = fiscal_year.invoice_sequences[0]
    sequences.out_invoice_sequence = sequences.in_invoice_sequence = numbers
    sequences.out_credit_note_sequence = sequences.in_credit_note_sequence = numbers
    fiscal_year.save()
    fiscal_year.click("create_period")


def _sequence(kind, company, year):
    sequence_type = Model.get("ir.sequence.type").find([("name", "=", kind)], limit=1)[0]
    sequence = Model.get("ir.sequence.strict")(name=f"{kind} {year}", sequence_type=sequence_type, company=company)
    sequence.save()
    return sequence
