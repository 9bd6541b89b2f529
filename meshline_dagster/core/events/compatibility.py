"""What one version of a contract changes against another, field by field, and how far each change reaches.

Two sides have to go on: who reads events of the new version with what he built for the old, and who has events of the old version and reads
them by the new. What troubles either is breaking. The one liberty is that a reader takes a value which he does not know for something else.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from meshline_dagster.core.errors import ConfigError
from meshline_dagster.core.events.fields import DECIMAL, FORMAT_NAME, MAXIMUM, MINIMUM, UNIQUE, UNIT, decimal_form
from meshline_dagster.core.events.schema import Schema, is_nullable, types_of
from meshline_dagster.core.events.versions import Level, Version

__all__ = ["Change", "changes", "level_of", "refusal", "version_of"]

_VERSION: Final = "contract_version"
_LOWER: Final = ("minimum", MINIMUM, "minLength", "minItems")
_UPPER: Final = ("maximum", MAXIMUM, "maxLength", "maxItems")
_WORDS: Final = frozenset({"description", "examples", "x-owner", "title", FORMAT_NAME})
_JUDGED: Final = frozenset(
    {"type", "const", "enum", "format", "pattern", "properties", "required", "items", UNIT, UNIQUE, *_LOWER, *_UPPER}
)


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. ``field`` is a path, such as ``lines[].amount``; empty for the contract as a whole."""

    field: str
    level: Level
    what: str

    def __str__(self) -> str:
        return f"{self.field or 'the contract'}: {self.what}"


def version_of(schema: Schema) -> Version:
    """The version that a schema is of.

    Raises:
        ConfigError: it is no schema of an event.
    """
    said = schema.get("properties", {}).get(_VERSION, {}).get("const")
    if not isinstance(said, str):
        raise ConfigError(
            "that is no JSON Schema of an event, as `meshline contracts generate` writes it: properties.contract_version.const is missing"
        )
    return Version.parse(said)


def changes(old: Schema, new: Schema) -> Sequence[Change]:
    """All differences, the breaking ones first.

    Raises:
        ConfigError: they are no schemas of events, or of events of different types.
    """
    names = []
    for schema in (old, new):
        version_of(schema)
        names.append(schema["properties"].get("type", {}).get("const"))
    if names[0] != names[1]:
        raise ConfigError(f"{names[0]} and {names[1]} are different types of event: compare two versions of one type")
    found = list(_record("", old, new, skipped=frozenset({_VERSION})))
    return sorted(found, key=lambda one: -one.level)


def level_of(found: Sequence[Change]) -> Level:
    """How far all of them reach together."""
    return max((one.level for one in found), default=Level.NONE)


def refusal(old: Schema, new: Schema) -> str | None:
    """Why the version of ``new`` does not cover what it changes; None when it does. Words alone need no version."""
    found = changes(old, new)
    needed, given = level_of(found), version_of(old).level_to(version_of(new))
    if needed <= max(given, Level.PATCH):
        return None
    why = "; ".join(str(one) for one in found if one.level > given)
    return f"{version_of(old)} to {version_of(new)} is {given.name.lower()}, and the change is {needed.name.lower()}: {why}"


def _record(path: str, old: Schema, new: Schema, *, skipped: frozenset[str] = frozenset()) -> Iterator[Change]:
    """The fields of one object, and what is said of the object itself."""
    before, after = old.get("properties", {}), new.get("properties", {})
    for name in before:
        if name not in after:
            yield Change(_at(path, name), Level.MAJOR, "removed; a reader misses it")
    for name, schema in after.items():
        if name in skipped:
            continue
        needed = _needed(new, name)
        if name not in before:
            yield Change(_at(path, name), *_added(needed=needed))
            continue
        could_lack = not _needed(old, name)
        if needed is could_lack:
            yield Change(_at(path, name), *_need(needed=needed, was_nullable=is_nullable(before[name])))
        yield from _null(_at(path, name), before[name], schema, could_lack=could_lack)
        yield from _field(_at(path, name), before[name], schema)
    yield from _said(path, old, new, without=frozenset({"$id", "$schema"}))


def _field(path: str, old: Schema, new: Schema) -> Iterator[Change]:
    if types_of(old) != types_of(new) or old.get("format") != new.get("format"):
        yield Change(path, Level.MAJOR, f"retyped from {_kind(old)} to {_kind(new)}")
        return
    yield from _values(path, old, new)
    yield from _pattern(path, old, new)
    yield from _bounds(path, old, new)
    if old.get(UNIT) != new.get(UNIT):
        yield Change(
            path,
            Level.MAJOR,
            f"its unit was {old.get(UNIT) or 'none'} and is {new.get(UNIT) or 'none'}: the numbers mean something else",
        )
    if old.get(UNIQUE) != new.get(UNIQUE):
        yield Change(
            path, Level.MAJOR, "is unique now" if new.get(UNIQUE) else "is unique no more; a reader may rely on it"
        )
    if "properties" in old or "properties" in new:
        yield from _record(path, old, new)
        return
    if "items" in old or "items" in new:
        before, after = old.get("items", {}), new.get("items", {})
        yield from _null(f"{path}[]", before, after, could_lack=False)
        yield from _field(f"{path}[]", before, after)
    yield from _said(path, old, new)


