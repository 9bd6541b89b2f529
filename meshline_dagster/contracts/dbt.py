"""What dbt has to know of the events: the model's contract (columns, types, constraints, tests), and a macro with the versions."""

from collections.abc import Mapping, Sequence
from typing import Any

from meshline_dagster.contracts import mart
from meshline_dagster.contracts.columns import Column
from meshline_dagster.contracts.rules import literal
from meshline_dagster.contracts.yaml_text import HEADER, yaml_text
from meshline_dagster.core.events.registry import Contract

__all__ = ["model_yaml", "version_macro"]


def model_yaml(columns: Sequence[Column]) -> str:
    """The properties of the model of canonical events. Its unit tests are in a file of their own."""
    model = {
        "name": mart.NAME,
        "description": mart.DESCRIPTION,
        "config": {"contract": {"enforced": True}},
        "data_tests": [dict(test) for test in mart.DBT_TESTS],
        "columns": [_column(column) for column in columns],
    }
    return yaml_text({"version": 2, "models": [model]})


def _column(column: Column) -> dict[str, Any]:
    rules = (*column.rules, *(() if column.by_type is None else (column.by_type,)))
    constraints = [{"type": "not_null"}] if column.required else []
    constraints += [{"type": "check", "expression": rule.expression} for rule in rules]
    said: dict[str, Any] = {"name": column.name, "data_type": column.sql_type, "description": column.description}
    if constraints:
        said["constraints"] = constraints
    if column.unique:
        unique = {"name": f"{mart.NAME}_have_unique_{column.name}s", "config": {"where": mart.TOUCHED}}
        said["data_tests"] = [{"unique": unique}]
    unit = {} if column.unit is None else {"unit": column.unit}
    return said | {"config": {"meta": {"owner": column.owner, **unit}}}


def version_macro(newest: Mapping[str, Contract]) -> str:
    """The newest version of the contract of each type of event, as SQL over a column that has the type."""
    branches = "\n".join(
        f"        when {literal(event_type)} then {literal(str(one.version))}" for event_type, one in newest.items()
    )
    return (
        f"{{# {HEADER} #}}\n\n"
        "{# The version of the contract that an event of a type fulfils. #}\n"
        "{% macro contract_version(event_type) -%}\n"
        f"    case {{{{ event_type }}}}\n{branches}\n    end\n"
        "{%- endmacro %}\n"
    )
