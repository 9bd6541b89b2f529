"""What an adapter declares."""

from datetime import timedelta

import pytest

from meshline_dagster.core.documents import DocumentKind
from meshline_dagster.erp.protocol import Capabilities

DECLARED = Capabilities(
    native_idempotency=False,
    unique_external_id=True,
    batch_size=100,
    max_in_flight=4,
    settle_after=timedelta(seconds=1),
    request_timeout=30,
    operations=frozenset(),
    books_batch_size=25,
)


@pytest.mark.parametrize(
    ("kind", "most"),
    [
        (DocumentKind.SALES_ORDER, 100),
        (DocumentKind.INVOICE, 25),
        (DocumentKind.CREDIT_NOTE, 25),
        (DocumentKind.PAYMENT, 25),
    ],
)
def test_what_is_booked_goes_in_smaller_parts(kind, most):
    assert DECLARED.batch_of(kind) == most
