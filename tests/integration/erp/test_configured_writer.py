"""What the configured writer does where ERPs differ: drafts, references, pages that move, links, tokens, answers of every kind."""

import asyncio
import copy
from contextlib import contextmanager
from decimal import Decimal

import httpx
import pytest
from pydantic import SecretStr

from meshline_dagster.core.documents import DocumentKind, Outcome
from meshline_dagster.core.errors import ConfigError, SourceError, TransientError
from meshline_dagster.erp.configured import ConfiguredErpWriter
from meshline_dagster.erp.configured_auth import FixedHeader, OAuthClient
from meshline_dagster.erp.configured_model import ErpApi
from meshline_dagster.sandbox.erp.app import create_app
from meshline_dagster.sandbox.serve import serve
from meshline_dagster.testing.erp_documents import Sample
from tests.integration.erp.test_configured_conformance import described, documented

ORDER = DocumentKind.SALES_ORDER
LINES = [("A", "2", "10.50"), ("B", "1", "0.07")]
SAMPLE = Sample("EUR")
CUSTOMER = SAMPLE.customer()


@contextmanager
def erp(tmp_path, shape, profile="lookup_only"):
    app = create_app(tmp_path / "erp.db", profile=profile, shape=shape, company="1", token="hush")
    with serve(app) as url:
        yield app.state.erp, url


def frappe(url, api=None):
    auth = FixedHeader("Authorization", SecretStr("hush"), "token ")
    return ConfiguredErpWriter(url, ErpApi.model_validate(api or described("frappe")), auth, name="erp", company="1")


def odata(url, api=None, *, company="1", **auth):
    shown = OAuthClient(f"{url}/oauth/token", "us", SecretStr("hush"), **auth)
    return ConfiguredErpWriter(url, ErpApi.model_validate(api or documented()), shown, name="erp", company=company)


def work(writer, steps):
    """Open, run the coroutine function with the writer, close."""

    async def inside():
        await writer.open()
        try:
            return await steps(writer)
        finally:
            await writer.aclose()

    return asyncio.run(inside())


async def post(writer, *documents):
    return [(await writer.post([document]))[0] for document in documents]


async def found(writer, document):
    return list((await writer.find(document.kind, [document.external_id])).get(document.external_id, []))


def refuse(url, *, at, status=417, **more):
    rule = {"fault": "refuse", "status": status, "at": at, "path": "Sales", **more}
    httpx.post(f"{url}/control/faults", json={"plan": [rule]}).raise_for_status()


def lose(url, at):
    plan = [{"fault": "reset_after", "at": [at], "path": "Sales"}]
    httpx.post(f"{url}/control/faults", json={"plan": plan}).raise_for_status()


def journal(url):
    return [one["operation"] for one in httpx.get(f"{url}/control/journal").json() if one["kind"] == "sales_order"]


def test_a_draft_whose_answer_was_lost_is_confirmed_by_the_next_request_and_not_made_again(tmp_path):
    order = SAMPLE.order(1, LINES)

    async def steps(writer):
        await post(writer, CUSTOMER)
        lose(url, 1)
        [lost] = await post(writer, order)
        [draft] = await found(writer, order)
        [done, again] = await post(writer, order, order)
        [shown] = await found(writer, order)
        return lost, draft, done, again, shown

    with erp(tmp_path, "frappe") as (_, url):
        lost, draft, done, again, shown = work(frappe(url), steps)
        assert journal(url) == ["create", "replace"]
    assert (lost.outcome, draft.status, shown.status) == (Outcome.UNKNOWN, "partial", "open")
    assert (done.outcome, done.erp_id) == (Outcome.UPDATED, draft.erp_id)
    assert (again.outcome, again.erp_id) == (Outcome.EXISTS, draft.erp_id)


def test_a_draft_with_another_content_is_neither_confirmed_nor_made_again(tmp_path):
    order, other = SAMPLE.order(1, LINES), SAMPLE.order(1, LINES[:1])

    async def steps(writer):
        await post(writer, CUSTOMER)
        lose(url, 1)
        await post(writer, other)
        return await post(writer, order), await found(writer, order)

    with erp(tmp_path, "frappe") as (_, url):
        [answer], [draft] = work(frappe(url), steps)
    assert (answer.outcome, answer.field, draft.status) == (Outcome.EXISTS_DIFFERENT, "amount", "partial")


