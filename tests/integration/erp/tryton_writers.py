"""Writers for the tests on a real Tryton."""

from datetime import timedelta

from meshline_dagster.erp.tryton import TrytonWriter
from meshline_dagster.testing.tryton import TrytonCompany


def writer_on(company: TrytonCompany, **changes) -> TrytonWriter:
    """A writer of the company."""
    options = {"settle_after": timedelta(seconds=2), **changes}
    return TrytonWriter(company.base_url, company.database, company.user, company.password, **options)
