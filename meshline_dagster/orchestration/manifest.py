"""The parsed dbt project, as dagster-dbt wants it: made once for each version of the project and kept under ``MESHLINE_HOME``."""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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
    if not path.exists():
        with _one_at_a_time(target):
            if not path.exists():
                _keep(path, manifest_json(warehouse=warehouse, target_path=target))
    kept: Mapping[str, Any] = json.loads(path.read_text())
    return kept


@contextmanager
def _one_at_a_time(target: Path) -> Iterator[None]:
    """Webserver and daemon start together, each with a code server: one parses, for ten seconds, and the other waits for what it found."""
    target.mkdir(parents=True, exist_ok=True)
    with (target / "parsing.lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _keep(path: Path, content: Mapping[str, Any]) -> None:
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(content))
    temporary.replace(path)
