"""Reconciliation checks: drift, parity, duplicates and completeness, by count and by money, from what the builds published."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import dagster as dg

from meshline_dagster.core.money import to_text
from meshline_dagster.governance.figures import Figures, read_figures
from meshline_dagster.orchestration.resources import MeshlineResource
from meshline_dagster.orchestration.settings import SyncSettings

__all__ = ["reconciliation_checks"]

_ASSET = dg.AssetKey(["fct_reconciliation"])
_DESCRIPTIONS = {
    "drift_by_money": "The share of the source's money that the ERP neither holds nor anything explains.",
    "parity": "Orders that the ERP holds as the source has them, among those that no open exception or hold explains.",
    "duplicates": "Orders that the ERP holds more than once.",
    "completeness": "Every event is in exactly one class: posted, under way, rejected, held, in review, ignored or shadowed.",
}


def reconciliation_checks(settings: SyncSettings) -> dg.AssetChecksDefinition:
    """The checks of one sync; thresholds are the settings'."""
    limits = settings.checks

    @dg.multi_asset_check(
        name=f"{settings.name}_reconciliation",
        specs=[dg.AssetCheckSpec(name, asset=_ASSET, description=text) for name, text in _DESCRIPTIONS.items()],
    )
    def _checks(meshline: MeshlineResource) -> Iterator[dg.AssetCheckResult]:
        figures = read_figures(meshline.store(), meshline.published_path, settings.destination.name)
        parity = figures.parity_without_explained
        yield _result(
            "drift_by_money",
            passed=figures.drift_by_money <= limits.max_drift,
            figures={"drift_by_money": figures.drift_by_money, "limit": limits.max_drift, **_amounts(figures)},
        )
        yield _result(
            "parity",
            passed=parity >= limits.min_parity,
            figures={
                "parity": figures.parity,
                "parity_by_money": figures.parity_by_money,
                "parity_without_explained": parity,
                "limit": limits.min_parity,
                "orders": figures.orders,
                "matched": figures.matched,
                "in_exception": figures.in_exception,
                "held": figures.held,
            },
        )
        yield _result(
            "duplicates",
            passed=figures.duplicates_in_erp == 0,
            figures={"duplicates_in_erp": figures.duplicates_in_erp, "documents": figures.posted},
        )
        yield _result(
            "completeness",
            passed=figures.unaccounted == 0,
            figures={"events": figures.events, "unaccounted": figures.unaccounted, **figures.classes},
        )

    return _checks


def _result(name: str, *, passed: bool, figures: dict[str, Any]) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=passed, check_name=name, asset_key=_ASSET, metadata=figures)


def _amounts(figures: Figures) -> dict[str, str]:
    return {
        f"{name}/{currency}": to_text(Decimal(amount))
        for name, amounts in (("source", figures.source_amount), ("posted", figures.posted_amount))
        for currency, amount in amounts.items()
    }
