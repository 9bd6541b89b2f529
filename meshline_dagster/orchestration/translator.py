"""How dbt nodes appear in Dagster: keys, groups, owners, and the raw assets behind their sources."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings
from dagster_dbt.asset_utils import build_dbt_specs

__all__ = ["MeshlineDbtTranslator", "dbt_specs"]

_LAYERS = ("staging", "intermediate", "marts")
_SOURCES = ("landing", "ops")


class MeshlineDbtTranslator(DagsterDbtTranslator):
    """Models are named as in dbt, grouped by layer, owned by revenue ops."""

    def __init__(self) -> None:
        super().__init__(DagsterDbtTranslatorSettings(enable_asset_checks=True, enable_code_references=False))

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        """The name of a model; ``landing/<view>`` and ``ops/<table>`` for sources, which :func:`dbt_specs` resolves."""
        name: str = dbt_resource_props["name"]
        if dbt_resource_props["resource_type"] == "source":
            return dg.AssetKey([dbt_resource_props["source_name"], name])
        return dg.AssetKey([name])

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str | None:
        """The layer's folder."""
        return next((part for part in dbt_resource_props["fqn"] if part in _LAYERS), None)

    def get_owners(self, dbt_resource_props: Mapping[str, Any]) -> Sequence[str]:  # noqa: ARG002 - fixed by dagster-dbt
        """Revenue ops own the models."""
        return ["team:revops"]

    def get_tags(self, dbt_resource_props: Mapping[str, Any]) -> Mapping[str, str]:
        """The layer."""
        layer = self.get_group_name(dbt_resource_props)
        return {"meshline/layer": layer} if layer else {}


def dbt_specs(
    manifest: Mapping[str, Any], select: str, raw: Mapping[str, Sequence[dg.AssetKey]]
) -> tuple[list[dg.AssetSpec], list[dg.AssetCheckSpec]]:
    """The assets and checks of a dbt selection.

    Args:
        raw: landing view -> the raw assets that it reads. Extracts of the ops store are no assets: they are written by the build.
    """
    specs, checks = build_dbt_specs(
        translator=MeshlineDbtTranslator(),
        manifest=manifest,
        select=select,
        exclude="resource_type:unit_test",
        selector="",
        io_manager_key=None,
        project=None,
    )
    return [spec.replace_attributes(deps=_resolved(spec.deps, raw)) for spec in specs], list(checks)


def _resolved(deps: Iterable[dg.AssetDep], raw: Mapping[str, Sequence[dg.AssetKey]]) -> list[dg.AssetDep]:
    found: dict[dg.AssetKey, dg.AssetDep] = {}
    for dep in deps:
        source, *rest = dep.asset_key.path
        if source not in _SOURCES or not rest:
            found[dep.asset_key] = dep
            continue
        for key in raw.get(rest[0], ()) if source == "landing" else ():
            found[key] = dg.AssetDep(key)
    return list(found.values())
