"""What can happen to a won deal of the generator: good stories that must end posted, bad ones that must not.

Every story gets a deal with lines that has not been won yet and the moment when it is; it writes all that follows, and
sets what is expected of the deal.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random

from meshline_dagster.sandbox.crm.generator.catalog import Catalog, Product
from meshline_dagster.sandbox.crm.generator.deal import Deal, Line
from meshline_dagster.sandbox.crm.ids import record_id
from meshline_dagster.sandbox.crm.world import WorldBuilder

__all__ = ["BAD", "GOOD", "Scene", "Story"]

_POST = ("post", "ok")


@dataclass(frozen=True, slots=True)
class Scene:
    """What a story is told with."""

    world: WorldBuilder
    rng: Random
    catalog: Catalog

    def later(self, moment: datetime, low_hours: int, high_hours: int) -> datetime:
        """A whole second some hours after ``moment``."""
        return moment + timedelta(seconds=self.rng.randrange(low_hours * 3600, high_hours * 3600))

    def other_product(self, deal: Deal) -> Product:
        """An active product that is not on the deal yet."""
        taken = {line.product.id for line in deal.lines}
        return self.rng.choice([product for product in self.catalog.active if product.id not in taken])


Story = Callable[[Scene, Deal, datetime], None]


def _plain(scene: Scene, deal: Deal, won: datetime) -> None:
    deal.expected = _POST
    deal.write_won(scene.world, won)


def _changed(scene: Scene, deal: Deal, won: datetime) -> None:
    """The same opportunity is changed later: quantity, price, a line more, a line less."""
    _plain(scene, deal, won)
    moment = won
    for _ in range(scene.rng.randint(1, 3)):
        moment = scene.later(moment, 12, 120)
        kind = scene.rng.choice(("quantity", "price", "added", "removed"))
        line = scene.rng.choice(deal.lines)
        deleted = kind == "removed" and len(deal.lines) > 1
        if deleted:
            deal.lines.remove(line)
        elif kind == "added":
            line = deal.new_line(scene.other_product(deal), scene.rng.randint(1, 20), 100 + int(moment.timestamp()))
            deal.lines.append(line)
        elif kind == "price":
            line.unit_price += Decimal(scene.rng.randint(1, 90))
        else:
            line.quantity += scene.rng.randint(1, 5)
        deal.amount = deal.lines_amount
        deal.write_version(scene.world, moment)
        deal.write_lines(scene.world, [line], moment, deleted=deleted)


def _amended(scene: Scene, deal: Deal, won: datetime) -> None:
    """Another opportunity of type Amendment changes this one by delta lines, some of them negative."""
    _plain(scene, deal, won)
    moment = won
    for number in range(scene.rng.randint(1, 2)):
        moment = scene.later(moment, 24, 200)
        amendment = _amendment(deal, f"{deal.name}-A{number + 1}", scene.later(moment, -20, -1))
        amendment.lines = _delta_lines(scene, deal, amendment)
        amendment.write_open(scene.world, Type="Amendment", Original_Opportunity__c=deal.id)
        amendment.write_won(scene.world, moment)
        deal.deltas += [(amendment.id, line) for line in amendment.lines]
        deal.changed_at = moment


def _amendment(deal: Deal, name: str, opened: datetime) -> Deal:
    one = record_id("006", name)
    return Deal(one, name, deal.account, deal.currency, opened, account_id=deal.account_id, is_root=False)


def _delta_lines(scene: Scene, deal: Deal, amendment: Deal) -> list[Line]:
    """A change of the first line's quantity that leaves at least one, and sometimes a product more."""
    first = deal.lines[0]
    held = int(first.quantity + sum(line.quantity for _, line in deal.deltas if line.product.id == first.product.id))
    change = scene.rng.choice([delta for delta in range(-min(held - 1, 5), 6) if delta != 0])
    line = amendment.new_line(first.product, change, 0)
    line.unit_price = first.unit_price
    taken = {other.product.id for other in deal.lines} | {other.product.id for _, other in deal.deltas}
    free = [product for product in scene.catalog.active if product.id not in taken]
    more = [amendment.new_line(scene.rng.choice(free), scene.rng.randint(1, 9), 1)] if scene.rng.random() < 0.5 else []  # noqa: PLR2004 - even odds
    return [line, *more]


