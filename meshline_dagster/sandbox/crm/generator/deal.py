"""One deal of the generator: what it is now, and how it is written into the world."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from meshline_dagster.sandbox.crm.generator.catalog import Account, Product
from meshline_dagster.sandbox.crm.ids import record_id
from meshline_dagster.sandbox.crm.world import WorldBuilder

__all__ = ["Deal", "Line"]

_YEAR = timedelta(days=365)


@dataclass(slots=True)
class Line:
    """One line item; ``code`` is what the record says, which need not be the product's."""

    id: str
    product: Product
    code: str
    quantity: Decimal
    unit_price: Decimal

    @property
    def amount(self) -> Decimal:
        """Quantity times price."""
        return self.quantity * self.unit_price


@dataclass(slots=True)
class Deal:
    """One opportunity.

    Attributes:
        expected: the disposition class and its reason, once the last change has been seen and every limit has passed.
        deltas: lines of later amendment opportunities, as ``(amendment id, line)``.
    """

    id: str
    name: str
    account: Account
    currency: str | None
    opened: datetime
    lines: list[Line] = field(default_factory=list)
    expected: tuple[str, str] = ("ignore", "not_won")
    status: str = "open"
    account_id: str | None = None
    amount: Decimal | None = None
    won_at: datetime | None = None
    changed_at: datetime | None = None
    deltas: list[tuple[str, Line]] = field(default_factory=list)
    is_root: bool = True

    @property
    def lines_amount(self) -> Decimal:
        """What the opportunity's own lines add up to."""
        return sum((line.amount for line in self.lines), Decimal(0))

    def new_line(self, product: Product, quantity: int, number: int) -> Line:
        """A line of this deal, at list price; it is neither added nor written yet."""
        one = record_id("00k", f"{self.name}/{number}")
        return Line(one, product, product.code, Decimal(quantity), product.price_in(self.account.currency))

    def write_open(self, world: WorldBuilder, **values: Any) -> None:
        """The first version."""
        world.put(
            "Opportunity",
            self.id,
            self.opened,
            Name=self.name,
            AccountId=self.account_id,
            CurrencyIsoCode=self.currency,
            StageName="Engaging",
            IsWon=False,
            IsClosed=False,
            HasOpportunityLineItem=False,
            **{"Type": "New Business"} | values,
        )

    def write_won(self, world: WorldBuilder, moment: datetime, *, lines_at: datetime | None = None) -> None:
        """The version when it was won, and its lines: at the same stamp unless ``lines_at`` says later."""
        self.won_at = self.changed_at = moment
        self.amount = self.lines_amount if self.amount is None else self.amount
        values = {"StageName": "Closed Won", "IsWon": True, "IsClosed": True, "CloseDate": moment.date().isoformat()}
        self.write_version(world, moment, HasOpportunityLineItem=True, **values)
        self.write_lines(world, self.lines, lines_at or moment)

    def write_version(self, world: WorldBuilder, moment: datetime, **values: Any) -> None:
        """A later version of the opportunity, with its amount as it is now."""
        self.changed_at = moment
        world.put("Opportunity", self.id, moment, Amount=self.amount, **values)

    def write_lines(
        self, world: WorldBuilder, lines: Iterable[Line], moment: datetime, *, deleted: bool = False
    ) -> None:
        """Versions of lines, as they are now."""
        start = moment.date() + timedelta(days=1)
        for line in lines:
            world.put(
                "OpportunityLineItem",
                line.id,
                moment,
                OpportunityId=self.id,
                Product2Id=line.product.id if line.code == line.product.code else None,
                ProductCode=line.code,
                Quantity=line.quantity,
                UnitPrice=line.unit_price,
                ListPrice=line.product.price_in(self.account.currency),
                TotalPrice=line.amount,
                CurrencyIsoCode=self.currency,
                IsDeleted=deleted,
                ServiceDate=start.isoformat() if line.product.term else None,
                End_Date__c=(start + _YEAR).isoformat() if line.product.term else None,
            )
