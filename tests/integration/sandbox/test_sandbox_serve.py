import os
import signal
import subprocess
import sys
import textwrap
import time

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from meshline_dagster.core.errors import ConfigError
from meshline_dagster.sandbox.serve import serve, serve_process

PROGRAM = """
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from meshline_dagster.sandbox.serve import serve_forever
print("chatter before it is ready")
serve_forever(Starlette(routes=[Route("/", lambda request: PlainTextResponse("ok"))]))
"""


async def _hello(_: Request) -> Response:
    return PlainTextResponse("hello")


APP = Starlette(routes=[Route("/", _hello)])


def test_an_application_answers_while_the_context_lasts_and_not_after():
    with serve(APP) as base_url:
        answer = httpx.get(base_url)
        assert answer.text == "hello"
    with pytest.raises(httpx.ConnectError):
        httpx.get(base_url)


def test_the_server_adds_no_clock_of_its_own():
    with serve(APP) as base_url:
        headers = httpx.get(base_url).headers
    assert "date" not in headers
    assert "server" not in headers


def test_a_port_in_use_is_reported_as_such():
    with serve(APP) as base_url:
        port = int(base_url.rsplit(":", 1)[1])
        with pytest.raises(ConfigError, match=str(port)), serve(APP, port):
            pass


def test_a_server_process_answers_and_can_be_killed():
    with serve_process(["-c", textwrap.dedent(PROGRAM)]) as (base_url, pid):
        assert httpx.get(base_url).text == "ok"
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        with pytest.raises(httpx.TransportError):
            httpx.get(base_url)


def test_a_server_process_that_dies_reports_its_last_words():
    with pytest.raises(ConfigError, match="no such thing"), serve_process(["-c", "raise SystemExit('no such thing')"]):
        pass


PARENT = """
import sys
from meshline_dagster.sandbox.serve import serve_process
with serve_process(["-c", sys.argv[1]]) as (url, pid):
    print(url, flush=True)
    sys.stdin.read()
"""


def test_a_server_process_ends_also_when_its_parent_is_killed():
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, textwrap.dedent(PROGRAM)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    url = parent.stdout.readline().strip()
    assert httpx.get(url, timeout=10).text == "ok"
    parent.kill()
    parent.communicate()
    deadline = time.monotonic() + 60
    while True:
        try:
            httpx.get(url, timeout=10)
        except httpx.TransportError:
            return
        assert time.monotonic() < deadline
        time.sleep(0.05)
