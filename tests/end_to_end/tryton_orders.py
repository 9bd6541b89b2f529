"""Orders of a made-up seller, and the sync that brings them to Tryton and invoices them: what the tests under faults are about.

As a program, ``python -m tests.end_to_end.tryton_orders``, it runs the writer as Dagster does, in a process that can be killed.
"""

import os
import sys
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import dagster as dg

from meshline_dagster.orchestration.hold_settings import LimitSettings
from meshline_dagster.orchestration.modes import MODE_TAG
from meshline_dagster.orchestration.partitions import today
from meshline_dagster.orchestration.settings import PolicySettings, SalesforceSource, SyncSettings, TrytonDestination
from meshline_dagster.orchestration.sync import build_sync
from meshline_dagster.orchestration.writer import postings_key
from meshline_dagster.sandbox.crm.ids import record_id
from meshline_dagster.sandbox.crm.world import World, WorldBuilder

BATCH = 5
_FIRST = datetime(2017, 4, 3, 9, tzinfo=UTC)
_SKUS = ("GTX Basic", "GTX Pro", "GTX Plus Basic", "GTX Plus Pro", "MG Special", "MG Advanced", "GTK 500")
_CUSTOMERS = 10
_QUIET = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}

SYNC = SyncSettings(
    name="orders",
    origin=date(2017, 1, 1),
    mode="live",
    effective_from=date(2017, 4, 1),
    sources=(SalesforceSource(),),
    destination=TrytonDestination(
        batch_size=BATCH,
        request_timeout_seconds=float(os.environ.get("MESHLINE_TEST_REQUEST_SECONDS", "120")),
        settle_after_seconds=6,
    ),
    limits=LimitSettings(failures=1000),  # the breaker would end runs while Tryton is dead, and is tried elsewhere
    policy=PolicySettings(documents="order_and_invoice", invoices_from=date(2017, 4, 1)),
)


def orders_world(orders: int) -> World:
    """So many won deals of one to three lines; the ground truth is what each is worth, by opportunity."""
    world, truth = WorldBuilder(), {}
    masters = _FIRST - timedelta(days=1)
    accounts = [
        world.put("Account", record_id("001", f"A{n}"), masters, Name=f"Customer {n}", CurrencyIsoCode="USD")
        for n in range(min(orders, _CUSTOMERS))
    ]
    products = [
        world.put("Product2", record_id("01t", sku), masters, Name=sku, ProductCode=sku, IsActive=True) for sku in _SKUS
    ]
    for number in range(orders):
        moment = _FIRST + timedelta(minutes=number)
        lines = [(number + place) % len(_SKUS) for place in range(1 + number % 3)]
        prices = [Decimal(100 * (one + 1)) + Decimal(number) / 100 for one in lines]
        deal = record_id("006", f"D{number}")
        truth[deal] = sum(((place + 1) * price for place, price in enumerate(prices)), Decimal(0))
        won = {"StageName": "Closed Won", "IsWon": True, "IsClosed": True, "CloseDate": "2017-04-03"}
        values = {"AccountId": accounts[number % len(accounts)], "CurrencyIsoCode": "USD", "Amount": truth[deal]}
        world.put("Opportunity", deal, moment, Name=f"D{number}", HasOpportunityLineItem=True, **won, **values)
        for place, (one, price) in enumerate(zip(lines, prices, strict=True)):
            sold = {"Product2Id": products[one], "ProductCode": _SKUS[one], "CurrencyIsoCode": "USD"}
            amounts = {"Quantity": Decimal(place + 1), "UnitPrice": price, "TotalPrice": (place + 1) * price}
            world.put(
                "OpportunityLineItem",
                record_id("00k", f"{number}-{place}"),
                moment,
                OpportunityId=deal,
                **sold,
                **amounts,
            )
    return world.build("orders", datetime(2017, 5, 1, tzinfo=UTC), truth)


def run(job_name: str, mode: str, selection: dg.AssetSelection | None = None) -> dg.ExecuteInProcessResult:
    """Run a job of the sync, or some of its assets, on today's partition."""
    repository = build_sync(SYNC).get_repository_def()
    job = repository.get_job(f"orders_{job_name}")
    if selection is not None:
        job = job.get_subset(asset_selection=selection.resolve(repository.asset_graph))
    partition = None if job.partitions_def is None else today()
    with dg.DagsterInstance.get() as instance:
        return job.execute_in_process(
            run_config=_QUIET,
            instance=instance,
            partition_key=partition,
            tags={MODE_TAG: mode},
            raise_on_error=False,
        )


if __name__ == "__main__":
    sys.exit(0 if run("sync", "poll", dg.AssetSelection.assets(postings_key(SYNC))).success else 1)
