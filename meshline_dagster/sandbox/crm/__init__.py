"""A Salesforce-shaped CRM on loopback, which answers as recorded exchanges do.

``python -m meshline_dagster.sandbox.crm --help`` runs it by itself.
"""

from meshline_dagster.sandbox.crm.app import create_app
from meshline_dagster.sandbox.crm.generator import generate
from meshline_dagster.sandbox.crm.sales_world import crm_sales
from meshline_dagster.sandbox.crm.state import CrmSandbox, SandboxSettings
from meshline_dagster.sandbox.crm.world import World, WorldBuilder

__all__ = ["CrmSandbox", "SandboxSettings", "World", "WorldBuilder", "create_app", "crm_sales", "generate"]
