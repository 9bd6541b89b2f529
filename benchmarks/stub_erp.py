"""An ERP that says yes after a while: as little work as an HTTP/1.1 server can do, so that the client is what a benchmark measures."""

import asyncio
import sys

import httptools
import orjson
import uvloop

from meshline_dagster.sandbox.serve import READY_PREFIX

__all__ = ["serve_stub"]

_COMPANY = b'{"id":"1"}'
_NOTHING = b'{"documents":[]}'


class _Connection(asyncio.Protocol):
    """One client connection; answers one request at a time, as the client asks."""

    def __init__(self, latency: float) -> None:
        self._latency = latency
        self._parser = httptools.HttpRequestParser(self)
        self._url, self._body = b"", b""

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self._url, self._body = url, b""

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        if self._url != b"/v1/sales-orders":
            self._answer(200, _COMPANY if self._url == b"/v1/company" else _NOTHING)
            return
        asked = orjson.loads(self._body)
        answer = orjson.dumps({**asked, "id": asked["external_id"], "number": "SO-1", "status": "open"})
        asyncio.get_running_loop().call_later(self._latency, self._answer, 201, answer)

    def _answer(self, status: int, body: bytes) -> None:
        head = f"HTTP/1.1 {status} OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        self._transport.write(head.encode() + body)


def serve_stub(latency: float) -> None:
    """Serve for ever on loopback; orders are answered after ``latency`` seconds. Prints its URL as the sandbox servers do."""

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Connection(latency), "127.0.0.1", 0, backlog=128)
        sys.stdout.write(f"{READY_PREFIX}http://127.0.0.1:{server.sockets[0].getsockname()[1]}\n")
        sys.stdout.flush()
        await server.serve_forever()

    uvloop.run(serve())
