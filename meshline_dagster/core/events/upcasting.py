"""Older events in the newest version: one version at a time, each step by the model that it leads to."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from meshline_dagster.core.errors import ConfigError
from meshline_dagster.core.events.event import Event
from meshline_dagster.core.events.reading import contract_of, read_event
from meshline_dagster.core.events.registry import Contract, contracts
from meshline_dagster.core.events.versions import Level

__all__ = ["missing_steps", "upcast"]


def upcast(document: Mapping[str, Any], among: Sequence[Contract] | None = None) -> Event:
    """The event in the newest version of its type. Its id, and whatever no version changed, stays.

    Args:
        document: in JSON notation; it fulfils the contract that it names.
        among: the contracts to know; None: all.

    Raises:
        ContractError: it breaks its own contract, or a step made something that breaks the next one.
        ConfigError: a major version does not say what becomes of the version before.
    """
    known = contracts() if among is None else among
    start = contract_of(document, known)
    event, current = read_event(document, known), dict(document)
    versions = [one for one in known if one.event_type == start.event_type and one.version >= start.version]
    gaps = missing_steps(versions)
    if gaps:
        raise ConfigError(gaps[0])
    for step in versions[1:]:
        current = {**step.model.from_previous(current), "contract_version": str(step.version)}
        event = read_event(current, known)
    return event


def missing_steps(versions: Sequence[Contract]) -> Sequence[str]:
    """What keeps older events of one type from being lifted: each major version without a step of its own."""
    return [
        f"{newer.name} is a major version, and its model {newer.model.__name__} does not say in `from_previous` what becomes of an event of "
        f"{older.version}: define it"
        for older, newer in pairwise(versions)
        if older.version.level_to(newer.version) is Level.MAJOR and not _has_own_step(newer.model)
    ]


def _has_own_step(model: type[Event]) -> bool:
    return "from_previous" in vars(model)
