"""All contracts of events: found in the modules of :mod:`types`, each a type, a version and its model."""

import importlib
import pkgutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from types import ModuleType
from typing import get_args

from meshline_dagster.core.errors import ConfigError
from meshline_dagster.core.events import types
from meshline_dagster.core.events.event import Event
from meshline_dagster.core.events.schema import Schema, schema_of
from meshline_dagster.core.events.versions import Version

__all__ = ["Contract", "contract", "contracts", "contracts_of", "newest"]


@dataclass(frozen=True)
class Contract:
    """What an event of one type and version is."""

    event_type: str
    version: Version
    model: type[Event]

    @classmethod
    def of(cls, model: type[Event]) -> "Contract":
        """The contract that a model is.

        Raises:
            ConfigError: its type or version is no literal of one value.
        """
        found = {}
        for name in ("type", "contract_version"):
            values = get_args(model.model_fields[name].annotation)
            if len(values) != 1 or not isinstance(values[0], str):
                raise ConfigError(
                    f'{model.__name__}.{name} says no single value: write `{name}: Annotated[Literal["..."], ...]`'
                )
            found[name] = values[0]
        return cls(found["type"], Version.parse(found["contract_version"]), model)

    @property
    def name(self) -> str:
        """``order.created@1.0.0``."""
        return f"{self.event_type}@{self.version}"

    @cached_property
    def schema(self) -> Schema:
        """Its JSON Schema."""
        return schema_of(self.model, self.event_type, str(self.version))


@cache
def contracts() -> Sequence[Contract]:
    """All of them: by type in the order of the modules, the oldest version first.

    Raises:
        ConfigError: two models claim one type and version, or one says no type and version.
    """
    modules = [importlib.import_module(f"{types.__name__}.{one.name}") for one in pkgutil.iter_modules(types.__path__)]
    return contracts_of(model for module in modules for model in _models(module))


def contracts_of(models: Iterable[type[Event]]) -> Sequence[Contract]:
    """The contracts of some models, in order. Raises as :func:`contracts`."""
    by_type: dict[str, dict[Version, Contract]] = {}
    for model in models:
        one = Contract.of(model)
        versions = by_type.setdefault(one.event_type, {})
        if one.version in versions:
            raise ConfigError(
                f"{one.name} is claimed by {versions[one.version].model.__name__} and {model.__name__}: give one of them another version"
            )
        versions[one.version] = one
    return tuple(versions[version] for versions in by_type.values() for version in sorted(versions))


def newest(some: Sequence[Contract] | None = None) -> Mapping[str, Contract]:
    """Type -> its newest version: what the warehouse derives."""
    return {one.event_type: one for one in (contracts() if some is None else some)}


def contract(event_type: str, version: str | None = None) -> Contract:
    """One contract, the newest of its type unless a version is named.

    Raises:
        ConfigError: there is none; the message lists what there is.
    """
    of_type = [one for one in contracts() if one.event_type == event_type]
    found = [one for one in of_type if version is None or str(one.version) == version]
    if found:
        return found[-1]
    if not of_type:
        raise ConfigError(f"{event_type!r} is no type of event; there are {', '.join(newest())}")
    raise ConfigError(f"{event_type} has no version {version}; it has {', '.join(str(one.version) for one in of_type)}")


def _models(module: ModuleType) -> Iterator[type[Event]]:
    """The models that a module defines; one whose name starts with an underscore is what others have in common."""
    for name, value in vars(module).items():
        if (
            isinstance(value, type)
            and issubclass(value, Event)
            and value.__module__ == module.__name__
            and name[0] != "_"
        ):
            yield value
