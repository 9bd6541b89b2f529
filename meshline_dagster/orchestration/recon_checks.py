"""Reconciliation checks: drift, parity, duplicates, billing and completeness, by count and by money, from what the builds published.

A figure has the same name here, in ``meshline status --json`` and in the glossary.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

import dagster as dg

from meshline_dagster.core.money import to_text
from meshline_dagster.governance.figures import read_figures
from meshline_dagster.orchestration.resources import MeshlineResource
from meshline_dagster.orchestration.settings import SyncSettings

__all__ = ["reconciliation_checks"]

_ASSET = dg.AssetKey(["fct_reconciliation"])
_DESCRIPTIONS = {
    "drift": "The share of the source's orders, and of its money, that the ERP does not hold and that nothing explains.",
    "parity_excluding_explained": (
        "Orders, and money, that the ERP holds exactly, among those that no open exception or hold explains. "
        "`parity` in the metadata is the full ratio, as in `meshline status`."
    ),
    "duplicates": "Orders, invoices and credit notes that the ERP holds more than once.",
    "billing": (
        "Orders that are not invoiced although their day has passed, or not for what they are worth, and that no open exception, hold or "
        "posting on its way explains."
    ),
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
        yield _result(
            "drift",
            passed=max(figures.drift, figures.drift_by_money) <= limits.max_drift,
            figures={
                "drift": figures.drift,
                "drift_by_money": figures.drift_by_money,
                "limit": limits.max_drift,
                "orders": figures.orders,
                "unexplained": figures.unexplained,
                **_amounts("source_amount", figures.source_amount),
                **_amounts("unexplained_amount", figures.unexplained_amount),
                **_amounts("posted_amount", figures.posted_amount),
            },
        )
        yield _result(
            "parity_excluding_explained",
            passed=min(figures.parity_excluding_explained, figures.parity_excluding_explained_by_money)
            >= limits.min_parity,
            figures={
                "parity_excluding_explained": figures.parity_excluding_explained,
                "parity_excluding_explained_by_money": figures.parity_excluding_explained_by_money,
                "limit": limits.min_parity,
                "parity": figures.parity,
                "parity_by_money": figures.parity_by_money,
                "orders": figures.orders,
                "matched": figures.matched,
                "unexplained": figures.unexplained,
                "in_exception": figures.in_exception,
                "held": figures.held,
                **_amounts("matched_amount", figures.matched_amount),
                **_amounts("in_exception_amount", figures.in_exception_amount),
            },
        )
        yield _result(
            "duplicates",
            passed=figures.duplicates_in_erp == 0,
            figures={"duplicates_in_erp": figures.duplicates_in_erp, "documents": figures.posted},
        )
        yield _result(
            "billing",
            passed=figures.billing_unexplained == 0,
            figures={
                "billing_unexplained": figures.billing_unexplained,
                "not_invoiced": figures.not_invoiced,
                "wrongly_billed": figures.wrongly_billed,
                "invoices": figures.invoices,
                "credit_notes": figures.credit_notes,
                **_amounts("invoiced_amount", figures.invoiced_amount),
                **_amounts("credited_amount", figures.credited_amount),
            },
        )
        yield _result(
            "completeness",
            passed=figures.unaccounted == 0,
            figures={"events": figures.events, "unaccounted": figures.unaccounted, **figures.classes},
        )

    return _checks


def _result(name: str, *, passed: bool, figures: dict[str, Any]) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=passed, check_name=name, asset_key=_ASSET, metadata=figures)


def _amounts(name: str, amounts: Mapping[str, Decimal]) -> dict[str, str]:
    return {f"{name}/{currency}": to_text(amount) for currency, amount in sorted(amounts.items())}
