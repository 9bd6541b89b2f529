"""The people who work in the ERP: between our requests, one of them changes an order there by hand."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

from meshline_dagster.core.documents import DocumentKind
from meshline_dagster.testing.oracle.records import Content
from meshline_dagster.testing.simulator.server import SimulatedErp

__all__ = ["Change", "Edit", "draw_edits", "edit_at"]


class Change(StrEnum):
    """What somebody does to an order."""

    QUANTITY = "orders more of its first line"
    LINE = "adds a line"
    CURRENCY = "puts it into another currency"
    CANCEL = "cancels it"


@dataclass(frozen=True, slots=True)
class Edit:
    """One change by hand.

    Attributes:
        at: virtual seconds.
        pick: which of the open orders that are there by then, from 0 to 1.
    """

    at: float
    pick: float
    change: Change

    def of(self, content: Content) -> Content:
        """What the order says then."""
        match self.change:
            case Change.CANCEL:
                return replace(content, status="cancelled")
            case Change.CURRENCY:
                return replace(content, currency="EUR" if content.currency == "USD" else "USD")
            case Change.LINE:
                lines = [*content.lines, ("A", Decimal(11), Decimal(7), Decimal(77))]
            case Change.QUANTITY:
                (sku, quantity, price, _), *others = content.lines
                lines = [(sku, quantity + 10, price, (quantity + 10) * price), *others]
        amount = sum((amount for *_, amount in lines), Decimal(0))
        return replace(content, lines=tuple(sorted(lines)), amount=amount)

    def __str__(self) -> str:
        return f"at {self.at:.1f} s somebody changes an order in the ERP: {self.change}"


def draw_edits(rng: random.Random, until: float) -> tuple[Edit, ...]:
    """One schedule in four has some."""
    if rng.random() >= 0.25:  # noqa: PLR2004 - one in four
        return ()
    edits = (
        Edit(rng.uniform(0, until), rng.random(), rng.choice(list(Change))) for _ in range(rng.choice((1, 2, 2, 4)))
    )
    return tuple(sorted(edits, key=lambda edit: edit.at))


async def edit_at(edit: Edit, erp: SimulatedErp, tell: Callable[[str], None]) -> None:
    """Change an order at its time; nothing happens when none is open."""
    await asyncio.sleep(edit.at)
    documents = erp.records.documents
    orders = [
        one
        for one in documents
        if one.kind is DocumentKind.SALES_ORDER and not one.draft and one.content.lines and one.is_live
    ]
    if not orders:
        return
    order = orders[int(edit.pick * len(orders))]
    erp.change(order, edit.of(order.content), edit.at)
    tell(f"somebody changes {order.external_id} in the ERP: {edit.change}")
