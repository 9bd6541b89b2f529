"""A HubSpot-shaped CRM on loopback, with the traps that readers of HubSpot fall into.

``python -m meshline_dagster.sandbox.hubspot --help`` runs it by itself.
"""

from meshline_dagster.sandbox.hubspot.app import create_app
from meshline_dagster.sandbox.hubspot.state import HubSpotSandbox, HubSpotSettings
from meshline_dagster.sandbox.hubspot.translation import empty_portal, hubspot_world

__all__ = ["HubSpotSandbox", "HubSpotSettings", "create_app", "empty_portal", "hubspot_world"]
