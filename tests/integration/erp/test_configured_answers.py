"""Which answers settle a request of the configured writer: the ERP's own words, and never a page that somebody else shows."""

import asyncio
import copy
from contextlib import contextmanager

import pytest
from pydantic import SecretStr, ValidationError
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from meshline_dagster.core.documents import DocumentKind, Outcome
from meshline_dagster.core.errors import MeshlineError, TransientError
from meshline_dagster.erp.configured import ConfiguredErpWriter
from meshline_dagster.erp.configured_auth import FixedHeader
from meshline_dagster.erp.configured_model import ErpApi
from meshline_dagster.sandbox.serve import serve
from meshline_dagster.testing.erp_documents import Sample
from tests.integration.erp.test_configured_outcomes import KIND, TOLD
from tests.integration.erp.test_configured_writer import LINES

ORDER = DocumentKind.SALES_ORDER
SAMPLE = Sample("EUR")
FIRST = SAMPLE.order(1, LINES)
SECOND = SAMPLE.order(1, LINES, version=2)
CANCEL = SAMPLE.order(1, LINES, version=2, operation="cancel")
PAGE = "<html><title>Sign in</title>"


def shown(status="open", amount="1.00", erp_id="7", external_id=FIRST.external_id):
    """The order as the ERP lists it."""
    row = {"id": erp_id, "x": external_id, "t": "2026-01-01T00:00:00Z", "c": "EUR", "amount": amount, "lines": []}
    return row | {"status": status, "tag": f"tag of {status}"}


class Erp:
    """Answers each call by its name; the list is what ``rows`` holds, or an answer of its own."""

    def __init__(self, rows=(), **answers):
        self.rows, self.answers, self.asked = list(rows), answers, []

    async def answer(self, request):
        name = request.url.path.rsplit("/", 1)[-1]
        if name == "company" and "company" not in self.answers:
            return JSONResponse({"id": "1"})
        name = "list" if request.method == "GET" and name == "orders" else name
        if name != "company":
            self.asked.append((name, request.headers.get("if-match"), await request.body()))
        answer = self.answers.get(name, JSONResponse({"rows": self.rows}))
        return answer(request) if callable(answer) and not isinstance(answer, Response) else answer


def changes(**more):
    """A kind with all writing calls, each at an address of its own."""
    kind = copy.deepcopy(KIND)
    calls = {name: {"path": f"/orders/{{id}}/{name}"} for name in ("amend", "cancel", "confirm", "discard")}
    kind |= calls | more
    kind["create"] = {"path": "/orders/create", "body": {"x": {"from": "external_id"}}, **more.get("create", {})}
    status = {"at": "/status", "map": {"open": "open", "draft": "partial", "cancelled": "cancelled"}}
    kind["shown"] = {**KIND["shown"], "status": status, "revision": "/tag"}
    kind["find"] = {**KIND["find"], **more.get("find", {})}
    return kind


@contextmanager
def told(erp, kind=None, **api):
    content = {**copy.deepcopy(TOLD), **api}
    content["documents"]["sales_order"] = kind or changes()
    with serve(Starlette(routes=[Route("/{rest:path}", erp.answer, methods=["GET", "POST", "DELETE"])])) as url:
        auth = FixedHeader("X-Key", SecretStr("hush"))
        yield ConfiguredErpWriter(url, ErpApi.model_validate(content), auth, name="told", company="1")


def post(writer, document):
    async def inside():
        try:
            await writer.open()
            [answer] = await writer.post([document])
            return answer
        finally:
            await writer.aclose()

    return asyncio.run(inside())


SHAPES = [
    (JSONResponse({"id": "7"}), True),
    (JSONResponse({"id": 7, "more": 1}, 201), True),
    (Response(status_code=204), True),
    (HTMLResponse(PAGE), False),
    (HTMLResponse(PAGE, 201), False),
    (Response("OK", media_type="text/plain"), False),
    (Response(status_code=200), False),
    (JSONResponse({}), False),
    (JSONResponse([]), False),
    (JSONResponse(None), False),
    (JSONResponse({"id": "8"}), False),
    (JSONResponse({"session": "over"}), False),
]


@pytest.mark.parametrize(("answer", "counts"), SHAPES)
@pytest.mark.parametrize("document", [SECOND, CANCEL])
def test_a_change_is_done_only_when_the_answer_shows_the_document(document, answer, counts):
    erp = Erp([shown()], amend=answer, cancel=answer)
    kind = changes()
    del kind["confirm"], kind["discard"]
    with told(erp, kind) as writer:
        settled = post(writer, document)
    assert settled.outcome is (Outcome.UPDATED if counts else Outcome.UNKNOWN)
    assert settled.erp_id in ({"7"} if counts else {"7", None})
    assert counts or settled.message


@pytest.mark.parametrize(("answer", "counts"), SHAPES)
def test_a_draft_is_confirmed_only_when_the_answer_shows_the_document(answer, counts):
    with told(Erp(create=JSONResponse({"id": "7"}, 201), confirm=answer)) as writer:
        settled = post(writer, FIRST)
    assert (settled.outcome, settled.erp_id) == (Outcome.CREATED if counts else Outcome.UNKNOWN, "7")


