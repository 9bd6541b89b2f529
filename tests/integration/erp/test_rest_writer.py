"""What the REST writer makes of answers, broken connections and silence, on a server that answers as told."""

import asyncio
import json
import logging
import socket
import threading
from contextlib import contextmanager

import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from meshline_dagster.core.documents import Outcome
from meshline_dagster.core.errors import AuthError, ConfigError, SourceError, TransientError
from meshline_dagster.erp.http import HttpClient, was_surely_not_sent
from meshline_dagster.erp.rest import RestErpWriter
from meshline_dagster.erp.rest_documents import request_body
from meshline_dagster.sandbox.erp.app import create_app
from meshline_dagster.sandbox.serve import serve
from meshline_dagster.testing.erp_documents import Sample

SAMPLE = Sample("EUR")
ORDER = SAMPLE.order(1, [("A", "2", "10.50")])
AMENDMENT = SAMPLE.order(1, [("A", "1", "10.50")], version=2)
KEPT = {"customer": "C", "currency": "EUR", "amount": "21", "status": "open", "id": "o1", "number": "SO-1"}
KEPT |= {"external_id": ORDER.external_id, "event_id": ORDER.event_id, "updated_at": "2017-04-01T00:00:00.5Z"}
KEPT |= {"lines": [{"sku": "A", "quantity": "2", "unit_price": "10.5", "amount": "21.00"}]}


class Told:
    """A server that gives one answer to every writing request and remembers what it was asked."""

    def __init__(self, answer, lookup):
        self.asked = []
        self._answer = answer
        self._lookup = lookup

    async def company(self, _: Request) -> Response:
        return JSONResponse({"id": "1"})

    async def look_up(self, _: Request) -> Response:
        return self._lookup

    async def write(self, request: Request) -> Response:
        self.asked.append((request.method, request.url.path, dict(request.headers), await request.body()))
        return self._answer


@contextmanager
def told(answer, lookup=None):
    server = Told(answer, lookup or JSONResponse({"documents": [KEPT]}))
    routes = [
        Route("/v1/company", server.company),
        Route("/v1/sales-orders/lookup", server.look_up, methods=["POST"]),
        Route("/v1/{rest:path}", server.write, methods=["POST", "PUT", "GET"]),
    ]
    with serve(Starlette(routes=routes)) as url:
        yield server, url


def writer(url, **options):
    return RestErpWriter(url, SecretStr("the secret"), **options)


def post(url, document=ORDER, **options):
    async def inside():
        erp = writer(url, **options)
        await erp.open()
        try:
            [answer] = await erp.post([document])
            return answer
        finally:
            await erp.aclose()

    return asyncio.run(inside())


def refusal(status, **error):
    return JSONResponse({"error": {"code": "x", "message": "these words", **error}}, status)


@pytest.mark.parametrize(
    ("response", "outcome", "erp_id"),
    [
        (JSONResponse({"id": "o1"}, 201), Outcome.CREATED, "o1"),
        (JSONResponse({"id": 7}, 200), Outcome.UPDATED, "7"),
        (JSONResponse({"id": "o1"}, 201, headers={"Idempotency-Replayed": "true"}), Outcome.EXISTS, "o1"),
        (JSONResponse({"id": "o1", "existing": KEPT}, 409), Outcome.EXISTS, "o1"),
        (JSONResponse({"id": "o1", "existing": {**KEPT, "amount": "22"}}, 409), Outcome.EXISTS_DIFFERENT, "o1"),
        (JSONResponse({"id": "o1", "existing": {"id": "o1"}}, 409), Outcome.UNKNOWN, "o1"),
        (refusal(409), Outcome.UNKNOWN, None),
        (refusal(422), Outcome.REJECTED, None),
        (refusal(400), Outcome.REJECTED, None),
        (refusal(404), Outcome.REJECTED, None),
        (refusal(401), Outcome.RETRY, None),
        (refusal(403), Outcome.RETRY, None),
        (refusal(429), Outcome.RETRY, None),
        (refusal(503), Outcome.UNKNOWN, None),
        (refusal(408), Outcome.UNKNOWN, None),
        (refusal(500), Outcome.UNKNOWN, None),
        (Response("<html>Bad gateway</html>", 502), Outcome.UNKNOWN, None),
        (Response("<html>Timeout</html>", 504), Outcome.UNKNOWN, None),
        (Response(status_code=302, headers={"Location": "/elsewhere"}), Outcome.UNKNOWN, None),
        (Response("<html>Welcome</html>", 200), Outcome.UNKNOWN, None),
        (JSONResponse({}, 201), Outcome.UNKNOWN, None),
        (JSONResponse([1], 201), Outcome.UNKNOWN, None),
        (Response(b'{"id": "o1"', 201), Outcome.UNKNOWN, None),
        (Response(b"\xff\xfe\x00", 201), Outcome.UNKNOWN, None),
    ],
)
def test_each_answer_has_its_outcome(response, outcome, erp_id):
    with told(response) as (server, url):
        answer = post(url)
    assert (answer.outcome, answer.erp_id) == (outcome, erp_id)
    assert answer.raw["status"] == response.status_code
    assert len(server.asked) == 1


