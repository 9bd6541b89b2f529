"""Feed pages to landed Parquet against downloading the same pages only, in one run. Target: at most 3.5 times.

The server holds ready-made pages of 2,000 opportunities. Then the peak memory of a process that lands 50 and 200 pages, and the
time of a poll that finds one changed row on top of 100 landed days. Run: python benchmarks/bench_landing.py [PAGES]
"""

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
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
REPEATS = 5
DAYS = 100
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
    return server(described, lambda: bodies[0], bodies)


def server(described: str, query: Callable[[], bytes], bodies: Sequence[bytes]) -> Starlette:
    """Answers like the CRM: ``query`` gives the first page of a query, ``bodies`` are the pages by number."""
    headers = {"Date": format_datetime(NOW, usegmt=True)}

    async def token(_: Request) -> JSONResponse:
        return JSONResponse({"access_token": "t", "instance_url": "", "token_type": "Bearer"}, headers=headers)

    async def describe(_: Request) -> Response:
        return Response(described, media_type="application/json", headers=headers)

    async def first(_: Request) -> Response:
        return Response(query(), media_type="application/json", headers=headers)

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


def page(
    record: dict[str, object], number: int, pages: int, total: int, *, rows: int = ROWS, per_day: int = PER_DAY
) -> bytes:
    records = []
    for place in range(number * rows, (number + 1) * rows):
        stamp = ORIGIN + timedelta(days=place // per_day, seconds=place % per_day)
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


def run(zone: LandingZone, session: SalesforceSession) -> tuple[float, int]:
    """Seconds of a poll, and the rows it landed."""
    start = time.perf_counter()
    result = poll(
        *(zone.store, zone, SalesforceFeed(session, "Opportunity")),
        run_id="bench",
        origin=ORIGIN,
        overlap=timedelta(minutes=10),
        lag=timedelta(0),
    )
    return time.perf_counter() - start, result.rows_landed


def land(url: str, rows: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(f"sqlite:///{Path(folder) / 'ops.db'}")
        with SalesforceSession(base_url=url, client_id=SecretStr("c"), client_secret=SecretStr("s")) as session:
            seconds, landed = run(LandingZone(f"{folder}/landing", store), session)
        assert landed == rows, landed
        store.close()
    return seconds


def small_poll() -> float:
    """Median seconds of a poll that finds one new version of one record, with 100 days landed."""
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(f"sqlite:///{Path(folder) / 'ops.db'}")
        zone = LandingZone(f"{folder}/landing", store)
        seconds = []
        with (
            serve_process([__file__, "--serve-small"]) as (url, _),
            SalesforceSession(base_url=url, client_id=SecretStr("c"), client_secret=SecretStr("s")) as session,
        ):
            assert run(zone, session)[1] == DAYS * DAYS
            for _ in range(11):
                one, landed = run(zone, session)
                assert landed == 1, landed
                seconds.append(one)
        store.close()
    return statistics.median(seconds)


def small_app() -> Starlette:
    """The first query finds 100 days of 100 rows, each later one a single new version."""
    described, record = template()
    first = page(record, 0, 1, DAYS * DAYS, rows=DAYS * DAYS, per_day=DAYS)
    answered = 0

    def query() -> bytes:
        nonlocal answered
        answered += 1
        if answered == 1:
            return first
        stamp = ORIGIN + timedelta(days=DAYS - 1, hours=1, seconds=answered)
        one = {**record, "SystemModstamp": f"{stamp:%Y-%m-%dT%H:%M:%S}.000+0000"}
        return json.dumps({"totalSize": 1, "done": True, "records": [one]}, separators=(",", ":")).encode()

    return server(described, query, [])


def peak(pages: int) -> int:
    """Peak resident memory of a process that lands so many pages, in MB."""
    with serve_process([__file__, "--serve", str(pages)]) as (url, _):
        arguments = [sys.executable, __file__, "--land", url, str(pages)]
        return int(subprocess.run(arguments, check=True, capture_output=True, text=True).stdout)


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
    print(f"peak memory {peak(50):,} MB at 50 pages, {peak(200):,} MB at 200 pages (target: flat)")
    print(f"one changed row on {DAYS} landed days: {small_poll() * 1000:.0f} ms")


if __name__ == "__main__":
    if "--serve" in sys.argv:
        serve_forever(app(int(sys.argv[2])))
    elif "--serve-small" in sys.argv:
        serve_forever(small_app())
    elif "--land" in sys.argv:
        land(sys.argv[2], int(sys.argv[3]) * ROWS)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
    else:
        main()
