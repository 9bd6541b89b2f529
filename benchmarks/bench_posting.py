"""Posting with the ledger fully durable against the same client without a ledger, in one run.

The ERP answers after 20 ms and does nothing else. Both sides use `RestErpWriter` with 32 requests in flight. Target: at least 0.9.
Run: python benchmarks/bench_posting.py [ORDERS]
"""

import asyncio
import statistics
import sys
import tempfile
import time
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from meshline_dagster.core.documents import Document, DocumentKind, Outcome
from meshline_dagster.core.identity import external_id, posting_key
from meshline_dagster.core.postings import OutboxRow
from meshline_dagster.delivery.engine import deliver
from meshline_dagster.delivery.options import DeliveryOptions, Mode
from meshline_dagster.delivery.plan import plan
from meshline_dagster.erp.rest import RestErpWriter
from meshline_dagster.sandbox.serve import serve_forever, serve_process
from meshline_dagster.store.engine import open_store

LATENCY = 0.02
SLOTS = 32
REPEATS = 3
OPTIONS = DeliveryOptions(destination="bench", company="1", mode=Mode.LIVE, sandbox=True)


def stub() -> Starlette:
    """An ERP that says yes."""

    async def company(_: Request) -> JSONResponse:
        return JSONResponse({"id": "1"})

    async def create(request: Request) -> JSONResponse:
        body = await request.json()
        await asyncio.sleep(LATENCY)
        return JSONResponse({**body, "id": body["external_id"], "number": "SO-1", "status": "open"}, 201)

    async def found(_: Request) -> JSONResponse:
        return JSONResponse({"documents": []})

    routes = [
        Route("/v1/company", company),
        Route("/v1/sales-orders", create, methods=["POST"]),
        Route("/v1/sales-orders/lookup", found, methods=["POST"]),
    ]
    return Starlette(routes=routes)


def rows(count: int) -> list[OutboxRow]:
    return [_row(number) for number in range(count)]


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
        depends_on=None,
        amount=Decimal(10),
        currency="USD",
        document_date=date(2026, 1, 1),
        payload=payload,
    )


def writer(url: str) -> RestErpWriter:
    return RestErpWriter(url, SecretStr("t"), name="bench", profile="idempotent", max_in_flight=SLOTS)


async def bare(url: str, work: list[OutboxRow]) -> None:
    client, left = writer(url), iter(work)
    await client.open()

    async def slot() -> None:
        for row in left:
            document = Document(
                row.document_kind,
                row.external_id,
                posting_key("bench", row.event_id, 1),
                row.event_id,
                "create",
                row.payload,
            )
            [answer] = await client.post([document])
            assert answer.outcome is Outcome.CREATED, answer

    await asyncio.gather(*(slot() for _ in range(SLOTS)))
    await client.aclose()


def with_ledger(url: str, work: list[OutboxRow]) -> float:
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(f"sqlite:///{Path(folder) / 'ops.db'}")
        plan(store, work, touched=[], options=OPTIONS, build_id=None, actor="bench", now=datetime.now(UTC))
        start = time.perf_counter()
        report = asyncio.run(deliver(store, writer(url), OPTIONS, actor="bench"))
        seconds = time.perf_counter() - start
        assert report.outcomes == {"created": len(work)}, report
        store.close()
    return seconds


def main() -> None:
    work = rows(int(sys.argv[1]) if len(sys.argv) > 1 else 4_000)
    ratios = []
    with serve_process([__file__, "--serve"]) as (url, _):
        for _ in range(REPEATS):
            start = time.perf_counter()
            asyncio.run(bare(url, work))
            alone = time.perf_counter() - start
            ledger = with_ledger(url, work)
            ratios.append(alone / ledger)
            print(f"bare {len(work) / alone:,.0f}/s  with ledger {len(work) / ledger:,.0f}/s  ratio {ratios[-1]:.2f}")
    print(f"median ratio {statistics.median(ratios):.2f} (target 0.9)")


if __name__ == "__main__":
    if "--serve" in sys.argv:
        serve_forever(stub())
    else:
        main()
