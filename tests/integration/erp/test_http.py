"""What leaves for an ERP, and what must not leave any more, seen from the other end of the wire."""

import asyncio
import contextlib
import socket
import threading
import time

import pytest

from meshline_dagster.erp import http
from meshline_dagster.erp.deadline import within
from meshline_dagster.erp.http import HttpClient, NoAnswerError

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


class Other:
    """A server that takes what is sent, and answers when it is told to."""

    def __init__(self, answers_at_once):
        self.seen, self.closed, self._answers = [], threading.Event(), threading.Event()
        if answers_at_once:
            self._answers.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with contextlib.suppress(OSError):
            while data := connection.recv(65536):
                self.seen.append(data)
                self._answers.wait(20)
                connection.sendall(ANSWER)
        self.closed.set()

    def answer(self):
        self._answers.set()

    def close(self):
        self._listener.close()


@pytest.fixture
def silent():
    other = Other(answers_at_once=False)
    yield other
    other.close()


@pytest.fixture
def other():
    running = Other(answers_at_once=True)
    yield running
    running.close()


def test_a_request_that_is_given_up_while_it_waits_for_its_turn_is_never_sent(silent):
    async def inside():
        client = HttpClient(silent.url, headers={}, max_in_flight=1, request_timeout=20)
        first = asyncio.create_task(client.post("/first", content=b"1"))
        await until(lambda: silent.seen)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await client.post("/second", content=b"2")
        silent.answer()
        await first
        await client.post("/third", content=b"3")
        await client.aclose()

    asyncio.run(inside())
    assert [data.split()[1] for data in silent.seen] == [b"/first", b"/third"]


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_a_request_ends_with_the_call_that_it_belongs_to(silent, method):
    """Cancelling does not reach it: it has to end by itself, and with it the connection."""

    async def inside():
        client = HttpClient(silent.url, headers={}, max_in_flight=1, request_timeout=20)
        with pytest.raises((TimeoutError, NoAnswerError)):
            async with within(0.3):
                await client.request(method, "/first")
        await asyncio.sleep(0.3)  # its end is measured by another clock than ours
        silent.answer()
        is_closed = await asyncio.to_thread(silent.closed.wait, 2)  # shorter than an idle connection is kept
        await client.aclose()
        return is_closed

    assert asyncio.run(inside())


def test_what_has_no_time_left_is_surely_not_sent(other):
    refusals = []

    async def inside():
        client = HttpClient(other.url, headers={}, max_in_flight=1, request_timeout=20)
        with contextlib.suppress(TimeoutError):
            async with within(0.01):
                time.sleep(0.05)  # noqa: ASYNC251 - the loop is busy, so that no time-out is noticed
                try:
                    await client.post("/late", content=b"x")
                except NoAnswerError as error:
                    refusals.append(error.is_surely_unsent)
        await client.aclose()

    asyncio.run(inside())
    assert refusals == [True]
    assert other.seen == []


@pytest.mark.parametrize("content", [None, b""])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_a_request_without_a_body_says_that_it_has_none(other, method, content):
    """Some servers refuse it otherwise (HTTP 411)."""
    sent(other, method, content=content)
    assert other.seen[0].lower().count(b"content-length: 0\r\n") == 1


def test_a_header_replaces_the_client_s_own_whatever_its_case(other):
    sent(other, "POST", content=b"{}", headers={"Content-Type": "application/json"})
    names = [line.split(b":")[0] for line in other.seen[0].lower().split(b"\r\n")]
    assert names.count(b"content-type") == 1
    assert b"application/json" in other.seen[0]


def test_without_certificates_of_the_system_there_are_certifi_s(other, monkeypatch):
    asked = []
    where = http.certifi.where
    monkeypatch.setattr(http.certifi, "where", lambda: asked.append(1) or where())
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere")
    monkeypatch.setenv("SSL_CERT_DIR", "/nowhere")
    sent(other, "GET")
    assert asked
    assert other.seen


def sent(other, method, **given):
    async def inside():
        client = HttpClient(other.url, headers={"content-type": "text/plain"}, max_in_flight=1, request_timeout=5)
        await client.request(method, "/x", **given)
        await client.aclose()

    asyncio.run(inside())


async def until(holds):
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - a server in a thread knows no asyncio events
            await asyncio.sleep(0.01)