def test_a_draft_with_another_content_is_amended_and_confirmed_where_the_erp_can_amend(tmp_path):
    order, other = SAMPLE.order(1, LINES), SAMPLE.order(1, LINES[:1])
    body = described("frappe")["documents"]["sales_order"]["create"]["body"]
    amend = {"method": "PUT", "path": "/api/resource/Sales Order/{id}", "body": body}
    api = changed(described("frappe"), "documents/sales_order/amend", amend)

    async def steps(writer):
        await post(writer, CUSTOMER)
        lose(url, 1)
        await post(writer, other)
        return await post(writer, order), await found(writer, order)

    with erp(tmp_path, "frappe") as (_, url):
        [answer], [shown] = work(frappe(url, api), steps)
        assert journal(url) == ["create", "replace", "replace"]
    assert (answer.outcome, answer.erp_id) == (Outcome.UPDATED, shown.erp_id)
    assert (shown.status, shown.amount) == ("open", Decimal("21.07"))


class ShortBreath(FixedHeader):
    """Vouches for us some more times, then not now."""

    left = 1_000

    async def headers(self):
        self.left -= 1
        if self.left < 0:
            raise TransientError("nobody vouches for us")
        return await super().headers()


def test_a_confirmation_that_cannot_be_sent_is_unknown_because_the_draft_is_there(tmp_path):
    order = SAMPLE.order(1, LINES)
    auth = ShortBreath("Authorization", SecretStr("hush"), "token ")

    async def steps(writer):
        await post(writer, CUSTOMER)
        auth.left = 4  # looks for the order, for the customer (list and document), and creates
        answers = await post(writer, order)
        auth.left = 1_000
        return answers, await found(writer, order)

    with erp(tmp_path, "frappe") as (_, url):
        writer = ConfiguredErpWriter(url, ErpApi.model_validate(described("frappe")), auth, name="erp", company="1")
        [answer], [draft] = work(writer, steps)
    assert (answer.outcome, answer.erp_id, draft.status) == (Outcome.UNKNOWN, draft.erp_id, "partial")


def test_a_draft_whose_confirmation_is_refused_is_removed(tmp_path):
    order = SAMPLE.order(1, LINES)

    async def steps(writer):
        await post(writer, CUSTOMER)
        refuse(url, at=[2])
        return await post(writer, order), await found(writer, order)

    with erp(tmp_path, "frappe") as (_, url):
        [answer], there = work(frappe(url), steps)
        assert journal(url) == ["create", "remove"]
    assert (answer.outcome, there) == (Outcome.REJECTED, [])


@pytest.mark.parametrize(("at", "status"), [([2, 3], 417), ([2], 503), ([2], 500), ([2], 401)])
def test_a_draft_that_stays_unconfirmed_is_unknown_never_not_now(tmp_path, at, status):
    order = SAMPLE.order(1, LINES)

    async def steps(writer):
        await post(writer, CUSTOMER)
        refuse(url, at=at, status=status)
        return await post(writer, order), await found(writer, order)

    with erp(tmp_path, "frappe") as (_, url):
        [answer], [draft] = work(frappe(url), steps)
    assert (answer.outcome, answer.erp_id, draft.status) == (Outcome.UNKNOWN, draft.erp_id, "partial")


def test_a_taken_external_id_is_compared_with_what_is_there(tmp_path):
    order, other = SAMPLE.order(1, LINES), SAMPLE.order(1, LINES[:1])
    with erp(tmp_path, "odata", "unique") as (_, url):
        answers = work(odata(url), lambda writer: post(writer, CUSTOMER, order, order, other))
    assert [one.outcome for one in answers[2:]] == [Outcome.EXISTS, Outcome.EXISTS_DIFFERENT]
    assert {one.erp_id for one in answers[1:]} == {answers[1].erp_id}
    assert answers[3].field == "amount"


def test_an_order_of_a_customer_that_the_erp_does_not_have_is_refused_before_a_request(tmp_path):
    with erp(tmp_path, "odata") as (_, url):
        [answer] = work(odata(url), lambda writer: post(writer, SAMPLE.order(1, LINES)))
        assert journal(url) == []
    assert (answer.outcome, answer.field) == (Outcome.REJECTED, "customer")
    assert CUSTOMER.external_id in answer.message


