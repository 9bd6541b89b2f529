"""The REST writer and the writer in memory keep what the engine relies on."""

import socket
from datetime import timedelta

import httpx
import pytest
from pydantic import SecretStr

from meshline_dagster.core.documents import DocumentKind
from meshline_dagster.erp.rest import PROFILES, RestErpWriter
from meshline_dagster.sandbox.erp.app import create_app
from meshline_dagster.sandbox.serve import serve
from meshline_dagster.testing.erp_conformance import ErpWriterConformance
from meshline_dagster.testing.memory_erp import Fault, MemoryErp, MemoryWriter

SKUS = ("GTX Basic", "Tür-ø 字😀")


def order_of(url, external_id):
    """An order as the sandbox shows it."""
    headers = {"Authorization": "Bearer good token"}
    asked = {"external_ids": [external_id]}
    [found] = httpx.post(f"{url}/v1/sales-orders/lookup", json=asked, headers=headers).json()["documents"]
    return found


class RestControl:
    can = frozenset(
        {
            "deliver",
            "lose_answer",
            "refuse_connection",
            "refuse_credentials",
            "refuse_skus",
            "show_name",
            "show_po_number",
        }
    )
    company = "sandbox-1"
    currency = "EUR"
    skus = SKUS

    def __init__(self, url, profile):
        self.url = url
        self.profile = profile

    def writer(self):
        return self._writer(self.url, "good token")

    def unreachable(self):
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            return self._writer(f"http://127.0.0.1:{nobody.getsockname()[1]}", "good token")

    def stranger(self):
        return self._writer(self.url, "bad token")

    def lose_next_answer(self):
        plan = [{"fault": "reset_after", "at": [1]}]
        httpx.post(f"{self.url}/control/faults", json={"plan": plan}).raise_for_status()

    def deliver(self, external_id, sku, quantity):
        [number] = [one["line"] for one in order_of(self.url, external_id)["lines"] if one["sku"] == sku]
        told = {"external_id": external_id, "lines": {number: str(quantity)}}
        httpx.post(f"{self.url}/control/deliveries", json=told).raise_for_status()

    def name_of(self, external_id):
        answer = httpx.get(
            f"{self.url}/v1/customers",
            params={"external_id": external_id},
            headers={"Authorization": "Bearer good token"},
        )
        [customer] = answer.json()["documents"]
        return customer["name"]

    def po_number_of(self, external_id):
        return order_of(self.url, external_id)["po_number"]

    def _writer(self, url, token):
        settle = timedelta(seconds=1)
        return RestErpWriter(url, SecretStr(token), profile=self.profile, settle_after=settle)


class TestRest(ErpWriterConformance):
    @pytest.fixture(params=PROFILES)
    def control(self, request, tmp_path):
        app = create_app(
            tmp_path / "erp.db",
            ignores_case=True,
            profile=request.param,
            token="good token",
            company="sandbox-1",
            items=SKUS,
        )
        with serve(app) as url:
            yield RestControl(url, request.param)


class MemoryControl:
    can = frozenset({"deliver", "lose_answer", "refuse_connection", "refuse_skus", "show_name"})
    company = "1"
    currency = "EUR"
    skus = SKUS

    def __init__(self, *, unique):
        self.erp = MemoryErp(unique=unique, skus=frozenset(SKUS))

    def writer(self):
        return MemoryWriter(self.erp)

    def unreachable(self):
        return MemoryWriter(MemoryErp(faults=lambda _: Fault.UNREACHABLE))

    def lose_next_answer(self):
        left = [Fault.LOST_ANSWER]
        self.erp.faults = lambda _: left.pop() if left else None

    def deliver(self, external_id, sku, quantity):
        self.erp.deliver(external_id, sku, quantity)

    def name_of(self, external_id):
        assert self.erp.of(DocumentKind.CUSTOMER, external_id)
        [name] = [one.payload["name"] for one in self.erp.writes if one.external_id == external_id]
        return name


class TestMemory(ErpWriterConformance):
    @pytest.fixture(params=[True, False], ids=["unique", "lookup_only"])
    def control(self, request):
        return MemoryControl(unique=request.param)
