"""Soda contracts as blocking asset checks. Their verdict goes to the ops store: the writer obeys that, the check only shows it."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from meshline_dagster.orchestration.derive import LOCK_WAIT, WAREHOUSE_POOL
from meshline_dagster.orchestration.resources import MeshlineResource
from meshline_dagster.orchestration.samples import markdown
from meshline_dagster.orchestration.settings import SyncSettings
from meshline_dagster.store.builds import last_build
from meshline_dagster.store.verdicts import record_verdict
from meshline_dagster.warehouse.connection import open_warehouse
from meshline_dagster.warehouse.soda import ContractCheck, contracts, verify_contract

__all__ = ["contract_checks"]

_CHECK = "contract"


def contract_checks(settings: SyncSettings) -> dg.AssetChecksDefinition:
    """One check for each table under contract."""

    @dg.multi_asset_check(
        name=f"{settings.name}_contracts",
        specs=[
            dg.AssetCheckSpec(
                _CHECK,
                asset=dg.AssetKey([table]),
                blocking=True,
                description=f"The Soda contract of {table}: columns, types, keys, allowed values.",
            )
            for table in contracts()
        ],
        pool=WAREHOUSE_POOL,
    )
    def _contracts(context: dg.AssetCheckExecutionContext, meshline: MeshlineResource) -> Iterator[dg.AssetCheckResult]:
        found = {}
        with open_warehouse(
            meshline.warehouse_path, timeout=LOCK_WAIT, filesystem=meshline.zone().filesystem
        ) as connection:
            for table, contract in contracts().items():
                found[table] = list(verify_contract(connection, contract))
        _record(meshline, found)
        for table, checks in found.items():
            passed = all(check.passed for check in checks)
            if not passed:
                context.log.error("the contract of %s is broken: %s", table, _broken(checks))
            yield dg.AssetCheckResult(
                passed=passed, check_name=_CHECK, asset_key=dg.AssetKey([table]), metadata=_metadata(checks)
            )

    return _contracts


def _record(meshline: MeshlineResource, found: dict[str, list[ContractCheck]]) -> None:
    with meshline.store().write() as ops:
        build = last_build(ops)
        for table, checks in found.items():
            broken = _broken(checks)
            record_verdict(
                ops,
                table,
                _CHECK,
                passed=not broken,
                detail=broken or "every check of the contract passed",
                build_id=None if build is None else build.id,
                now=datetime.now(UTC),
            )


def _broken(checks: list[ContractCheck]) -> str:
    return "; ".join(f"{_name(check)} {check.detail}" for check in checks if not check.passed)


def _name(check: ContractCheck) -> str:
    return check.name if check.column is None else f"{check.column}: {check.name}"


def _metadata(checks: list[ContractCheck]) -> dict[str, Any]:
    rows: list[list[object]] = [
        [_name(check), "passed" if check.passed else "FAILED", check.detail] for check in checks
    ]
    return {
        "checks": len(checks),
        "failed": sum(not check.passed for check in checks),
        "results": dg.MetadataValue.md(markdown(["check", "verdict", "detail"], rows)),
    }
