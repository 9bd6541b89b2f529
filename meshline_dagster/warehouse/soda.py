"""Soda contracts, verified on an open warehouse connection. The only module that knows Soda.

soda-core 4 is under the Elastic License 2.0; its telemetry is switched off before it is imported. A dataset is named
``meshline/<schema>/<table>``: with another depth the schema check silently evaluates nothing, which counts as failed here.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from meshline_dagster.core.errors import ConfigError

__all__ = ["ContractCheck", "contracts", "verify_contract"]

_SOURCE = "meshline"


@dataclass(frozen=True, slots=True)
class ContractCheck:
    """One check of a contract: ``passed`` only when Soda evaluated it and it held."""

    name: str
    column: str | None
    passed: bool
    detail: str


def contracts() -> Mapping[str, Path]:
    """The contracts that we ship: table -> file."""
    folder = Path(__file__).with_name("contracts")
    return {path.stem: path for path in sorted(folder.glob("*.yml"))}


def verify_contract(connection: duckdb.DuckDBPyConnection, contract: Path) -> Sequence[ContractCheck]:
    """Verify one contract file against the warehouse. What cannot be evaluated, say a check of a column that is gone, has failed.

    Raises:
        ConfigError: Soda could not run the contract; the message quotes its log.
    """
    os.environ["SODA_CORE_TELEMETRY_ENABLED"] = "false"
    from soda_core.common.exceptions import SodaCoreException  # noqa: PLC0415 - imports for two seconds
    from soda_core.contracts import verify_contract_locally  # noqa: PLC0415 - as above
    from soda_duckdb.common.data_sources.duckdb_data_source import DuckDBDataSourceImpl  # noqa: PLC0415 - as above

    source = DuckDBDataSourceImpl.from_existing_cursor(connection.cursor(), _SOURCE)
    try:
        session: Any = verify_contract_locally(data_sources=[source], contract_file_path=str(contract))
    except SodaCoreException as error:
        raise ConfigError(f"Soda could not read {contract.name}: {error}") from error
    checks = [_check(result) for one in session.contract_verification_results for result in one.check_results]
    if not checks or (session.has_errors and all(check.passed for check in checks)):
        raise ConfigError(f"Soda could not verify {contract.name}: {session.get_errors_str()[:2000]}")
    return checks


def _check(result: Any) -> ContractCheck:
    values = {name: value for name, value in (result.diagnostic_metric_values or {}).items() if value}
    detail = ", ".join(f"{name}={value}" for name, value in sorted(values.items()))
    outcome = result.outcome.name.lower()
    return ContractCheck(
        name=result.check.name,
        column=result.check.column_name,
        passed=outcome == "passed",
        detail=f"{outcome}: {detail}" if detail else outcome,
    )