def test_a_refusal_carries_the_erps_words_and_field():
    with told(refusal(422, field="lines[0].sku")) as (_, url):
        answer = post(url)
    assert (answer.message, answer.field) == ("these words", "lines[0].sku")


def test_another_content_under_our_external_id_names_what_differs():
    with told(JSONResponse({"id": "o1", "existing": {**KEPT, "currency": "USD"}}, 409)) as (_, url):
        assert post(url).field == "currency"


@pytest.mark.parametrize(
    ("header", "low", "high"),
    [
        ("7", 7, 7),
        ("0.5", 0.5, 0.5),
        ("-3", 0, 0),
        ("Tue, 01 Jan 2999 00:00:00 GMT", 1e9, 1e11),
        ("Sat, 01 Apr 2017 00:00:00 GMT", 0, 0),
    ],
)
def test_retry_after_is_read_in_both_forms(header, low, high):
    with told(JSONResponse({}, 429, headers={"Retry-After": header})) as (_, url):
        assert low <= post(url).retry_after <= high


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "soon"}])
def test_without_a_usable_retry_after_there_is_none(headers):
    with told(JSONResponse({}, 429, headers=headers)) as (_, url):
        assert post(url).retry_after is None


def test_the_request_carries_key_token_and_the_same_bytes_each_time():
    with told(JSONResponse({"id": "o1"}, 201)) as (server, url):
        post(url)
        post(url)
    (method, path, headers, body), again = server.asked
    assert (method, path) == ("POST", "/v1/sales-orders")
    assert headers["idempotency-key"] == ORDER.key
    assert headers["authorization"] == "Bearer the secret"
    assert body == again[3] == request_body(ORDER)


def test_an_amendment_goes_to_the_document_that_the_look_up_shows():
    with told(JSONResponse({"id": "o1"})) as (server, url):
        assert post(url, AMENDMENT).outcome is Outcome.UPDATED
    assert [asked[:2] for asked in server.asked] == [("PUT", "/v1/sales-orders/o1")]


def test_an_amendment_that_is_there_already_is_not_sent():
    done = {**KEPT, "event_id": AMENDMENT.event_id, "amount": "10.5"}
    done |= {"lines": [{"sku": "A", "quantity": "1", "unit_price": "10.5", "amount": "10.5"}]}
    with told(JSONResponse({}, 500), JSONResponse({"documents": [done]})) as (server, url):
        assert post(url, AMENDMENT).outcome is Outcome.EXISTS
    assert server.asked == []


def test_an_amendment_with_the_event_but_another_content_is_sent():
    shown = {**KEPT, "event_id": AMENDMENT.event_id}
    with told(JSONResponse({"id": "o1"}), JSONResponse({"documents": [shown]})) as (server, url):
        assert post(url, AMENDMENT).outcome is Outcome.UPDATED
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("lookup", "outcome"),
    [
        (JSONResponse({"documents": []}), Outcome.REJECTED),
        (JSONResponse({"documents": [KEPT, {**KEPT, "id": "o2"}]}), Outcome.REJECTED),
        (JSONResponse({}, 503), Outcome.RETRY),
        (JSONResponse({}, 401), Outcome.RETRY),
        (JSONResponse({"documents": [{"id": 1}]}), Outcome.RETRY),
    ],
)
def test_an_amendment_whose_document_is_not_known_for_sure_is_not_sent(lookup, outcome):
    with told(JSONResponse({"id": "o1"}), lookup) as (server, url):
        assert post(url, AMENDMENT).outcome is outcome
    assert server.asked == []


