"""Writers for the tests on a real Tryton."""

from datetime import timedelta

from meshline_dagster.erp.tryton import TrytonWriter
from meshline_dagster.testing.tryton import TrytonCompany


def writer_on(company: TrytonCompany, number: str = "1", **changes) -> TrytonWriter:
    """A writer of the company; ``number`` is Tryton's id of it."""
    options = {"settle_after": timedelta(seconds=2), "company": number, **changes}
    return TrytonWriter(company.base_url, company.database, company.user, company.password, **options)
