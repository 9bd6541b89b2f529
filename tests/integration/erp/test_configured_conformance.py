"""The configured writer keeps what the engine relies on, for ERPs that have little in common but HTTP."""

import re
import socket
from pathlib import Path

import httpx
import pytest
import yaml
from pydantic import SecretStr

from meshline_dagster.erp.configured import ConfiguredErpWriter
from meshline_dagster.erp.configured_auth import FixedHeader, OAuthClient
from meshline_dagster.erp.configured_model import ErpApi
from meshline_dagster.sandbox.erp.app import create_app
from meshline_dagster.sandbox.serve import serve
from meshline_dagster.testing.erp_conformance import ErpWriterConformance
from tests.integration.erp.test_rest_conformance import order_of

ROOT = Path(__file__).resolve().parents[3]
SKUS = ("GTX Basic", "Tür-ø 字😀")
CONFIGURED = Path(__file__).parent / "configured"


def described(name):
    """The interface in a file of ``configured``."""
    return yaml.safe_load((CONFIGURED / f"{name}.yaml").read_text())


def documented():
    """The interface that the documentation shows; it waits less for late commits."""
    [block] = re.findall(
        r"^```yaml\n(type: .*?)^```$", (ROOT / "docs/configured_erp.md").read_text(), re.MULTILINE | re.DOTALL
    )
    api = yaml.safe_load(block)["attributes"]["destination"]["api"]
    api["capabilities"]["settle_after"] = 1
    return api


class ConfiguredControl:
    can = frozenset({"lose_answer", "refuse_connection", "refuse_credentials", "refuse_skus", "show_name"})
    company = "sandbox-1"
    currency = "EUR"
    skus = SKUS
    lost_write = 1

    def __init__(self, url, api):
        self.url, self.api = url, ErpApi.model_validate(api)

    def writer(self):
        return self._writer(self.url, "good token")

    def unreachable(self):
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            return self._writer(f"http://127.0.0.1:{nobody.getsockname()[1]}", "good token")

    def stranger(self):
        return self._writer(self.url, "bad token")

    def lose_next_answer(self):
        plan = [{"fault": "reset_after", "at": [self.lost_write]}]
        httpx.post(f"{self.url}/control/faults", json={"plan": plan}).raise_for_status()

    def name_of(self, external_id):
        answer = httpx.get(f"{self.url}/control/journal").json()
        [made] = [one["document_id"] for one in answer if one["external_id"] == external_id]
        return self.shown_name(made)

    def _writer(self, url, token):
        return ConfiguredErpWriter(url, self.api, self.auth(url, token), name="configured", company=self.company)


class SandboxControl(ConfiguredControl):
    can = ConfiguredControl.can | {"show_po_number"}

    def po_number_of(self, external_id):
        return order_of(self.url, external_id)["po_number"]

    def auth(self, url, token):
        return FixedHeader("Authorization", SecretStr(token), "Bearer ")

    def shown_name(self, erp_id):
        headers = {"Authorization": "Bearer good token"}
        return httpx.get(f"{self.url}/v1/customers/{erp_id}", headers=headers).json()["name"]


class TestSandbox(ErpWriterConformance):
    @pytest.fixture(params=["idempotent", "lookup_only"])
    def control(self, request, tmp_path):
        api = described("sandbox")
        if request.param == "lookup_only":
            del api["capabilities"]["idempotency_key_header"]
        app = create_app(
            tmp_path / "erp.db",
            ignores_case=True,
            profile=request.param,
            token="good token",
            company="sandbox-1",
            items=SKUS,
        )
        with serve(app) as url:
            yield SandboxControl(url, api)


class FrappeControl(ConfiguredControl):
    lost_write = 2  # the confirmation: what is lost before leaves a draft

    def auth(self, url, token):
        return FixedHeader("Authorization", SecretStr(token), "token ")

    def shown_name(self, erp_id):
        headers = {"Authorization": "token good token"}
        name = f"CUST%2F2017%20%26%20Co-{erp_id[1:]}"
        return httpx.get(f"{self.url}/api/resource/Customer/{name}", headers=headers).json()["data"]["customer_name"]


class TestFrappe(ErpWriterConformance):
    @pytest.fixture
    def control(self, tmp_path):
        app = create_app(
            tmp_path / "erp.db",
            ignores_case=True,
            profile="lookup_only",
            token="good token",
            company="sandbox-1",
            items=SKUS,
            shape="frappe",
        )
        with serve(app) as url:
            yield FrappeControl(url, described("frappe"))


class ODataControl(ConfiguredControl):
    def auth(self, url, token):
        return OAuthClient(f"{url}/oauth/token", "us", SecretStr(token))

    def shown_name(self, erp_id):
        auth = httpx.post(f"{self.url}/oauth/token", data={"client_secret": "good token"}).json()
        headers = {"Authorization": f"Bearer {auth['access_token']}"}
        rows = httpx.get(f"{self.url}/api/v2.0/companies(sandbox-1)/customers", headers=headers).json()["value"]
        [name] = [row["displayName"] for row in rows if row["id"].endswith(f"{int(erp_id[1:]):012d}")]
        return name


class TestOData(ErpWriterConformance):
    @pytest.fixture
    def control(self, tmp_path):
        app = create_app(
            tmp_path / "erp.db",
            ignores_case=True,
            profile="unique",
            token="good token",
            company="sandbox-1",
            items=SKUS,
            shape="odata",
        )
        with serve(app) as url:
            yield ODataControl(url, documented())
