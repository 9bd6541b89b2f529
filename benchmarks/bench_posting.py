"""Posting with the ledger fully durable against the same client without a ledger, pair by pair.

The ERP answers after 20 ms and does nothing else. Both sides use `RestErpWriter` with 32 requests in flight, so 1,600 a second is the
ceiling. SQLite with synchronous=FULL and PostgreSQL with fsync, each also with 2 ms added to every commit; then the peak memory of a
delivery at three sizes. Server, ledger and delivery share the machine: with two cores it is the machine that is measured too.

Run: python benchmarks/bench_posting.py [POSTINGS [LARGEST]]
"""

import asyncio
import itertools
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

from pydantic import SecretStr
from slow_commits import open_slow
from stub_erp import serve_stub

from meshline_dagster.core.documents import Document, DocumentKind, Outcome
from meshline_dagster.core.identity import external_id, posting_key
from meshline_dagster.core.postings import OutboxRow
from meshline_dagster.delivery.engine import deliver
from meshline_dagster.delivery.loop import run_delivery
from meshline_dagster.delivery.options import DeliveryOptions, Mode
from meshline_dagster.delivery.plan import plan
from meshline_dagster.erp.rest import RestErpWriter
from meshline_dagster.sandbox.serve import serve_process
from meshline_dagster.store.engine import Store, open_store
from meshline_dagster.testing.postgres import postgres_server

LATENCY = 0.02
SLOTS = 32
PAIRS = 5
PLANNED_AT_ONCE = 5_000
OPTIONS = DeliveryOptions(destination="bench", company="1", mode=Mode.LIVE, sandbox=True)


def rows(count: int) -> Iterator[OutboxRow]:
    return (_row(number) for number in range(count))


def _row(number: int) -> OutboxRow:
    key = f"bench/opportunity/{number}"
    line = {
        "line": "1",
        "sku": "A",
        "description": None,
        "quantity": "1",
        "uom": "unit",
        "unit_price": "10",
        "amount": "10",
    }
    line |= {"tax_code": "standard", "start": None, "end": None}
    payload = {
        "order_number": str(number),
        "customer": "C",
        "customer_name": "C",
        "currency": "USD",
        "po_number": None,
        "order_date": "2026-01-01",
        "payment_terms": None,
        "status": "open",
        "amount": "10",
        "lines": [line],
    }
    return OutboxRow(
        event_id=f"{number:064d}",
        entity_key=key,
        document_kind=DocumentKind.SALES_ORDER,
        external_id=external_id("sales_order", key),
        event_time=datetime(2026, 1, 1, tzinfo=UTC),
        operation="create",
        depends_on=(),
        amount=Decimal(10),
        currency="USD",
        document_date=date(2026, 1, 1),
        payload=payload,
    )


def writer(url: str) -> RestErpWriter:
    return RestErpWriter(url, SecretStr("t"), name="bench", profile="idempotent", max_in_flight=SLOTS)


async def bare(url: str, count: int) -> None:
    client, left = writer(url), rows(count)
    await client.open()

    async def slot() -> None:
        for row in left:
            key = posting_key("bench", row.event_id, 1)
            document = Document(row.document_kind, row.external_id, key, row.event_id, "create", row.payload)
            [answer] = await client.post([document])
            assert answer.outcome is Outcome.CREATED, answer

    await asyncio.gather(*(slot() for _ in range(SLOTS)))
    await client.aclose()


def fill(store: Store, count: int) -> None:
    """Plan ``count`` postings, some thousand at a time."""
    left = rows(count)
    while block := list(itertools.islice(left, PLANNED_AT_ONCE)):
        plan(store, block, touched=[], options=OPTIONS, build_id=None, actor="bench", now=datetime.now(UTC))


def deliver_all(store: Store, url: str, count: int) -> None:
    report = run_delivery(deliver(store, writer(url), OPTIONS, actor="bench"))
    assert report.outcomes == {"created": count}, report


@contextmanager
def measured() -> Iterator[dict[str, float]]:
    """Seconds on the wall, and of processor time, of this process and of its ended children."""

    def spent() -> float:
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(one.ru_utime + one.ru_stime for one in used)

    found: dict[str, float] = {}
    start, before = time.perf_counter(), spent()
    yield found
    found["wall"], found["cpu"] = time.perf_counter() - start, spent() - before


def throughput(name: str, fresh: Callable[[], str], seconds: float, url: str, count: int) -> None:
    """Pairs of bare and with ledger, next to each other; prints the medians."""
    pairs = []
    for _ in range(PAIRS):
        with measured() as alone:
            run_delivery(bare(url, count))
        address = fresh()
        open_store(address).close()
        store = open_slow(address, seconds)
        fill(store, count)
        with measured() as ledger:
            deliver_all(store, url, count)
        store.close()
        pairs.append((alone, ledger))
    rate = [count / ledger["wall"] for _, ledger in pairs]
    ratio = statistics.median(alone["wall"] / ledger["wall"] for alone, ledger in pairs)
    share = statistics.median(rate) * LATENCY / SLOTS
    cpu = [statistics.median(one["cpu"] for one in side) / count * 1e3 for side in zip(*pairs, strict=True)]
    plain = statistics.median(count / alone["wall"] for alone, _ in pairs)
    print(
        f"{name:18} bare {plain:5,.0f}/s  with ledger {statistics.median(rate):5,.0f}/s  ratio {ratio:.2f} (target 0.95, at least 0.9)  "
        f"share of the ceiling {share:.2f} (target 0.75)  CPU ms a post {cpu[0]:.2f} -> {cpu[1]:.2f}",
        flush=True,
    )


def memory(fresh: Callable[[], str], count: int) -> None:
    """Peak memory of a process that only delivers, and of the process that writes its ledger."""
    address = fresh()
    store = open_store(address)
    fill(store, count)
    store.close()
    command = [sys.executable, __file__, "--deliver", address, str(count)]
    print(f"{count:7,} postings: {subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()}")


def deliver_only(address: str, count: int) -> None:
    with serve_process([__file__, "--serve", "0"]) as (url, _):
        store = open_store(address, migrate=False)
        deliver_all(store, url, count)
        store.close()
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    status = f"peak {own / 1024:.0f} MiB"
    print(status)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 5_000
    largest = int(sys.argv[2]) if len(sys.argv) > 2 else 100_000
    os.environ["PYTHONPATH"] = str(Path(__file__).parent)  # for the ledger's process, which opens the slow store itself
    names = itertools.count()
    with (
        tempfile.TemporaryDirectory() as folder,
        postgres_server(durable=True) as server,
    ):

        def sqlite() -> str:
            return f"sqlite:///{Path(folder) / f'ops{next(names)}.db'}"

        def postgres() -> str:
            return server.create_database(f"ops{next(names)}")

        with serve_process([__file__, "--serve", str(LATENCY)]) as (url, _):
            run_delivery(bare(url, 500))
            for name, fresh in (("SQLite", sqlite), ("PostgreSQL", postgres)):
                throughput(name, fresh, 0.0, url, count)
                throughput(f"{name} + 2 ms", fresh, 0.002, url, count)
        for size in (1_000, 10_000, 100_000):
            if size <= largest:
                memory(sqlite, size)


if __name__ == "__main__":
    if "--serve" in sys.argv:
        serve_stub(float(sys.argv[2]))
    elif "--deliver" in sys.argv:
        deliver_only(sys.argv[2], int(sys.argv[3]))
    else:
        main()
