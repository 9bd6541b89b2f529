"""The Dagster component: a sync from a few lines of YAML."""

from pathlib import Path
from typing import Any, Self

import dagster as dg
import yaml  # type: ignore[import-untyped]
from dagster.components import Scaffolder, ScaffoldRequest
from pydantic import BaseModel, Field

from meshline_dagster.core.errors import ConfigError
from meshline_dagster.orchestration.settings import SyncSettings
from meshline_dagster.orchestration.sync import build_automation, build_sync

__all__ = ["CrmToErpSync", "CrmToErpSyncModel", "load_settings"]

_TEMPLATE = """\
type: {type_name}

# Values may be env:NAME; secrets must be.
attributes:
  name: {name}
  origin: 2026-01-01        # the first change day
  mode: shadow              # plans and compares; `live` posts
  sources:
    - type: salesforce
      base_url: env:MESHLINE_CRM_URL
      client_id: env:MESHLINE_CRM_CLIENT_ID
      client_secret: env:MESHLINE_CRM_CLIENT_SECRET
  destination:
    type: rest
    name: sandbox
    base_url: env:MESHLINE_ERP_URL
    token: env:MESHLINE_ERP_TOKEN
    sandbox: true           # outside a sandbox, live needs effective_from
"""


class CrmToErpSyncModel(SyncSettings):
    """The attributes in YAML: the settings of the sync, and whether the component starts it by itself."""

    automation: bool = Field(default=True, description="add the poll sensor, the check sensor and the check schedule")


class _SyncScaffolder(Scaffolder[Any]):
    """``dg scaffold defs meshline_dagster.CrmToErpSync <name>``: a ``defs.yaml`` that loads and runs against the sandbox."""

    def scaffold(self, request: ScaffoldRequest[Any]) -> None:
        """Write the file."""
        request.target_path.mkdir(parents=True, exist_ok=True)
        name = "".join(one if one.isalnum() else "_" for one in request.target_path.name.lower())
        text = _TEMPLATE.format(type_name=request.type_name, name=name)
        (request.target_path / "defs.yaml").write_text(text)


@dg.scaffold_with(_SyncScaffolder)
class CrmToErpSync(dg.Component):
    """CRM change feeds to canonical events to an ERP, exactly once in effect, reconciled.

    In Python: ``CrmToErpSync(SyncSettings(...)).definitions()``, or :func:`~meshline_dagster.orchestration.sync.build_sync`.
    """

    def __init__(self, settings: SyncSettings, *, automation: bool = True) -> None:
        self.settings = settings
        self.automation = automation

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """The schema of ``attributes``."""
        return CrmToErpSyncModel

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> Self:  # noqa: ARG003 - fixed by Dagster
        """Make the component from checked YAML."""
        if not isinstance(attributes, CrmToErpSyncModel):
            raise ConfigError("the component needs attributes: sources, destination and origin at least")
        values = {name: getattr(attributes, name) for name in SyncSettings.model_fields}
        return cls(SyncSettings(**values), automation=attributes.automation)

    def definitions(self) -> dg.Definitions:
        """Assets, checks and jobs; sensors and schedule where automation is on."""
        sync = build_sync(self.settings)
        return dg.Definitions.merge(sync, build_automation(self.settings)) if self.automation else sync

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:  # noqa: ARG002 - fixed by Dagster
        """The component's definitions."""
        return self.definitions()


def load_settings(path: Path) -> SyncSettings:
    """The settings in a component's ``defs.yaml``, for sensors that live elsewhere.

    Raises:
        ConfigError: the file has no attributes.
    """
    content = yaml.safe_load(path.read_text())
    if not isinstance(content, dict) or not isinstance(content.get("attributes"), dict):
        raise ConfigError(f"{path} has no attributes of a sync")
    model = CrmToErpSyncModel.model_validate(content["attributes"])
    return SyncSettings(**{name: getattr(model, name) for name in SyncSettings.model_fields})
