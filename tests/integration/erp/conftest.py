"""The sandbox ERP on loopback, for the tests of it."""

from contextlib import contextmanager

import httpx
import pytest

from meshline_dagster.sandbox.erp.app import create_app
from meshline_dagster.sandbox.serve import serve

CUSTOMER = {"external_id": "C1", "event_id": "e0", "code": "C1", "name": "Ærø", "country": "DK", "currency": "EUR"}


@pytest.fixture
def erp(tmp_path):
    @contextmanager
    def start(profile="idempotent", **options):
        with serve(create_app(tmp_path / "erp.db", profile=profile, **options)) as url:
            headers = {"Authorization": "Bearer sandbox"}
            with httpx.Client(base_url=url, headers=headers) as client:
                client.post("/v1/customers", json=CUSTOMER, headers={"Idempotency-Key": "customer"})
                yield client

    return start
