"""The parsed dbt project, as dagster-dbt wants it: made once for each version of the project and kept under ``MESHLINE_HOME``."""

import json
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from meshline_dagster.store import location
from meshline_dagster.warehouse.dbt import manifest_json, project_hash

__all__ = ["dbt_target_path", "manifest"]


def dbt_target_path() -> Path:
    """Where dbt keeps its artifacts: one folder for each version of the project, so that an old one never misleads."""
    return location.home() / "dbt" / project_hash()[:16]


def manifest() -> Mapping[str, Any]:
    """The content of ``manifest.json``.

    Raises:
        PermanentError: the project does not parse.
    """
    return _manifest(dbt_target_path(), location.warehouse_path())


@cache
def _manifest(target: Path, warehouse: Path) -> Mapping[str, Any]:
    path = target / "dagster-manifest.json"
    if path.exists():
        kept: Mapping[str, Any] = json.loads(path.read_text())
        return kept
    content = manifest_json(warehouse=warehouse, target_path=target)
    target.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(content))
    temporary.replace(path)
    return content
