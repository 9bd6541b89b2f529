"""The Soda contract of the canonical events."""

from collections.abc import Sequence
from typing import Any

from meshline_dagster.contracts import mart
from meshline_dagster.contracts.columns import Column
from meshline_dagster.contracts.rules import Rule
from meshline_dagster.contracts.yaml_text import yaml_text

__all__ = ["soda_yaml"]


def soda_yaml(columns: Sequence[Column]) -> str:
    """Schema, what holds between rows, and the columns one by one. A column too many is a breach too."""
    checks: list[dict[str, Any]] = [{"schema": {}}]
    checks += [
        {"failed_rows": {"name": one.name, "qualifier": one.qualifier, "query": one.query}} for one in mart.ROW_CHECKS
    ]
    checks += [
        {
            "failed_rows": {
                "name": name,
                "qualifier": f"{column.name}_{number}",
                "expression": f"not ({rule.expression})",
            }
        }
        for column in columns
        for number, (name, rule) in enumerate(_expressions(column), 1)
    ]
    content = {
        "dataset": f"meshline/{mart.SCHEMA}/{mart.NAME}",
        "description": mart.DESCRIPTION,
        "checks": checks,
        "columns": [_column(column) for column in columns],
    }
    return yaml_text(content, mart.PURPOSE)


def _expressions(column: Column) -> list[tuple[str, Rule]]:
    """What Soda has no words for, as rows that break an expression."""
    own = [(f"{column.name} is as the contract has it", rule) for rule in column.rules if not rule.soda]
    return own + ([] if column.by_type is None else [(column.by_type.name, column.by_type)])


def _column(column: Column) -> dict[str, Any]:
    checks: list[dict[str, Any]] = [{"missing": None}] if column.required else []
    checks += [{"duplicate": None}] if column.unique else []
    rules = [rule for rule in column.rules if rule.soda]
    for number, rule in enumerate(rules):
        named = {"name": rule.name} if rule.name else {}
        qualified = {"qualifier": str(number)} if number else {}
        checks.append({"invalid": {**named, **qualified, **rule.soda}})
    said: dict[str, Any] = {"name": column.name}
    if not column.sql_type.endswith("[]"):
        said["data_type"] = column.sql_type.partition("(")[0]
    return said | ({"checks": checks} if checks else {})
