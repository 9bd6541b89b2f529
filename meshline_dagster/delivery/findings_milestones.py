"""The words for an order that is invoiced by milestones, and whose milestones are not the whole order."""

from collections.abc import Sequence
from decimal import Decimal

from meshline_dagster.core.followups import BillingRow
from meshline_dagster.core.invoice_milestones import Milestone
from meshline_dagster.core.money import to_text
from meshline_dagster.delivery.findings import billing_trace_key
from meshline_dagster.store.exceptions import Finding

__all__ = ["incomplete_finding"]


def incomplete_finding(
    destination: str, entity_key: str, order: BillingRow, milestones: Sequence[Milestone]
) -> Finding:
    """An order of which nothing more is invoiced or credited, because nobody has said of all of it when it is invoiced."""
    amount, currency = Decimal(order.payload["amount"]), order.payload["currency"]
    percent = sum((one.percent or Decimal(0) for one in milestones), Decimal(0))
    fixed = sum((one.amount or Decimal(0) for one in milestones), Decimal(0))
    planned = [f"{to_text(percent)} %"] if percent else []
    planned += [f"{to_text(fixed)} {currency}"] if fixed else []
    code, problem = "milestones_not_whole", "its milestones are not the whole order"
    if not milestones:
        code, problem = "milestones_missing", "no milestones are planned"
    return Finding(
        trace_key=billing_trace_key(destination, entity_key),
        origin="delivery",
        code=code,
        title=f"{entity_key}: {problem}",
        detail=f"The order {order.external_id} is worth {to_text(amount)} {currency}; its milestones are {' and '.join(planned) or 'none'}. Nothing more of "
        "it is invoiced or credited until they are 100 % together.",
        fix=f"Plan what is missing: `meshline milestones plan {entity_key} --name NAME --percent P` (or `--amount A`), or drop what is too much: "
        f"`meshline milestones drop {entity_key} NAME`. `meshline milestones list {entity_key}` shows them.",
        owner="finance",
        priority="P3",
        entity_key=entity_key,
        event_id=order.event_id,
        amount=amount if currency else None,
        currency=currency,
    )
