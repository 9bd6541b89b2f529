"""The configured writer keeps what the engine relies on, for ERPs that have little in common but HTTP."""

import socket
from pathlib import Path

import httpx
import pytest
import yaml
from pydantic import SecretStr

from meshline_dagster.erp.configured import ConfiguredErpWriter
from meshline_dagster.erp.configured_auth import FixedHeader
from meshline_dagster.erp.configured_model import ErpApi
from meshline_dagster.sandbox.erp.app import create_app
from meshline_dagster.sandbox.serve import serve
from meshline_dagster.testing.erp_conformance import ErpWriterConformance

SKUS = ("GTX Basic", "Tür-ø 字😀")
CONFIGURED = Path(__file__).parent / "configured"
HOW = {"idempotent": ("Idempotency-Key", False), "unique": (None, True), "lookup_only": (None, False)}


def described(name, profile):
    content = yaml.safe_load((CONFIGURED / f"{name}.yaml").read_text())
    header, unique = HOW[profile]
    content["capabilities"] |= {"idempotency_key_header": header, "unique_external_id": unique}
    return ErpApi.model_validate(content)


class ConfiguredControl:
    can = frozenset({"lose_answer", "refuse_connection", "refuse_credentials", "refuse_skus", "show_name"})
    company = "sandbox-1"
    currency = "EUR"
    skus = SKUS

    def __init__(self, url, api):
        self.url, self.api = url, api

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

    def name_of(self, external_id):
        answer = httpx.get(
            f"{self.url}/v1/customers",
            params={"external_id": external_id},
            headers={"Authorization": "Bearer good token"},
        )
        [customer] = answer.json()["documents"]
        return customer["name"]

    def _writer(self, url, token):
        auth = FixedHeader("Authorization", SecretStr(token), "Bearer ")
        return ConfiguredErpWriter(url, self.api, auth, name="configured", company=self.company)


class TestSandbox(ErpWriterConformance):
    @pytest.fixture(params=["idempotent", "lookup_only"])
    def control(self, request, tmp_path):
        app = create_app(
            tmp_path / "erp.db", profile=request.param, token="good token", company="sandbox-1", items=SKUS
        )
        with serve(app) as url:
            yield ConfiguredControl(url, described("sandbox", request.param))
