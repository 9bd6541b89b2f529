"""How answers of Tryton's JSON-RPC are read, and how a refused batch is taken apart: without a server."""

import asyncio
from datetime import UTC, date, datetime
from decimal import Decimal

import httpx
import pytest

from meshline_dagster.core.documents import Outcome
from meshline_dagster.core.errors import AuthError, RateLimitedError, SourceError, TransientError
from meshline_dagster.erp.tryton_batches import tell_all
from meshline_dagster.erp.tryton_json import decode, encode
from meshline_dagster.erp.tryton_replies import Reply, read_reply

REJECTED, RETRY, UNKNOWN = Outcome.REJECTED, Outcome.RETRY, Outcome.UNKNOWN


def answer(status=200, body=None, content=None, **headers):
    request = httpx.Request("POST", "http://tryton/db/rpc/")
    content = encode(body) if content is None else content
    return read_reply(httpx.Response(status, content=content, headers=headers, request=request))


def error(*parts):
    return {"id": 1, "error": list(parts)}


def test_decimals_and_dates_come_back_as_they_went():
    value = {"price": Decimal("4821.10"), "day": date(2017, 4, 3), "moment": datetime(2017, 4, 3, 1, 2, 3, 4)}  # noqa: DTZ001
    assert decode(encode(value)) == value
    assert str(decode(encode(value))["price"]) == "4821.10"
    assert decode(b"[0.1, 3]") == [Decimal("0.1"), 3]
    with pytest.raises(TypeError, match="object"):
        encode(object())


@pytest.mark.parametrize(
    ("reply", "outcome", "words"),
    [
        (answer(body={"id": 1, "result": [7]}), None, ""),
        (answer(body=error("UserError", ["Not so.", "Because.", None])), REJECTED, "Not so. Because."),
        (answer(body=error("UserWarning", ["name", "Really?", ""])), REJECTED, "Really?"),
        (answer(body=error("ConcurrencyException", "changed")), RETRY, "at the same time"),
        (answer(body=error("could not serialize access due to concurrent update", "")), RETRY, "serialize"),
        (answer(body=error("server closed the connection unexpectedly", "")), UNKNOWN, "connection"),
        (answer(body=error("'nofield'", "")), REJECTED, "nofield"),
        (answer(401), RETRY, "not accepted"),
        (answer(403), REJECTED, "403"),
        (answer(404), REJECTED, "database"),
        (answer(429), RETRY, "too many"),
        (answer(500), UNKNOWN, "500"),
        (answer(502, content=b"<html>"), UNKNOWN, "502"),
        (answer(503, content=b"could not obtain lock on row in relation ir_sequence_strict"), RETRY, "lock"),
        (answer(503, content=b"the connection is closed"), UNKNOWN, "503"),
        (answer(504), UNKNOWN, "504"),
        (answer(content=b"<html>"), UNKNOWN, "no JSON"),
        (answer(body={"id": 1}), UNKNOWN, "no JSON-RPC"),
        (answer(body=[]), UNKNOWN, "no JSON-RPC"),
    ],
)
def test_only_what_surely_rolled_back_is_refused_or_not_now(reply, outcome, words):
    assert reply.outcome is outcome
    assert words in reply.message


def test_a_taken_name_is_told_from_other_refusals():
    taken = answer(body=error("UserError", ["The external ID on sale must be unique.", "", None]))
    assert taken.says_taken("external id")
    assert not taken.says_taken("code")
    assert not answer(body=error("UserError", ["The external ID is missing.", "", None])).says_taken("external id")


def test_not_now_is_unknown_once_something_was_done():
    assert Reply(RETRY).as_answer().outcome is RETRY
    assert Reply(RETRY).as_answer(touched=True).outcome is UNKNOWN
    assert Reply(REJECTED).as_answer(touched=True).outcome is REJECTED


def test_a_question_without_an_answer_raises_what_fits():
    kinds = {
        answer(401): AuthError,
        answer(404): SourceError,
        answer(429, **{"retry-after": "7"}): RateLimitedError,
        answer(500): TransientError,
    }
    for reply, kind in kinds.items():
        assert type(reply.as_error()) is kind
    assert answer(429, **{"retry-after": "7"}).as_error().retry_after == 7


def batches(bad=(), silent=(), size=20):
    calls = []

    async def send(items):
        calls.append(list(items))
        if set(items) & set(silent):
            return Reply(UNKNOWN, message="lost")
        if set(items) & set(bad):
            return Reply(REJECTED, message="bad")
        return Reply(None, [item * 10 for item in items])

    replies = asyncio.run(tell_all(list(range(size)), send))
    return {item: reply for item, reply in replies}, calls  # noqa: C416 - an item answered twice would show


def test_a_good_batch_is_one_call_and_each_item_gets_its_own_value():
    replies, calls = batches()
    assert len(calls) == 1
    assert {item: reply.value for item, reply in replies.items()} == {item: item * 10 for item in range(20)}


@pytest.mark.parametrize("bad", [{0}, {13}, {19}, {3, 4}, set(range(20))])
def test_only_the_bad_items_of_a_batch_are_refused(bad):
    replies, calls = batches(bad)
    assert {item for item, reply in replies.items() if reply.outcome is REJECTED} == bad
    assert all(replies[item].value == item * 10 for item in range(20) if item not in bad)
    assert len(calls) < 40


def test_after_a_lost_answer_the_rest_is_not_sent():
    replies, calls = batches(bad={1}, silent={3}, size=8)
    # the whole batch is lost, too: it holds the silent item
    assert {reply.outcome for reply in replies.values()} == {UNKNOWN}
    assert len(calls) == 1


def test_what_stands_is_not_sent_again_after_a_lost_answer_in_a_part():
    calls = []

    async def send(items):
        calls.append(list(items))
        if len(items) == 8:
            return Reply(REJECTED, message="bad")
        return Reply(UNKNOWN, message="lost") if 0 in items else Reply(None)

    replies = asyncio.run(tell_all(list(range(8)), send))
    assert [reply.outcome for _, reply in replies] == [UNKNOWN] * 4 + [RETRY] * 4
    assert calls == [list(range(8)), list(range(4))]


def test_stamps_are_utc():
    from meshline_dagster.erp.tryton_documents import customer_from_row

    created = datetime(2026, 1, 2, 3, 4, 5, 6)  # noqa: DTZ001
    row = {"id": 1, "code": "MLC-1", "name": "Acme", "write_date": None, "create_date": created}
    assert customer_from_row(row).stamp == datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
