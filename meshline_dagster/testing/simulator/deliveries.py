"""The warehouse of the ERP: between our requests somebody there ships what is ordered, or takes it back."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from meshline_dagster.core.documents import DocumentKind
from meshline_dagster.testing.oracle.records import Held, Price
from meshline_dagster.testing.simulator.server import SERVICES, SimulatedErp

__all__ = ["Move", "Shipment", "draw_shipments", "ship_at"]


class Move(StrEnum):
    """What happens to an order's goods."""

    ALL = "ships all of it"
    SOME = "has so much of it with the customer"
    BACK = "takes some of it back"


@dataclass(frozen=True, slots=True)
class Shipment:
    """One shipment, or one return.

    Attributes:
        at: virtual seconds.
        pick: which of the open orders that are there by then, from 0 to 1.
        seed: draws how much of each line.
    """

    at: float
    pick: float
    move: Move
    seed: int

    def of(self, order: Held) -> dict[Price, Decimal]:
        """How much of each item and price is with the customer then."""
        rng, before = random.Random(self.seed), order.delivered or {}  # noqa: S311 - repeatable, not secret
        ordered: dict[Price, Decimal] = {}
        for sku, quantity, price, _ in order.content.lines:
            if sku not in SERVICES:
                ordered[sku, price] = ordered.get((sku, price), Decimal(0)) + quantity
        if self.move is Move.ALL:
            return ordered
        back = self.move is Move.BACK
        most = {price: before.get(price, Decimal(0)) if back else quantity for price, quantity in ordered.items()}
        return {price: Decimal(rng.randint(0, int(quantity))) for price, quantity in most.items()}

    def __str__(self) -> str:
        return f"at {self.at:.1f} s the warehouse {self.move} of an order"


def draw_shipments(rng: random.Random, until: float) -> tuple[Shipment, ...]:
    """Some for every schedule that is invoiced by them."""
    moves = (*[Move.ALL] * 2, *[Move.SOME] * 3, *[Move.BACK] * 2)
    found = (
        Shipment(rng.uniform(0, until), rng.random(), rng.choice(moves), rng.randrange(1_000_000))
        for _ in range(rng.choice((4, 12, 30)))
    )
    return tuple(sorted(found, key=lambda one: one.at))


async def ship_at(shipment: Shipment, erp: SimulatedErp, tell: Callable[[str], None]) -> None:
    """Ship at its time; nothing happens when no order is there that has goods. Of one that stands twice nobody ships."""
    await asyncio.sleep(shipment.at)
    standing = erp.records.standing()
    orders = [
        one
        for one in erp.records.documents
        if one.kind is DocumentKind.SALES_ORDER
        and not one.draft
        and one.is_live
        and len(standing[one.external_id]) == 1
        and shipment.of(one)
    ]
    if not orders:
        return
    order = orders[int(shipment.pick * len(orders))]
    delivered = shipment.of(order)
    erp.ship(order, delivered, shipment.at)
    text = " + ".join(f"{quantity} {sku}" for (sku, _), quantity in sorted(delivered.items()))
    tell(f"the warehouse {shipment.move} of {order.external_id}: {text}")
