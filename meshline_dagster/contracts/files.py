"""All generated files: where each is, and what it says. One list, for the command that writes them and the test that compares."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from meshline_dagster.contracts import dbt, mart, odcs, page, soda, vectors
from meshline_dagster.contracts.columns import columns
from meshline_dagster.core.errors import ConfigError
from meshline_dagster.core.events.registry import contracts, newest

__all__ = ["GENERATE", "generated", "out_of_step", "source_root", "write"]

GENERATE = "meshline contracts generate"

_PACKAGE = Path("meshline_dagster")
_OWN = _PACKAGE / "contracts" / "published"
_OBSOLETE = ("schemas/*.json", "odcs/*.yaml", "vectors/*.json")


def generated() -> Mapping[Path, str]:
    """Path below the source tree's root -> content.

    Raises:
        ConfigError: the models contradict each other; the message names the field.
    """
    return dict(_files())


def _files() -> Iterator[tuple[Path, str]]:
    table, latest = columns(), newest()
    models = Path("dbt_project") / "models" / mart.SCHEMA
    yield models / f"{mart.NAME}.yml", dbt.model_yaml(table)
    yield Path("dbt_project") / "macros" / "contract_version.sql", dbt.version_macro(latest)
    yield _PACKAGE / "warehouse" / "contracts" / f"{mart.NAME}.yml", soda.soda_yaml(table)
    for one in contracts():
        yield _OWN / "schemas" / f"{one.name}.json", json_text(one.schema)
        yield _OWN / "odcs" / f"{one.name}.yaml", odcs.document(one)
        yield _OWN / "vectors" / f"{one.name}.json", json_text(vectors.vectors(one))
    yield Path("docs") / "event_contracts.md", page.page(list(latest.values()), contracts())


def json_text(content: Mapping[str, Any]) -> str:
    """JSON as generated files have it."""
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def source_root() -> Path:
    """The root of the source tree that this package is in.

    Raises:
        ConfigError: it is an installed package, which has no sources to generate.
    """
    root = Path(__file__).resolve().parents[2]
    if not (root / "pyproject.toml").is_file() or not (root / "dbt_project").is_dir():
        raise ConfigError(
            f"{root} is no source tree of Meshline: contracts are generated where their models are changed, in a clone of the repository"
        )
    return root


def out_of_step(root: Path) -> dict[Path, str]:
    """The files that are not as the models have them -> ``missing``, ``changed`` or ``obsolete``."""
    wanted = generated()
    found: dict[Path, str] = {}
    for path, content in wanted.items():
        there = root / path
        if not there.is_file():
            found[path] = "missing"
        elif there.read_text(encoding="utf-8") != content:
            found[path] = "changed"
    for pattern in _OBSOLETE:
        extra = (path.relative_to(root) for path in sorted((root / _OWN).glob(pattern)))
        found |= {path: "obsolete" for path in extra if path not in wanted}
    return found


def write(root: Path) -> dict[Path, str]:
    """Bring all files in step; the answer says which were not, and how, as :func:`out_of_step`."""
    wanted, found = generated(), out_of_step(root)
    for path, how in found.items():
        there = root / path
        if how == "obsolete":
            there.unlink()
        else:
            there.parent.mkdir(parents=True, exist_ok=True)
            there.write_text(wanted[path], encoding="utf-8")
    return found
