"""Writers for the tests on a real Tryton."""

import dataclasses
from datetime import timedelta

from meshline_dagster.erp.tryton import TrytonWriter
from meshline_dagster.testing.tryton import TrytonCompany
from meshline_dagster.testing.tryton_proxy import FaultProxy


def writer_on(company: TrytonCompany, number: str = "1", **changes) -> TrytonWriter:
    """A writer of the company; ``number`` is Tryton's id of it."""
    options = {"settle_after": timedelta(seconds=2), "company": number, **changes}
    return TrytonWriter(company.base_url, company.database, company.user, company.password, **options)


def through(proxy: FaultProxy, company: TrytonCompany) -> TrytonCompany:
    """The company at the proxy's address."""
    return dataclasses.replace(company, base_url=proxy.base_url)