def test_a_change_that_somebody_else_made_meanwhile_is_not_overwritten(tmp_path):
    first, second = SAMPLE.order(1, LINES), SAMPLE.order(1, LINES[:1], version=2)

    async def steps(writer):
        await post(writer, CUSTOMER, first)
        refuse(url, at=[1], status=412, path="sales")
        return await post(writer, second, second)

    with erp(tmp_path, "odata") as (_, url):
        refused, done = work(odata(url), steps)
    assert [refused.outcome, done.outcome] == [Outcome.RETRY, Outcome.UPDATED]


def test_rows_that_move_while_pages_are_read_hide_no_other(tmp_path):
    orders = [SAMPLE.order(number, LINES) for number in range(1, 9)]

    async def steps(writer):
        await post(writer, CUSTOMER, *orders)
        seen = []
        async for page in writer.read(ORDER, None):
            seen += [one.external_id for one in page]
            if len(seen) == 3:
                cancels = [SAMPLE.order(number, LINES, version=2, operation="cancel") for number in (1, 2, 3)]
                await post(writer, *cancels)
        return seen

    with erp(tmp_path, "frappe") as (_, url):
        seen = work(frappe(url), steps)
    assert set(seen) == {order.external_id for order in orders}
    assert len(seen) == 11  # three of them twice: before and after their cancellation


def changed(api, place, value):
    api = copy.deepcopy(api)
    *way, last = place.split("/")
    at = api
    for step in way:
        at = at[step]
    at[last] = value
    return api


def test_pages_that_are_not_oldest_first_are_refused(tmp_path):
    async def steps(writer):
        await post(writer, CUSTOMER, SAMPLE.order(1, LINES), SAMPLE.order(2, LINES))
        return [one async for page in writer.read(ORDER, None) for one in page]

    api = described("frappe")
    del api["documents"]["sales_order"]["read"]["query"]["order_by"]
    with erp(tmp_path, "frappe") as (_, url), pytest.raises(SourceError, match=r"not oldest first.*sales_order\.read"):
        work(frappe(url, api), steps)


def test_a_filter_that_the_erp_does_not_understand_is_noticed(tmp_path):
    query = {"filter": "{external_ids} {company}", "fields": '["name"]', "limit_page_length": "{page_size}"}
    api = changed(described("frappe"), "documents/sales_order/find/query", query)

    async def steps(writer):
        await post(writer, CUSTOMER)
        return await found(writer, SAMPLE.order(2, LINES))

    with erp(tmp_path, "frappe") as (_, url):
        work(frappe(url), lambda writer: post(writer, CUSTOMER, SAMPLE.order(1, LINES)))
        with pytest.raises(SourceError, match=r"does not understand the filter in documents\.sales_order\.find"):
            work(frappe(url, api), steps)


def test_a_token_is_renewed_when_it_ends_and_when_it_is_refused(tmp_path):
    now = [0.0]

    async def steps(writer):
        state.access.clear()
        [refused, taken] = await post(writer, CUSTOMER, CUSTOMER)
        given = len(state.access)
        now[0] += 3541  # less than a minute before its end
        await writer.company()
        return refused, taken, given, len(state.access)

    with erp(tmp_path, "odata") as (state, url):
        refused, taken, given, later = work(odata(url, clock=lambda: now[0]), steps)
    assert [refused.outcome, taken.outcome] == [Outcome.RETRY, Outcome.CREATED]
    assert (given, later) == (1, 2)


def test_a_company_that_the_erp_does_not_have_is_refused_at_the_door(tmp_path):
    with erp(tmp_path, "odata") as (_, url), pytest.raises(SourceError, match="no such company"):
        work(odata(url, company="2"), lambda writer: writer.company())


def test_a_writer_that_is_not_open_says_so():
    with pytest.raises(ConfigError, match=r"open\(\)"):
        asyncio.run(frappe("http://127.0.0.1:1").company())


def test_a_kind_that_is_not_described_is_refused_by_name():
    with pytest.raises(ConfigError, match=r"documents\.invoice"):
        asyncio.run(frappe("http://127.0.0.1:1").find(DocumentKind.INVOICE, ["x"]))
