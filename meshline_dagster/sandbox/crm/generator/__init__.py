"""A seeded world: deals with lines, quotes, later changes, amendments, cancellations, and a share of bad cases.

The same arguments give the same records and the same ground truth, on every machine.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from random import Random

from meshline_dagster.sandbox.crm.generator.catalog import build_catalog
from meshline_dagster.sandbox.crm.generator.deal import Deal, Line
from meshline_dagster.sandbox.crm.generator.stories import BAD, GOOD, Scene, Story
from meshline_dagster.sandbox.crm.generator.truth import ground_truth
from meshline_dagster.sandbox.crm.ids import record_id
from meshline_dagster.sandbox.crm.world import World, WorldBuilder

__all__ = ["generate"]

_TERMS = ("NET14", "NET30", "NET60", None)
_MOST_LINES = 6
_WON, _LOST = 0.65, 0.85
_IMPORTED = 0.2
_QUOTED = 0.4
_IMPORT_TIME = time(2, tzinfo=UTC)
_SETTLED_AFTER = timedelta(days=60)


def generate(
    seed: int = 0,
    *,
    deals: int = 200,
    start: date = date(2026, 1, 5),
    days: int = 60,
    bad_share: float = 0.1,
) -> World:
    """Make a world.

    Args:
        seed: everything random follows from it.
        deals: how many opportunities are opened, amendments not counted.
        start: the day of the first; masters are stamped the day before.
        days: over how many days they are opened.
        bad_share: share of the won deals that a bad story is told of.

    Returns:
        A world whose clock starts after its last change; its ground truth says what must come out.
    """
    rng = Random(seed)  # noqa: S311 - reproducible test data
    world = WorldBuilder()
    first = datetime.combine(start, time(), tzinfo=UTC)
    catalog = build_catalog(world, rng, max(5, deals // 5), first - timedelta(days=1))
    scene = Scene(world, rng, catalog)
    plan = _Plan(first, days, bad_share, itertools.cycle(BAD))
    told = [_tell(scene, plan, number) for number in range(deals)]
    now = first + timedelta(days=days) + _SETTLED_AFTER
    facts = {"seed": seed, "deals": deals, "start": start.isoformat(), "days": days, "bad_share": bad_share}
    return world.build(f"generator-{seed}", now, ground_truth(told, **facts))


@dataclass(frozen=True, slots=True)
class _Plan:
    first: datetime
    days: int
    bad_share: float
    bad: Iterator[Story]


def _tell(scene: Scene, plan: _Plan, number: int) -> Deal:
    deal = _open(scene, plan, number)
    fate = scene.rng.random()
    closed = scene.later(deal.opened, 24, 24 * 20)
    if fate < _WON:
        deal.lines = _lines(scene, deal)
        story = next(plan.bad) if scene.rng.random() < plan.bad_share else _good_story(scene.rng)
        story(scene, deal, closed)
    elif fate < _LOST:
        deal.amount = Decimal(0)
        deal.write_version(
            scene.world, closed, StageName="Closed Lost", IsClosed=True, CloseDate=closed.date().isoformat()
        )
    if scene.rng.random() < _QUOTED:
        _quote(scene, deal)
    return deal


def _open(scene: Scene, plan: _Plan, number: int) -> Deal:
    """Some deals come by a nightly import: many on one second."""
    rng = scene.rng
    day = plan.first + timedelta(days=rng.randrange(plan.days))
    imported = rng.random() < _IMPORTED
    opened = datetime.combine(day, _IMPORT_TIME) if imported else scene.later(day, 7, 18)
    account = rng.choice(scene.catalog.accounts)
    name = f"D-{number:06d}"
    deal = Deal(record_id("006", name), name, account, account.currency, opened, account_id=account.id)
    order_number = f"PO-{rng.randrange(10_000, 99_999)}" if rng.random() < _QUOTED else None
    deal.write_open(scene.world, PO_Number__c=order_number, Payment_Terms__c=rng.choice(_TERMS))
    return deal


def _lines(scene: Scene, deal: Deal) -> list[Line]:
    products = scene.rng.sample(scene.catalog.active, scene.rng.randint(1, _MOST_LINES))
    return [deal.new_line(product, scene.rng.randint(1, 40), number) for number, product in enumerate(products)]


def _good_story(rng: Random) -> Story:
    return rng.choices([story for story, _ in GOOD], [weight for _, weight in GOOD])[0]


def _quote(scene: Scene, deal: Deal) -> None:
    drafted = deal.opened + timedelta(hours=2)
    values = {"OpportunityId": deal.id, "QuoteNumber": f"Q-{deal.name[2:]}", "CurrencyIsoCode": deal.currency}
    values |= {"ExpirationDate": (drafted + timedelta(days=30)).date().isoformat()}
    one = record_id("0Q0", deal.name)
    scene.world.put("Quote", one, drafted, Status="Draft", IsSyncing=False, GrandTotal=deal.amount, **values)
    if deal.won_at:
        scene.world.put("Quote", one, deal.won_at, Status="Accepted", IsSyncing=True)
