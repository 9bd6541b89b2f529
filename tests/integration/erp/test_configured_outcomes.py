"""What the configured writer makes of each answer, and of each list, of a server that answers as told."""

import json
from contextlib import contextmanager

import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from meshline_dagster.core.documents import Outcome
from meshline_dagster.core.errors import AuthError, SourceError, TransientError
from meshline_dagster.erp.configured import ConfiguredErpWriter
from meshline_dagster.erp.configured_auth import FixedHeader
from meshline_dagster.erp.configured_model import ErpApi
from meshline_dagster.sandbox.serve import serve
from tests.integration.erp.test_configured_writer import LINES, ORDER, SAMPLE, post, work


class Told:
    """A server that answers as told, and remembers what it was asked."""

    def __init__(self, **answers):
        self.answers, self.asked = answers, []

    async def answer(self, request):
        self.asked.append((request.method, request.url.path, await request.body()))
        if request.url.path.endswith("/company"):
            return JSONResponse({"id": "1"})
        return self.answers["list" if request.method == "GET" else "write"]


LIST = {"path": "/orders", "rows": "/rows"}
TOLD = {
    "capabilities": {"unique_external_id": False, "settle_after": 1},
    "company": {"path": "/company", "id": "/id"},
    "answers": {
        "rules": [{"status": [200], "at": "/error", "means": "rejected", "field": "customer"}],
        "message": ["/error/message", "/message"],
    },
}
SHOWN = {"id": "/id", "external_id": "/x", "stamp": "/t", "number": "/id", "currency": "/c", "amount": "/amount"}
SHOWN |= {"lines": {"at": "/lines", "sku": "/s", "quantity": "/q", "unit_price": "/p", "amount": "/a"}}
KIND = {
    "create": {"path": "/orders", "body": {"x": {"from": "external_id"}}, "id_header": "Location"},
    "find": {**LIST, "query": {"x": "{external_ids}"}},
    "read": {**LIST, "query": {"t": "{since}"}, "paging": {"type": "next_link", "at": "/next"}},
    "shown": SHOWN,
}
TOLD["documents"] = {"customer": KIND, "sales_order": KIND}


@contextmanager
def told(**answers):
    server = Told(**answers)
    with serve(Starlette(routes=[Route("/{rest:path}", server.answer, methods=["GET", "POST"])])) as url:
        auth = FixedHeader("X-Key", SecretStr("hush"))
        yield server, ConfiguredErpWriter(f"{url}", ErpApi.model_validate(TOLD), auth, name="told", company="1")


@pytest.mark.parametrize(
    ("response", "outcome", "erp_id"),
    [
        (Response(status_code=204, headers={"Location": "https://erp/orders/a%2F7/"}), Outcome.CREATED, "a/7"),
        (Response(status_code=201), Outcome.UNKNOWN, None),
        (JSONResponse({"error": {"message": "no"}}, headers={"Location": "/orders/7"}), Outcome.REJECTED, None),
        (JSONResponse({"message": "no"}, 422), Outcome.REJECTED, None),
        (JSONResponse({"message": "no"}, 409), Outcome.UNKNOWN, None),
        (JSONResponse({"message": "no"}, 408), Outcome.UNKNOWN, None),
        (JSONResponse({"message": "no"}, 202), Outcome.UNKNOWN, None),
        (JSONResponse({}, 301, headers={"Location": "/orders/7"}), Outcome.UNKNOWN, None),
        (JSONResponse({}, 401), Outcome.RETRY, None),
        (JSONResponse({}, 403), Outcome.RETRY, None),
        (JSONResponse({}, 429, headers={"Retry-After": "7"}), Outcome.RETRY, None),
        (Response("<html>", 502), Outcome.UNKNOWN, None),
        (JSONResponse({}, 500), Outcome.UNKNOWN, None),
    ],
)
def test_each_answer_has_its_outcome(response, outcome, erp_id):
    with told(write=response) as (server, writer):
        [answer] = work(writer, lambda opened: post(opened, SAMPLE.order(1, LINES)))
    assert (answer.outcome, answer.erp_id) == (outcome, erp_id)
    assert answer.retry_after == (7 if response.status_code == 429 else None)
    assert answer.outcome is not Outcome.REJECTED or answer.message == "no"
    assert [json.loads(body) for method, _, body in server.asked if method == "POST"] == [
        {"x": SAMPLE.order(1, LINES).external_id}
    ]


@pytest.mark.parametrize(
    ("response", "error", "message"),
    [
        (
            JSONResponse({"rows": [], "next": "https://elsewhere.example/orders?page=2"}),
            SourceError,
            "correct base_url",
        ),
        (JSONResponse({"rows": [], "next": "/orders"}), SourceError, "is itself"),
        (JSONResponse({"rows": {}}), SourceError, r"documents\.sales_order\.read\.rows"),
        (JSONResponse({"rows": [{"id": 1}]}), SourceError, r"documents\.sales_order\.shown\.stamp"),
        (JSONResponse({"error": {"message": "no"}}), SourceError, "does not take our question GET /orders: no"),
        (JSONResponse({}, 404), SourceError, "HTTP 404"),
        (JSONResponse({}, 500), TransientError, "HTTP 500"),
        (JSONResponse({}, 429), TransientError, "HTTP 429"),
        (JSONResponse({}, 401), AuthError, "credentials"),
    ],
)
def test_a_list_that_is_not_as_configured_is_an_error_with_its_place(response, error, message):
    async def steps(writer):
        return [page async for page in writer.read(ORDER, None)]

    with told(list=response) as (_, writer), pytest.raises(error, match=message) as raised:
        work(writer, steps)
    assert "hush" not in str(raised.value)
