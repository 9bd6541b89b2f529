"""Feed pages to landed Parquet against downloading the same pages only, in one run. Target: at most 3.5 times.

The server holds ready-made pages of 2,000 opportunities. Run: python benchmarks/bench_landing.py [PAGES]
"""

import json
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import httpx
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from meshline_dagster.crm.poll import poll
from meshline_dagster.crm.salesforce import SalesforceFeed
from meshline_dagster.crm.salesforce_session import SalesforceSession
from meshline_dagster.landing.zone import LandingZone
from meshline_dagster.sandbox.crm import CrmSandbox, create_app, generate
from meshline_dagster.sandbox.serve import serve, serve_forever, serve_process
from meshline_dagster.store.engine import open_store

ROWS = 2_000
PER_DAY = 20_000
REPEATS = 3
ORIGIN = datetime(2026, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 6, 1, tzinfo=UTC)
PREFIX = "/services/data/v60.0"


def template() -> tuple[str, dict[str, object]]:
    """The describe and one record as the sandbox CRM answers them."""
    with serve(create_app(CrmSandbox(generate(1, deals=5)))) as url:
        session = SalesforceSession(
            base_url=url, client_id=SecretStr("sandbox-client"), client_secret=SecretStr("sandbox-secret")
        )
        with session:
            described = session.get("sobjects/Opportunity/describe").text
            feed = SalesforceFeed(session, "Opportunity")
            fields = ", ".join(one.name for one in feed.describe().fields if one.source_type != "absent")
            found = session.get("queryAll", {"q": f"SELECT {fields} FROM Opportunity LIMIT 1"}).json()
    record: dict[str, object] = found["records"][0]
    return described, record


def app(pages: int) -> Starlette:
    described, record = template()
    total = pages * ROWS
    bodies = [page(record, number, pages, total) for number in range(pages)]
    headers = {"Date": format_datetime(NOW, usegmt=True)}

    async def token(_: Request) -> JSONResponse:
        return JSONResponse({"access_token": "t", "instance_url": "", "token_type": "Bearer"}, headers=headers)

    async def describe(_: Request) -> Response:
        return Response(described, media_type="application/json", headers=headers)

    async def first(_: Request) -> Response:
        return Response(bodies[0], media_type="application/json", headers=headers)

    async def more(request: Request) -> Response:
        return Response(bodies[int(request.path_params["number"])], media_type="application/json", headers=headers)

    async def versions(_: Request) -> JSONResponse:
        return JSONResponse([{"version": "60.0"}], headers=headers)

    return Starlette(
        routes=[
            Route("/services/oauth2/token", token, methods=["POST"]),
            Route("/services/data", versions),
            Route("/services/data/", versions),
            Route(f"{PREFIX}/sobjects/Opportunity/describe", describe),
            Route(f"{PREFIX}/queryAll", first),
            Route(f"{PREFIX}/query/page-{{number:int}}", more),
        ]
    )


def page(record: dict[str, object], number: int, pages: int, total: int) -> bytes:
    records = []
    for place in range(number * ROWS, (number + 1) * ROWS):
        stamp = ORIGIN + timedelta(days=place // PER_DAY, seconds=place % PER_DAY)
        text = stamp.strftime("%Y-%m-%dT%H:%M:%S.000+0000")
        records.append({**record, "Id": f"006{place:015d}", "SystemModstamp": text, "Name": f"Deal number {place}"})
    body: dict[str, object] = {"totalSize": total, "done": number == pages - 1, "records": records}
    if number < pages - 1:
        body["nextRecordsUrl"] = f"{PREFIX}/query/page-{number + 1}"
    return json.dumps(body, separators=(",", ":")).encode()


def download(url: str) -> int:
    """The pages and nothing else; returns bytes."""
    size, path = 0, f"{PREFIX}/queryAll"
    with httpx.Client(base_url=url) as client:
        for number in range(1, 10_000):
            body = client.get(path).content
            size += len(body)
            if b'"done":true' in body[:80]:
                return size
            path = f"{PREFIX}/query/page-{number}"
    raise AssertionError("the pages did not end")


def land(url: str, rows: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(f"sqlite:///{Path(folder) / 'ops.db'}")
        zone = LandingZone(f"{folder}/landing", store)
        with SalesforceSession(base_url=url, client_id=SecretStr("c"), client_secret=SecretStr("s")) as session:
            start = time.perf_counter()
            result = poll(
                *(store, zone, SalesforceFeed(session, "Opportunity")),
                run_id="bench",
                origin=ORIGIN,
                overlap=timedelta(0),
                lag=timedelta(0),
            )
            seconds = time.perf_counter() - start
        assert result.rows_landed == rows, result
        store.close()
    return seconds


def main() -> None:
    pages = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    ratios = []
    with serve_process([__file__, "--serve", str(pages)]) as (url, _):
        download(url)
        for _ in range(REPEATS):
            start = time.perf_counter()
            size = download(url)
            alone = time.perf_counter() - start
            landed = land(url, pages * ROWS)
            ratios.append(landed / alone)
            print(
                f"download {size / 1e6:,.0f} MB in {alone:.2f} s, landed {pages * ROWS:,} rows in {landed:.2f} s "
                f"({pages * ROWS / landed:,.0f}/s), ratio {ratios[-1]:.2f}"
            )
    print(f"median ratio {statistics.median(ratios):.2f} (target at most 3.5)")


if __name__ == "__main__":
    if "--serve" in sys.argv:
        serve_forever(app(int(sys.argv[2])))
    else:
        main()
