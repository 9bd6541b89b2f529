"""An ERP that is described in a sync's YAML: its address, how it knows us, and what its interface is like."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from meshline_dagster.core.documents import DocumentKind
from meshline_dagster.erp.configured import ConfiguredErpWriter
from meshline_dagster.erp.configured_auth import Auth, FixedHeader, OAuthClient, basic
from meshline_dagster.erp.configured_interface import compile_api
from meshline_dagster.erp.configured_model import ErpApi
from meshline_dagster.orchestration.references import SecretReference, resolve

__all__ = ["ConfiguredDestination"]


def _holds_together(api: ErpApi) -> ErpApi:
    compile_api(api)
    return api


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class BearerAuth(_Settings):
    """``Authorization: Bearer TOKEN``."""

    type: Literal["bearer"]
    token: SecretReference

    def connect(self) -> Auth:
        """Read the secret."""
        return FixedHeader("Authorization", SecretStr(resolve(self.token)), "Bearer ")


class BasicAuth(_Settings):
    """User and password."""

    type: Literal["basic"]
    user: str
    password: SecretReference

    def connect(self) -> Auth:
        """Read the secret."""
        return basic(resolve(self.user), SecretStr(resolve(self.password)))


class HeaderAuth(_Settings):
    """A header of its own, e.g. ``X-API-Key: KEY`` or ``Authorization: token KEY:SECRET``.

    Attributes:
        prefix: what stands before the secret, with its space.
    """

    type: Literal["header"]
    name: str
    value: SecretReference
    prefix: str = ""

    def connect(self) -> Auth:
        """Read the secret."""
        return FixedHeader(self.name, SecretStr(resolve(self.value)), self.prefix)


class OAuthAuth(_Settings):
    """A token for client id and secret (OAuth 2.0, client credentials), renewed by itself."""

    type: Literal["oauth_client_credentials"]
    token_url: str
    client_id: str
    client_secret: SecretReference
    scope: str = ""

    def connect(self) -> Auth:
        """Read the secret."""
        secret = SecretStr(resolve(self.client_secret))
        return OAuthClient(resolve(self.token_url), resolve(self.client_id), secret, self.scope)


class ConfiguredDestination(_Settings):
    """An ERP with an ordinary REST interface; ``docs/configured_erp.md`` explains every key of ``api``.

    Attributes:
        company: the ERP's id of the company that is posted to; the writer refuses any other.
    """

    type: Literal["configured"]
    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    base_url: str
    company: str
    auth: Annotated[BearerAuth | BasicAuth | HeaderAuth | OAuthAuth, Field(discriminator="type")]
    sandbox: bool = False
    api: Annotated[ErpApi, AfterValidator(_holds_together)]

    @property
    def operations(self) -> frozenset[tuple[DocumentKind, str]]:
        """What its writer declares."""
        return compile_api(self.api).operations

    def writer(self) -> ConfiguredErpWriter:
        """The writer; secrets are read here."""
        base_url = resolve(self.base_url)
        return ConfiguredErpWriter(base_url, self.api, self.auth.connect(), name=self.name, company=self.company)