@pytest.mark.parametrize(("answer", "counts"), SHAPES)
def test_a_draft_is_removed_only_when_the_answer_shows_the_document(answer, counts):
    refused = JSONResponse({"message": "no"}, 422)
    with told(Erp(create=JSONResponse({"id": "7"}, 201), confirm=refused, discard=answer)) as writer:
        settled = post(writer, FIRST)
    assert settled.outcome is (Outcome.REJECTED if counts else Outcome.UNKNOWN)


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (JSONResponse({"message": "ok"}), Outcome.UPDATED),
        (JSONResponse({"message": None}), Outcome.UNKNOWN),
        (JSONResponse({"id": "7"}), Outcome.UNKNOWN),
        (HTMLResponse(PAGE), Outcome.UNKNOWN),
        (Response(status_code=204), Outcome.UPDATED),
    ],
)
def test_an_answer_may_show_something_else_that_the_configuration_names(answer, outcome):
    cancel = {"path": "/orders/{id}/cancel", "shows": "/message"}
    with told(Erp([shown()], cancel=answer), changes(cancel=cancel)) as writer:
        assert post(writer, CANCEL).outcome is outcome


def test_an_empty_answer_counts_only_where_204_means_done():
    answers = {"done": [200, 201]}
    with told(Erp([shown()], cancel=Response(status_code=204)), answers=answers) as writer:
        assert post(writer, CANCEL).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (HTMLResponse(PAGE, 201, headers={"Location": "/login/7"}), Outcome.UNKNOWN),
        (Response(status_code=201, headers={"Location": "/orders/7"}), Outcome.CREATED),
        (HTMLResponse(PAGE, 404), Outcome.UNKNOWN),
        (HTMLResponse(PAGE, 409), Outcome.UNKNOWN),
        (JSONResponse({}, 404), Outcome.REJECTED),
        (Response(status_code=405), Outcome.REJECTED),
    ],
)
def test_a_page_of_somebody_in_between_neither_makes_nor_refuses(answer, outcome):
    kind = changes(create={"id_header": "Location"})
    del kind["confirm"], kind["discard"]
    with told(Erp(create=answer), kind, answers={"exists": [409]}) as writer:
        assert post(writer, FIRST).outcome is outcome


UNAVAILABLE = {"Retry-After": "7"}


@pytest.mark.parametrize(
    ("status", "listed", "outcome"),
    [
        (429, {}, Outcome.RETRY),
        (503, {}, Outcome.UNKNOWN),
        (412, {}, Outcome.UNKNOWN),
        (423, {}, Outcome.UNKNOWN),
        (503, {"retry": [412, 429, 503]}, Outcome.RETRY),
        (412, {"retry": [412, 429, 503]}, Outcome.RETRY),
        (429, {"retry": []}, Outcome.UNKNOWN),
    ],
)
@pytest.mark.parametrize("document", [FIRST, SECOND])
def test_only_a_status_that_is_named_says_that_nothing_was_done(document, status, listed, outcome):
    answer = JSONResponse({}, status, headers=UNAVAILABLE)
    kind = changes()
    del kind["confirm"], kind["discard"]
    rows = [shown()] if document is SECOND else []
    with told(Erp(rows, create=answer, amend=answer), kind, answers=listed) as writer:
        settled = post(writer, document)
    assert (settled.outcome, settled.retry_after) == (outcome, 7 if outcome is Outcome.RETRY else None)


@pytest.mark.parametrize("status", [200, 404])
def test_a_page_is_no_answer_to_a_question(status):
    with (
        told(Erp(company=HTMLResponse(PAGE, status))) as writer,
        pytest.raises(TransientError, match=r"no JSON.*base_url"),
    ):
        post(writer, FIRST)


def test_what_a_creation_shows_is_its_id():
    with pytest.raises(ValidationError, match="only the others have shows"):
        ErpApi.model_validate(
            {**TOLD, "documents": {**TOLD["documents"], "sales_order": changes(create={"shows": "/a"})}}
        )


@pytest.mark.parametrize("status", [422, 500])
def test_secrets_that_the_erp_echoes_are_not_in_its_words(status):
    answer = JSONResponse({"message": "no: client_secret=hushhush, access_token: hushhush"}, status)
    with told(Erp(create=answer, company=answer)) as writer, pytest.raises(MeshlineError) as raised:
        post(writer, FIRST)
    assert "client_secret=***, access_token: ***" in str(raised.value)


@pytest.mark.parametrize(
    ("answer", "there"),
    [
        (JSONResponse(shown()), ["7"]),
        (JSONResponse({"message": "no such order"}, 404), []),
        (Response(status_code=404), MeshlineError),
        (Response(status_code=200), MeshlineError),
        (Response(status_code=204), MeshlineError),
        (HTMLResponse(PAGE, 404), MeshlineError),
    ],
)
def test_a_document_is_not_there_only_when_the_erp_itself_says_so(answer, there):
    kind = changes(reverse={"path": "/orders/{id}/reverse"}, show={"path": "/orders/{id}/show"})

    async def show(writer):
        try:
            await writer.open()
            return [*await writer.show(ORDER, ["7"])]
        except MeshlineError:
            return MeshlineError
        finally:
            await writer.aclose()

    with told(Erp(show=answer), kind) as writer:
        assert asyncio.run(show(writer)) == there