def _cancelled(scene: Scene, deal: Deal, won: datetime) -> None:
    _plain(scene, deal, won)
    deal.status = "cancelled"
    deal.write_version(scene.world, scene.later(won, 24, 300), StageName="Cancelled", IsWon=False)


def _deleted(scene: Scene, deal: Deal, won: datetime) -> None:
    _plain(scene, deal, won)
    moment = scene.later(won, 24, 300)
    deal.status = "cancelled"
    deal.write_version(scene.world, moment, IsDeleted=True)
    deal.write_lines(scene.world, deal.lines, moment, deleted=True)


def _late_lines(scene: Scene, deal: Deal, won: datetime) -> None:
    """Parent and children are polled apart: the lines come up to three hours after the deal was won."""
    deal.expected = _POST
    deal.write_won(scene.world, won, lines_at=scene.later(won, 0, 3) + timedelta(minutes=1))


def _unmapped_product(scene: Scene, deal: Deal, won: datetime) -> None:
    deal.expected = ("review", "unmapped_product")
    deal.lines[-1].code = deal.lines[-1].code.replace("-", "")
    deal.write_won(scene.world, won)


def _inactive_product(scene: Scene, deal: Deal, won: datetime) -> None:
    deal.expected = ("review", "inactive_product")
    deal.lines.append(deal.new_line(scene.rng.choice(scene.catalog.retired), 2, 99))
    deal.write_won(scene.world, won)


def _no_account(scene: Scene, deal: Deal, won: datetime) -> None:
    deal.expected = ("review", "missing_customer")
    deal.account_id = None
    scene.world.put("Opportunity", deal.id, deal.opened, AccountId=None)
    deal.write_won(scene.world, won)


def _unknown_account(scene: Scene, deal: Deal, won: datetime) -> None:
    deal.expected = ("review", "unknown_customer")
    deal.account_id = record_id("001", f"nobody behind {deal.name}")
    scene.world.put("Opportunity", deal.id, deal.opened, AccountId=deal.account_id)
    deal.write_won(scene.world, won)


def _no_currency(scene: Scene, deal: Deal, won: datetime) -> None:
    deal.expected = ("review", "missing_currency")
    deal.currency = None
    scene.world.put("Opportunity", deal.id, deal.opened, CurrencyIsoCode=None)
    deal.write_won(scene.world, won)


def _lines_short(scene: Scene, deal: Deal, won: datetime) -> None:
    """The amount says more than the lines, and the missing line never comes."""
    deal.expected = ("review", "lines_do_not_add_up")
    deal.amount = deal.lines_amount + 100 * scene.rng.randint(1, 50)
    deal.write_won(scene.world, won)


def _negative(scene: Scene, deal: Deal, won: datetime) -> None:
    deal.expected = ("review", "negative_amount")
    del deal.lines[1:]
    deal.lines[0].quantity = -deal.lines[0].quantity
    deal.write_won(scene.world, won)


def _rootless(scene: Scene, deal: Deal, won: datetime) -> None:
    """An amendment of an order that nobody knows: it must never become an order of its own."""
    deal.expected = ("review", "unknown_root")
    root = record_id("006", f"nothing before {deal.name}")
    scene.world.put("Opportunity", deal.id, deal.opened, Type="Amendment", Original_Opportunity__c=root)
    deal.write_won(scene.world, won)


GOOD: tuple[tuple[Story, int], ...] = ((_plain, 60), (_changed, 15), (_amended, 12), (_cancelled, 8), (_deleted, 5))
"""Stories that end posted, with their weights."""

BAD: tuple[Story, ...] = (
    *(_unmapped_product, _no_account, _unknown_account, _lines_short, _late_lines),
    *(_no_currency, _negative, _rootless, _inactive_product),
)
"""Stories that need a person, or patience (lines that come late); told in turn."""
