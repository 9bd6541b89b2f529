"""dbt in this process, with the parsed project kept.

A dbt subprocess costs ten seconds and more; a warm ``dbtRunner`` with its manifest kept, a quarter of one. So the project is
parsed again only when one of its files has changed. dbt is imported only when it runs.
"""

import hashlib
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from meshline_dagster.core.errors import ConfigError, PermanentError
from meshline_dagster.core.identity import sha256_hex

__all__ = ["DbtResult", "NodeResult", "manifest_json", "project_dir", "project_hash", "run_dbt"]

_SOURCES = ("*.sql", "*.yml", "*.yaml", "*.csv", "*.md")
_LOCK = threading.RLock()
_MANIFESTS: dict[tuple[str, str, str], Any] = {}


@dataclass(frozen=True, slots=True)
class NodeResult:
    """What became of one node (model, test). ``failures`` counts the rows that a test found."""

    unique_id: str
    status: str
    message: str | None
    failures: int | None
    seconds: float

    @property
    def succeeded(self) -> bool:
        """Whether the node does not stand in the way; a warning does not."""
        return self.status in {"success", "pass", "warn", "no-op"}


@dataclass(frozen=True, slots=True)
class DbtResult:
    """The outcome of one dbt command."""

    success: bool
    nodes: tuple[NodeResult, ...] = ()
    error: str | None = None

    def raise_for_failure(self) -> "DbtResult":
        """Return self.

        Raises:
            PermanentError: a node failed, or dbt itself did; the message names the first nodes and what they said.
        """
        if self.success:
            return self
        failed = [node for node in self.nodes if not node.succeeded and node.status != "skipped"]
        text = "; ".join(f"{node.unique_id}: {(node.message or node.status).strip()}" for node in failed[:5])
        raise PermanentError(f"dbt failed. {text or self.error or 'No node said why; look into the dbt log.'}")


@cache
def project_dir() -> Path:
    """The dbt project that belongs to this package: package data of the wheel, else the source tree's.

    Raises:
        ConfigError: neither is there.
    """
    package = Path(__file__).resolve().parent.parent
    for candidate in (package / "_dbt_project", package.parent / "dbt_project"):
        if (candidate / "dbt_project.yml").is_file():
            return candidate
    raise ConfigError(f"the dbt project is missing beside {package}: install meshline-dagster again")


def project_hash(project: Path | None = None) -> str:
    """SHA-256 over the project's files (names and contents): builds by other models recompute everything."""
    root = project or project_dir()
    digest = hashlib.sha256()
    skipped = {"target", "logs"}
    files = sorted({path for pattern in _SOURCES for path in root.rglob(pattern)})
    for path in files:
        name = path.relative_to(root)
        if name.parts[0] not in skipped:
            content = path.read_bytes()
            digest.update(f"{name.as_posix()}\0{len(content)}\0".encode())
            digest.update(content)
    return digest.hexdigest()


def run_dbt(
    args: Sequence[str],
    *,
    warehouse: Path,
    target_path: Path,
    project: Path | None = None,
    profiles_dir: Path | None = None,
    on_event: Callable[[Any], None] | None = None,
) -> DbtResult:
    """Run one dbt command, e.g. ``["build", "--select", "tag:derive"]``, and tell how its nodes fared.

    The caller holds the warehouse (:func:`~meshline_dagster.warehouse.connection.open_warehouse`), which also closes dbt's
    connections in the end.

    Args:
        warehouse: the DuckDB file.
        target_path: where dbt writes artifacts and logs; never inside the project.
        on_event: called with every dbt event (``EventMsg``), as it happens.
    """
    root = (project or project_dir()).resolve()
    profiles = (profiles_dir or root).resolve()
    with _LOCK, _environment(warehouse):
        common = _common_arguments(root, profiles, target_path.resolve())
        manifest = _manifest(root, warehouse, common, target_path)
        if isinstance(manifest, DbtResult):
            return manifest
        return _invoke([*args, *common], manifest, on_event)


def _common_arguments(root: Path, profiles: Path, target: Path) -> list[str]:
    return [
        *("--project-dir", str(root), "--profiles-dir", str(profiles)),
        *("--target-path", str(target), "--log-path", str(target / "logs")),
        *("--no-send-anonymous-usage-stats", "--quiet", "--log-level", "none", "--no-use-colors", "--no-version-check"),
    ]


def manifest_json(*, warehouse: Path, target_path: Path, project: Path | None = None) -> Mapping[str, Any]:
    """The parsed project as the content of ``manifest.json``.

    Raises:
        PermanentError: the project does not parse.
    """
    root = (project or project_dir()).resolve()
    with _LOCK, _environment(warehouse):
        manifest = _manifest(root, warehouse, _common_arguments(root, root, target_path.resolve()), target_path)
    if isinstance(manifest, DbtResult):
        manifest.raise_for_failure()
    content: Mapping[str, Any] = json.loads(json.dumps(manifest.writable_manifest().to_dict(omit_none=False)))
    return content


def _manifest(root: Path, warehouse: Path, common: list[str], target: Path) -> Any:
    """The parsed project: kept in the process, and beside dbt's artifacts for the next process.

    Relation names hold the database's name, which is the stem of its file: hence part of the key.
    """
    key = (str(root), warehouse.stem, project_hash(root))
    if key not in _MANIFESTS:
        kept = target / f"parsed-{sha256_hex('/'.join(key).encode())[:16]}.msgpack"
        manifest = _load(kept) or _parse(root, common, kept)
        if isinstance(manifest, DbtResult):
            return manifest
        for old in [one for one in _MANIFESTS if one[:2] == key[:2]]:
            del _MANIFESTS[old]
        _MANIFESTS[key] = manifest
    return _MANIFESTS[key]


def _load(kept: Path) -> Any:
    if not kept.exists():
        return None
    from dbt.contracts.graph.manifest import Manifest  # noqa: PLC0415 - seconds of imports, only for those who build

    manifest = Manifest.from_msgpack(kept.read_bytes())
    manifest.build_flat_graph()
    return manifest


def _parse(root: Path, common: list[str], kept: Path) -> Any:
    from dbt.cli.main import dbtRunner  # noqa: PLC0415 - as above

    outcome = dbtRunner().invoke(["parse", *common])
    if not outcome.success:
        return DbtResult(success=False, error=f"the project {root} does not parse: {outcome.exception}")
    temporary = kept.with_name(f"{kept.name}.{os.getpid()}")
    shutil.copyfile(kept.with_name("partial_parse.msgpack"), temporary)
    temporary.replace(kept)
    return outcome.result


def _invoke(args: list[str], manifest: Any, on_event: Callable[[Any], None] | None) -> DbtResult:
    from dbt.cli.main import dbtRunner  # noqa: PLC0415 - as above

    outcome = dbtRunner(manifest=manifest, callbacks=[on_event] if on_event else []).invoke(args)
    results = getattr(outcome.result, "results", None) or ()
    nodes = tuple(
        NodeResult(
            unique_id=result.node.unique_id,
            status=str(getattr(result.status, "value", result.status)),
            message=result.message,
            failures=result.failures,
            seconds=float(result.execution_time),
        )
        for result in results
    )
    error = None if outcome.exception is None else str(outcome.exception)
    return DbtResult(success=bool(outcome.success), nodes=nodes, error=error)


@contextmanager
def _environment(warehouse: Path) -> Iterator[None]:
    """The profile reads the warehouse's path from the environment, dbt's own way of passing it."""
    name = "MESHLINE_WAREHOUSE"
    before = os.environ.get(name)
    os.environ[name] = str(warehouse.resolve())
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