def _values(path: str, old: Schema, new: Schema) -> Iterator[Change]:
    before, after = _allowed(old), _allowed(new)
    if before == after:
        return
    if before is None:
        yield Change(path, Level.MAJOR, f"narrowed to {_listed(after)}")
    elif after is None:
        yield Change(path, Level.MAJOR, f"may be anything now; a reader knows {_listed(before)}")
    else:
        gone, more = [one for one in before if one not in after], [one for one in after if one not in before]
        if gone:
            yield Change(path, Level.MAJOR, f"narrowed: {_listed(gone)} is no value any more; older events have it")
        if more:
            yield Change(path, Level.MINOR, f"widened: {_listed(more)} is a value too")


def _pattern(path: str, old: Schema, new: Schema) -> Iterator[Change]:
    before, after = old.get("pattern"), new.get("pattern")
    if before == after or (_has_form_of_bounds(old) and _has_form_of_bounds(new)):
        return  # such decimals differ in nothing but their bounds, which are compared
    if after is None:
        yield Change(path, Level.MAJOR, f"may have another form than {before} now; a reader may rely on it")
    elif before is None:
        yield Change(path, Level.MAJOR, f"narrowed to the form {after}")
    else:
        yield Change(path, Level.MAJOR, f"its form was {before} and is {after}; whether that is wider cannot be told")


def _has_form_of_bounds(schema: Schema) -> bool:
    return schema.get("format") == DECIMAL and schema.get("pattern") == decimal_form(
        schema.get(MINIMUM), schema.get(MAXIMUM)
    )


def _bounds(path: str, old: Schema, new: Schema) -> Iterator[Change]:
    for keywords, narrower in ((_LOWER, 1), (_UPPER, -1)):
        for keyword in keywords:
            before, after = old.get(keyword), new.get(keyword)
            if before == after:
                continue
            is_narrower = after is not None and (before is None or narrower * (Decimal(after) - Decimal(before)) > 0)
            name = keyword.removeprefix("x-")
            yield Change(
                path,
                Level.MAJOR if is_narrower else Level.MINOR,
                f"{'narrowed' if is_narrower else 'widened'}: its {name} was {_or_none(before)} and is {_or_none(after)}",
            )


def _said(path: str, old: Schema, new: Schema, *, without: frozenset[str] = frozenset()) -> Iterator[Change]:
    """Words, and whatever nobody here can judge, which therefore is breaking."""
    for keyword in sorted({*old, *new} - _JUDGED - without):
        if old.get(keyword) != new.get(keyword):
            if keyword in _WORDS:
                yield Change(path, Level.PATCH, f"other words: {keyword.removeprefix('x-')}")
            else:
                yield Change(
                    path, Level.MAJOR, f"{keyword} was {_or_none(old.get(keyword))} and is {_or_none(new.get(keyword))}"
                )


def _added(*, needed: bool) -> tuple[Level, str]:
    return (Level.MAJOR, "added and required; older events lack it") if needed else (Level.MINOR, "added, optional")


def _need(*, needed: bool, was_nullable: bool) -> tuple[Level, str]:
    if needed:
        return Level.MAJOR, "newly required; older events may lack it"
    if was_nullable:
        return Level.MINOR, "may be missing now; a reader knows it as null"
    return Level.MAJOR, "may be missing now; a reader may rely on it"


def _null(path: str, old: Schema, new: Schema, *, could_lack: bool) -> Iterator[Change]:
    """Whether a value may be null, apart from whether it may be left out."""
    if is_nullable(old) == is_nullable(new):
        return
    if is_nullable(old):
        yield Change(path, Level.MAJOR, "may be null no more; older events may have it so")
    elif could_lack:
        yield Change(path, Level.MINOR, "may be null now; a reader knows it as missing")
    else:
        yield Change(path, Level.MAJOR, "may be null now; a reader may rely on a value")


def _needed(schema: Schema, name: str) -> bool:
    """Whether a field may not be left out; it may be null all the same."""
    return name in schema.get("required", ())


def _allowed(schema: Schema) -> list[Any] | None:
    if "const" in schema:
        return [schema["const"]]
    return [one for one in schema["enum"] if one is not None] if "enum" in schema else None


def _kind(schema: Schema) -> str:
    return str(schema.get("format") or " or ".join(types_of(schema)) or "anything")


def _listed(values: Sequence[Any] | None) -> str:
    return ", ".join(map(str, values or ()))


def _or_none(value: Any) -> str:
    return "none" if value is None else str(value)


def _at(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
