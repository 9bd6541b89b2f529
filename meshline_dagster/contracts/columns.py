"""The columns of a table that holds events of several types: each has what all of them demand, and for each type what it demands besides."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from meshline_dagster.contracts.rules import Rule, allowed_values, literal, quoted, rules_of, sql_type, values_rule
from meshline_dagster.core.errors import ConfigError
from meshline_dagster.core.events.fields import OWNER, UNIQUE, UNIT
from meshline_dagster.core.events.registry import Contract, newest
from meshline_dagster.core.events.schema import Schema, is_nullable

__all__ = ["Column", "columns"]

_TYPE = "type"


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        required: no type of event lacks it.
        rules: what holds for every row.
        by_type: what depends on the type of the event; None where nothing does.
    """

    name: str
    sql_type: str
    description: str
    owner: str
    unit: str | None
    required: bool
    unique: bool
    rules: tuple[Rule, ...]
    by_type: Rule | None


@dataclass(frozen=True, slots=True)
class _Part:
    """A field as one type of event has it."""

    schema: Schema
    required: bool

    def demands(self, name: str) -> tuple[Rule, ...]:
        there = (Rule(_there(name)),) if self.required else ()
        return (*there, *rules_of(name, self.schema))


def columns(contracts: Mapping[str, Contract] | None = None) -> Sequence[Column]:
    """The columns for the newest versions of all types, in the order of the first model that has each.

    Raises:
        ConfigError: two types want different things under one name.
    """
    wanted = newest() if contracts is None else contracts
    schemas = {name: one.schema for name, one in wanted.items()}
    names = list(dict.fromkeys(field for schema in schemas.values() for field in schema["properties"]))
    return [_column(name, schemas) for name in names]


def _column(name: str, schemas: Mapping[str, Schema]) -> Column:
    parts = {event_type: _part(name, schema) for event_type, schema in schemas.items()}
    there = {event_type: part for event_type, part in parts.items() if part is not None}
    first = next(iter(there.values())).schema
    kinds = {event_type: sql_type(name, part.schema) for event_type, part in there.items()}
    if len(set(kinds.values())) > 1:
        said = ", ".join(f"{kind} in {event_type}" for event_type, kind in kinds.items())
        raise ConfigError(f"one column cannot hold {name} as {said}: give one of the fields another name")
    everywhere = len(there) == len(parts)
    required = everywhere and all(part.required for part in there.values())
    rules, by_type = _rules(name, parts, required=required)
    return Column(
        name=name,
        sql_type=next(iter(kinds.values())),
        description=_joined({event_type: part.schema["description"] for event_type, part in there.items()}),
        owner=first[OWNER],
        unit=first.get(UNIT),
        required=required,
        unique=bool(first.get(UNIQUE)),
        rules=rules,
        by_type=by_type,
    )


def _part(name: str, schema: Schema) -> _Part | None:
    if name not in schema["properties"]:
        return None
    found = schema["properties"][name]
    return _Part(found, name in schema["required"] and not is_nullable(found))


def _rules(name: str, parts: Mapping[str, _Part | None], *, required: bool) -> tuple[tuple[Rule, ...], Rule | None]:
    """What holds whatever the type, and what depends on it."""
    demanded = {event_type: _demands(name, part) for event_type, part in parts.items()}
    of_those = [demanded[event_type] for event_type, part in parts.items() if part is not None]
    always = [rule for rule in of_those[0] if all(rule in rules for rules in of_those)]
    shared = [
        rule for rule in always if required or rule.expression != _there(name)
    ]  # a type without it has null, which passes
    own = {event_type: [rule for rule in rules if rule not in shared] for event_type, rules in demanded.items()}
    values = _all_values(parts)
    general = [rule for rule in shared if not (required and rule.expression == _there(name))]
    if any(own.values()) and values is not None:
        general.append(values_rule(name, values))
    if name == _TYPE or not any(own.values()):
        return tuple(general), None
    branches = " ".join(
        f"when {literal(event_type)} then {' and '.join(rule.expression for rule in rules)}"
        for event_type, rules in own.items()
        if rules
    )
    by_type = Rule(f"case {quoted(_TYPE)} {branches} else true end", name=f"{name} is as its type of event has it")
    return tuple(general), by_type


def _there(name: str) -> str:
    return f"{quoted(name)} is not null"


def _demands(name: str, part: _Part | None) -> tuple[Rule, ...]:
    return (Rule(f"{quoted(name)} is null"),) if part is None else part.demands(name)


def _all_values(parts: Mapping[str, _Part | None]) -> tuple[object, ...] | None:
    found = [None if part is None else allowed_values(part.schema) for part in parts.values()]
    if any(values is None for values in found):
        return None
    return tuple(dict.fromkeys(value for values in found for value in values or ()))


def _joined(texts: Mapping[str, str]) -> str:
    """One text where all say the same; else each with the types that say it."""
    if len(set(texts.values())) == 1:
        return next(iter(texts.values()))
    said: dict[str, list[str]] = {}
    for event_type, text in texts.items():
        said.setdefault(text, []).append(event_type)
    return " ".join(f"{', '.join(some)}: {text}" for text, some in said.items())
