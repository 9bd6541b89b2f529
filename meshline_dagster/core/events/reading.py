"""Reading an event from JSON: its type and version name the model, and the model says what is wrong with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from meshline_dagster.core.errors import ConfigError, ContractError
from meshline_dagster.core.events.event import Event
from meshline_dagster.core.events.registry import Contract, contract, contracts

__all__ = ["Problem", "contract_of", "problems", "read_event", "read_row"]

_SHOWN = 40
"""How many characters of a wrong value an error repeats."""

_SAID = {
    "missing": "is missing: it is required",
    "extra_forbidden": "is no field of this event: take it out, or correct its name",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one field. ``field`` is a path, such as ``lines.0.amount``; empty for the event as a whole."""

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field} {self.message}" if self.field else self.message


def contract_of(document: Any, among: Sequence[Contract] | None = None) -> Contract:
    """The contract that an event says it fulfils.

    Raises:
        ContractError: it names no type and version, or one that is not known.
    """
    if not isinstance(document, Mapping):
        raise ContractError(f"an event is a JSON object, not {type(document).__name__}")
    named = {name: document.get(name) for name in ("type", "contract_version")}
    for name, value in named.items():
        if not isinstance(value, str):
            raise ContractError(f"the event has no {name}, which names its contract: {name} is {value!r}")
    for one in contracts() if among is None else among:
        if (one.event_type, str(one.version)) == (named["type"], named["contract_version"]):
            return one
    try:
        contract(str(named["type"]), str(named["contract_version"]))
    except ConfigError as error:
        raise ContractError(str(error)) from error
    raise ContractError(f"{named['type']}@{named['contract_version']} is not among the contracts that were asked for")


def problems(document: Any, among: Sequence[Contract] | None = None) -> Sequence[Problem]:
    """Everything that is wrong with an event; empty when it fulfils its contract."""
    try:
        read_event(document, among)
    except ContractError as error:
        return error.problems or (Problem("", str(error)),)
    return ()


def read_event(document: Any, among: Sequence[Contract] | None = None) -> Event:
    """The event that a JSON object is.

    Args:
        among: the contracts to know; None: all.

    Raises:
        ContractError: it breaks its contract; ``problems`` has every field that does.
    """
    known = contract_of(document, among)
    try:
        return known.model.model_validate(dict(document))
    except ValidationError as error:
        found = tuple(_problem(one) for one in error.errors(include_url=False))
        text = "; ".join(map(str, found[:5])) + (f"; and {len(found) - 5} more" if len(found) > 5 else "")  # noqa: PLR2004 - a screenful
        raise ContractError(f"{known.name}: {text}", problems=found) from None


def read_row(row: Mapping[str, Any], among: Sequence[Contract] | None = None) -> Event:
    """The event that a row of the table is, which has a null in each column that belongs to other types. Otherwise as :func:`read_event`."""
    own = contract_of(row, among).model.model_fields
    return read_event({name: value for name, value in row.items() if value is not None or name in own}, among)


def _problem(error: Mapping[str, Any]) -> Problem:
    said = _SAID.get(error["type"])
    if said is None and error["type"] == "value_error":
        said = error["msg"].removeprefix("Value error, ")
    if said is None:
        said = f"{_shortened(error['input'])} is wrong: {error['msg'].replace('Input should', 'it should')}"
    return Problem(".".join(map(str, error["loc"])), said)


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
