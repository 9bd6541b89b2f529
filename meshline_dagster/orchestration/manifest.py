"""The parsed dbt project, as dagster-dbt wants it: made once for each version of the project and kept under ``MESHLINE_HOME``."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from meshline_dagster.store import location
from meshline_dagster.warehouse.dbt import project_hash, run_dbt

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
    path = target / "manifest.json"
    if not path.exists():
        run_dbt(["parse"], warehouse=warehouse, target_path=target).raise_for_failure()
    content: Mapping[str, Any] = json.loads(path.read_text())
    return content
