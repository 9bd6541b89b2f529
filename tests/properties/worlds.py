"""Small worlds of CRM changes, and histories of how they come to be landed and built.

Few ids, few stamps and few values, so that things meet: versions of one second, lines that move between deals, amendments of
amendments, links that run in a circle, deals without root, codes that change their meaning.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from meshline_dagster.warehouse.records import BuildMode
from tests.integration.warehouse.landed import EPOCH, Row, account, deal, deal_deleted, instant, line, product

__all__ = ["History", "Step", "World", "histories", "worlds"]

_DAYS = 3
_DEALS = ["D1", "D2", "D3"]
_LINES = ["D1.0", "D1.1", "D2.0", "L1"]


def _mostly(value: Any, *others: Any) -> st.SearchStrategy[Any]:
    """``value`` in three cases of four."""
    usual = 3 * len(others)
    return st.integers(0, 4 * len(others) - 1).map(lambda number: value if number < usual else others[number - usual])


_stamps = st.builds(lambda day, minute: instant(minute, days=day), st.integers(0, _DAYS - 1), st.integers(0, 5))

_deals = st.builds(
    deal,
    st.sampled_from(_DEALS),
    _stamps,
    amount=_mostly(300, 600, 400, 0, None, -300),
    won=_mostly(True, False),
    deleted=_mostly(False, False, False, True),
    Type=_mostly("New Business", "Amendment", "Renewal", "Cancellation", None),
    Original_Opportunity__c=_mostly(None, "D1", "D2", "D3", "D9"),
    AccountId=_mostly("A1", "A2", "A9", None),
    CurrencyIsoCode=_mostly("USD", "EUR", None, "usd"),
    Payment_Terms__c=_mostly(None, "NET30"),
    CloseDate=_mostly(date(2026, 3, 2), date(2026, 1, 2), None),
)
_lines = st.builds(
    line,
    st.sampled_from(_LINES),
    st.sampled_from(_DEALS),
    _stamps,
    quantity=_mostly(3, 6, 1, -3),
    price=_mostly(100, 50, None),
    deleted=_mostly(False, False, False, True),
    ProductCode=_mostly("SKU-1", "SKU-2", "SKU1", None),
    Product2Id=_mostly("P1", "P2", None),
)
_products = st.builds(
    product,
    st.sampled_from(["P1", "P2"]),
    _mostly("SKU-1", "SKU-2", "SKU-3", None),
    _stamps,
    active=_mostly(True, False),
    IsDeleted=_mostly(False, False, True),
)
_accounts = st.builds(
    account,
    st.sampled_from(["A1", "A2"]),
    _stamps,
    Name=_mostly("Acme", "Acme & Co"),
    BillingCity=_mostly("Rome", None),
    ShippingCity=_mostly(None, "Oslo"),
    IsDeleted=_mostly(False, False, True),
)
_deletions = st.builds(deal_deleted, st.sampled_from(_DEALS), _stamps)


@st.composite
def _orders(draw: st.DrawFn) -> list[Row]:
    """A won deal and its lines, of one stamp, that agree."""
    one, stamp = draw(st.sampled_from(_DEALS)), draw(_stamps)
    root = draw(_mostly(None, *(other for other in _DEALS if other != one)))
    quantities = draw(st.lists(_mostly(3, 1, 6, -1 if root else 2), min_size=1, max_size=2))
    lines = [
        line(
            f"{one}.{number}", one, stamp, quantity=quantity, ProductCode=draw(_mostly("SKU-1", "SKU-2", "SKU1", None))
        )
        for number, quantity in enumerate(quantities)
    ]
    links = {"Type": "Amendment", "Original_Opportunity__c": root} if root else {"Type": "New Business"}
    return [deal(one, stamp, amount=100 * sum(quantities), AccountId=draw(_mostly("A1", "A2")), **links), *lines]


World = list[Row]


def _observed(change: Row, seconds: int) -> Row:
    view, row = change
    return view, row | {"_observed_at": row["_stamp"] + timedelta(seconds=seconds)}


def _some(strategy: st.SearchStrategy[Row], most: int) -> st.SearchStrategy[list[Row]]:
    return st.lists(st.builds(_observed, strategy, st.integers(1, 90)), max_size=most)


def _world(*parts: list[Row]) -> World:
    """All changes, each once: what is landed already is not landed again."""
    known: dict[tuple[Any, ...], Row] = {}
    for change in (change for part in parts for change in part):
        view, row = change
        known.setdefault((view, row["_id"], row["_stamp"], row["_hash"]), change)
    return list(known.values())


worlds: st.SearchStrategy[World] = st.builds(
    _world,
    st.just([product("P1", "SKU-1", instant(-9)), account("A1", instant(-9))]),
    st.lists(_orders(), min_size=1, max_size=4).map(lambda orders: [row for order in orders for row in order]),
    _some(_deals, 4),
    _some(_lines, 4),
    _some(_products, 2),
    _some(_accounts, 2),
    _some(_deletions, 1),
)

_decisions = st.one_of(
    st.tuples(
        st.just("product"), st.sampled_from(["SKU1", "SKU-2", "SKU-1"]), st.sampled_from(["SKU-1", "SKU-2", None])
    ),
    st.tuples(st.just("customer"), st.sampled_from(["A1", "A2", "A9"]), st.sampled_from(["A1", "A2", None])),
    st.tuples(st.just("payment_term"), st.just("NET30"), st.sampled_from(["30 days", None])),
)


@dataclass(frozen=True, slots=True)
class Step:
    """What happens before a build, and how that ends.

    Attributes:
        landed: places of the world's rows, in the order in which they are landed; a row may be landed again.
        decisions: mappings decided, or revoked by None, as (kind, source value, target value).
        ending: 1 when the build ends and the cursor moves, None when it ends and the cursor stays, else the share of its models
            that it gets through.
    """

    landed: list[int]
    decisions: list[tuple[str, str, str | None]]
    mode: BuildMode
    as_of: datetime
    replay: tuple[date, date] | None
    ending: float | None


@dataclass(frozen=True, slots=True)
class History:
    """A world and the steps in which it comes in; the last step is a build that ends well."""

    world: World
    steps: list[Step]

    @property
    def as_of(self) -> datetime:
        """The instant of the last build."""
        return self.steps[-1].as_of


_modes = st.sampled_from([BuildMode.INCREMENTAL, BuildMode.INCREMENTAL, BuildMode.REPLAY, BuildMode.FULL])
_endings = st.sampled_from([1, 1, 1, None, 0.4, 0.7, 0.9])
_instants = st.builds(lambda day: instant(20, days=day), st.integers(0, 5))
_days = st.integers(0, _DAYS - 1).map(lambda day: (EPOCH + timedelta(days=day)).date())


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Any world, in up to four landings, in any order, some rows again, with decisions, replays and breakdowns in between."""
    world = draw(worlds)
    count = draw(st.integers(1, 4))
    arrivals = [draw(st.integers(0, count - 1)) for _ in world]
    again = draw(st.lists(st.tuples(st.integers(0, len(world) - 1), st.integers(0, count - 1)), max_size=3))
    steps = []
    for number in range(count):
        landed = [place for place, arrival in enumerate(arrivals) if arrival == number]
        landed += [place for place, arrival in again if arrival >= arrivals[place] and arrival == number]
        last = number == count - 1
        mode = BuildMode.INCREMENTAL if last else draw(_modes)
        days = sorted([draw(_days), draw(_days)]) if mode is BuildMode.REPLAY else None
        step = Step(
            landed=draw(st.permutations(landed)),
            decisions=draw(st.lists(_decisions, max_size=2)),
            mode=mode,
            as_of=draw(_instants),
            replay=(days[0], days[1]) if days else None,
            ending=1 if last else draw(_endings),
        )
        steps.append(step)
    return History(world, steps)
