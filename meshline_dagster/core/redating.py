"""Accounting documents whose own day lies in a closed period: which of them somebody has to approve. Pure."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

__all__ = ["is_material", "is_redated"]


def is_redated(payload: Mapping[str, Any]) -> bool:
    """Whether it carries another accounting date than its own day."""
    return bool(payload["invoice_date"] != payload["original_date"])


def is_material(payload: Mapping[str, Any], limits: Mapping[str, Decimal]) -> bool:
    """Whether it is re-dated, and of more than the limit of its currency; without one, no amount is too much.

    Args:
        payload: of an invoice or a credit note. limits: currency -> amount ex tax.
    """
    limit = limits.get(payload["currency"])
    return limit is not None and is_redated(payload) and Decimal(payload["amount"]) > limit
