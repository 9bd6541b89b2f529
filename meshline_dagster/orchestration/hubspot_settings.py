"""Settings of a source that is a HubSpot portal."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from meshline_dagster.orchestration.references import SecretReference

__all__ = ["HubSpotSource"]


class HubSpotSource(BaseModel):
    """A HubSpot portal, polled over the CRM API v3.

    Attributes:
        token: a private app's access token, with the scopes to read the objects.
        objects: what is read; each also tells what was archived of it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    type: Literal["hubspot"] = "hubspot"
    instance: str = Field("hubspot", pattern=r"^[a-z][a-z0-9_]*$", description="Names folders, assets and leases.")
    base_url: str = "https://api.hubapi.com"
    token: SecretReference = "env:MESHLINE_HUBSPOT_TOKEN"  # noqa: S105 - names the variable
    objects: tuple[Literal["companies", "products", "deals", "line_items"], ...] = (
        *("companies", "products", "deals", "line_items"),
    )
