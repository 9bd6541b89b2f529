"""A proxy between a writer and Tryton that loses answers: Tryton has done the call, and nobody hears of it."""

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

__all__ = ["LossyProxy", "lossy_proxy"]

_TIMEOUT_SECONDS = 120


class LossyProxy:
    """A running proxy.

    Attributes:
        base_url: its address, to be used instead of Tryton's.
        calls: the methods of all calls, e.g. ``model.sale.sale.create``, in the order of their answers.
    """

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self.calls: list[str] = []
        self._to_lose: set[str] = set()

    def lose_next(self, *methods: str) -> None:
        """Lose the answer of the next call that is one of ``methods``, and of no later one."""
        self._to_lose = set(methods)

    def loses(self, method: str) -> bool:
        """Take note of a call that Tryton has answered; tell whether the answer is lost."""
        self.calls.append(method)
        if method not in self._to_lose:
            return False
        self._to_lose = set()
        return True


@contextmanager
def lossy_proxy(upstream: str) -> Iterator[LossyProxy]:
    """Run a proxy for ``upstream`` on a free loopback port while the context lasts."""
    target = urlsplit(upstream)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            connection = http.client.HTTPConnection(target.netloc, timeout=_TIMEOUT_SECONDS)
            headers = {name: value for name, value in self.headers.items() if name.lower() != "accept-encoding"}
            connection.request("POST", self.path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
            connection.close()
            if proxy.loses(json.loads(body)["method"]):
                self.close_connection = True
                return
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.headers.get("Content-Type", "application/json"))
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    proxy = LossyProxy(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, name="lossy-proxy", daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