@pytest.mark.parametrize(
    ("lookup", "error"),
    [
        (JSONResponse({}, 500), TransientError),
        (JSONResponse({}, 503), TransientError),
        (JSONResponse({}, 429), TransientError),
        (JSONResponse({}, 302), TransientError),
        (JSONResponse({}, 401), AuthError),
        (JSONResponse({}, 403), AuthError),
        (JSONResponse({}, 404), SourceError),
        (Response("<html>Welcome</html>"), SourceError),
        (JSONResponse({"documents": [{**KEPT, "amount": "much"}]}), SourceError),
        (JSONResponse({"documents": ["x"]}), SourceError),
    ],
)
def test_a_look_up_without_a_proper_answer_raises(lookup, error):
    async def inside(url):
        erp = writer(url)
        await erp.open()
        try:
            await erp.find(ORDER.kind, [ORDER.external_id])
        finally:
            await erp.aclose()

    with told(Response(), lookup) as (_, url), pytest.raises(error) as raised:
        asyncio.run(inside(url))
    assert "the secret" not in str(raised.value)


def test_silence_is_unknown(tmp_path):
    with silent_server() as url:

        async def inside():
            client = HttpClient(url, headers={}, max_in_flight=1, request_timeout=0.3)
            try:
                await client.post("/v1/sales-orders", content=b"{}")
            finally:
                await client.aclose()

        with pytest.raises(Exception) as raised:  # noqa: PT011 - whichever the transport raises
            asyncio.run(inside())
        assert not was_surely_not_sent(raised.value)


@contextmanager
def silent_server(*, close_after=None):
    """Takes connections and requests; says nothing, or closes after so many bytes."""
    listener = socket.create_server(("127.0.0.1", 0))
    kept = []

    def accept():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            kept.append(connection)
            if close_after is not None:
                connection.recv(close_after)
                connection.close()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.close()
        for connection in kept:
            connection.close()


@pytest.mark.parametrize("close_after", [1, 65536])
def test_a_connection_that_breaks_after_sending_began_is_not_surely_unsent(close_after):
    async def inside(url):
        client = HttpClient(url, headers={}, max_in_flight=1, request_timeout=5)
        try:
            await client.post("/v1/sales-orders", content=b"x" * 1000)
        finally:
            await client.aclose()

    with silent_server(close_after=close_after) as url, pytest.raises(Exception) as raised:  # noqa: PT011 - as above
        asyncio.run(inside(url))
    assert not was_surely_not_sent(raised.value)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://no-such-host.invalid"])
def test_a_connection_that_never_stood_is_surely_unsent(url):
    async def inside():
        erp = writer(url)
        with pytest.raises(TransientError, match="gave no answer"):
            await erp.open()
        try:
            return await erp.post([ORDER])
        finally:
            await erp.aclose()

    [answer] = asyncio.run(inside())
    assert answer.outcome is Outcome.RETRY


@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
def test_nothing_is_sent_twice_when_a_kept_connection_breaks(tmp_path, method):
    async def inside(url, headers):
        client = HttpClient(url, headers=headers, max_in_flight=1, request_timeout=5)
        try:
            await client.get("/v1/company")
            plan = [{"fault": "reset_after", "at": [1], "on": "all"}]
            await client.post("/control/faults", json={"plan": plan})
            before = json.loads((await client.get("/control/requests")).content)["total"]
            with pytest.raises(Exception) as raised:  # noqa: PT011 - as above
                await client.request(method, "/v1/sales-orders/o1" if method == "PUT" else "/v1/customers")
            return raised.value, json.loads((await client.get("/control/requests")).content)["total"] - before
        finally:
            await client.aclose()

    with serve(create_app(tmp_path / "erp.db")) as url:
        error, sent = asyncio.run(inside(url, {"Authorization": "Bearer sandbox"}))
    assert sent == 1
    assert not was_surely_not_sent(error)


def test_the_token_is_in_no_log_and_no_repr(caplog):
    caplog.set_level(logging.DEBUG)
    with told(refusal(401)) as (_, url):
        answer = post(url)
    assert "the secret" not in caplog.text + repr(answer) + repr(vars(writer(url)))


def test_an_unknown_profile_is_refused():
    with pytest.raises(ConfigError, match="idempotent, unique, lookup_only"):
        writer("http://127.0.0.1:1", profile="none")


def test_a_writer_that_is_not_open_says_so():
    with pytest.raises(ConfigError, match=r"open\(\)"):
        asyncio.run(writer("http://127.0.0.1:1").company())
