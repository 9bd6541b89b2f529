"""The versions that were released: their schemas as they were then, never written again. What a model has become is compared with them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from meshline_dagster.contracts.files import json_text
from meshline_dagster.core.errors import ConfigError, RefusedError
from meshline_dagster.core.events.compatibility import changes, level_of, refusal
from meshline_dagster.core.events.registry import Contract, contract, contracts
from meshline_dagster.core.events.schema import Schema
from meshline_dagster.core.events.upcasting import missing_steps
from meshline_dagster.core.events.versions import Level, Version

__all__ = ["FOLDER", "find_schema", "release", "released", "violations"]

FOLDER = Path(__file__).with_name("published") / "released"


def released(folder: Path | None = None) -> Mapping[str, Mapping[Version, Schema]]:
    """Type -> version -> schema, the oldest version first. Here as below the folder is :data:`FOLDER` unless another is named."""
    found: dict[str, dict[Version, Schema]] = {}
    for path in (folder or FOLDER).glob("*.json"):
        event_type, _, version = path.stem.partition("@")
        found.setdefault(event_type, {})[Version.parse(version)] = _read(path)
    return {event_type: dict(sorted(versions.items())) for event_type, versions in sorted(found.items())}


def violations(folder: Path | None = None, among: Sequence[Contract] | None = None) -> Sequence[str]:
    """What the models may not be, given what was released; empty when all is well. Each says what to do."""
    known = contracts() if among is None else among
    return [
        *(text for event_type, versions in released(folder).items() for text in _of_type(event_type, versions, known)),
        *(text for event_type in dict.fromkeys(one.event_type for one in known) for text in _gaps(event_type, known)),
    ]


def release(event_type: str, folder: Path | None = None) -> Path:
    """Keep the newest version of a type. A version that is kept already stays as it is.

    Raises:
        ConfigError: there is no such type.
        RefusedError: the version is released already, or does not cover what it changes.
    """
    one = contract(event_type)
    known = released(folder).get(event_type, {})
    if one.version in known:
        raise RefusedError(f"{one.name} is released already and stays as it was: give the model its next version first")
    found = violations(folder)
    if found:
        raise RefusedError(found[0])
    kept = folder or FOLDER
    kept.mkdir(parents=True, exist_ok=True)
    path = kept / f"{one.name}.json"
    path.write_text(json_text(one.schema), encoding="utf-8")
    return path


def find_schema(name: str, folder: Path | None = None) -> tuple[str, Schema]:
    """A schema and what to call it: a file, ``TYPE@VERSION`` as it was released or else as its model has it, or ``TYPE``, the newest model.

    Raises:
        ConfigError: there is none of that name, or the file holds none.
    """
    path = Path(name)
    if path.is_file():
        return path.name, _read(path)
    event_type, _, version = name.partition("@")
    if not version:
        if path.suffix == ".json" or len(path.parts) > 1:
            raise ConfigError(
                f"there is no file {name}; a contract is named as TYPE or TYPE@VERSION, as in order.created@1.0.0"
            )
        one = contract(event_type)
        return f"{one.name} (its model)", one.schema
    kept = released(folder).get(event_type, {}).get(Version.parse(version))
    if kept is not None:
        return f"{name} (as released)", kept
    return f"{name} (its model)", contract(event_type, version).schema


def _of_type(event_type: str, versions: Mapping[Version, Schema], known: Sequence[Contract]) -> Iterator[str]:
    models = {one.version: one for one in known if one.event_type == event_type}
    for version, schema in versions.items():
        if version not in models:
            yield (
                f"{event_type}@{version} was released and has no model any more: older events could not be read; put the model back beside "
                "the newer one"
            )
        elif level_of(found := changes(schema, models[version].schema)) > Level.PATCH:
            yield (
                f"{event_type}@{version} is released and its model is another now ({'; '.join(map(str, found))}): put it back, and write "
                "the change as a model of its own with the next version"
            )
    for version, one in models.items():
        before = [older for older in versions if older < version]
        if version in versions or not before:
            continue
        why = refusal(versions[before[-1]], one.schema)
        if why is not None:
            yield f"{one.name}: {why}; give it the next {level_of(changes(versions[before[-1]], one.schema)).name.lower()} version"


def _gaps(event_type: str, known: Sequence[Contract]) -> Sequence[str]:
    return missing_steps([one for one in known if one.event_type == event_type])


def _read(path: Path) -> Schema:
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{path} is no JSON ({error}): name a JSON Schema of an event") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path} holds no JSON object: name a JSON Schema of an event")
    return content
