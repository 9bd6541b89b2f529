"""A proxy between a writer and Tryton that does to single calls what networks do: what is lost here, Tryton may have done."""

import http.client
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

__all__ = ["Fault", "FaultProxy", "fault_proxy"]

_TIMEOUT_SECONDS = 120
_LATE_SECONDS = 0.5


class Fault(StrEnum):
    """What becomes of one call."""

    RESET = "reset"  # the connection breaks before Tryton gets anything
    LOST = "lost"  # Tryton does it, and the connection breaks before the answer
    TORN = "torn"  # Tryton does it, and the connection breaks in the middle of the answer
    LATE = "late"  # the connection breaks first, and Tryton does it half a second later
    HELD = "held"  # Tryton does it, and the answer comes when the caller has given up


class FaultProxy:
    """A running proxy.

    Attributes:
        base_url: its address, to be used instead of Tryton's.
        upstream: Tryton's own address; may be set anew when Tryton has moved.
        calls: the methods of all calls, e.g. ``model.sale.sale.create``, in the order in which Tryton was done with them.
        faults: what was done, as ``(method, fault)``.
        visible_seconds: what Tryton does for a caller that has gone, it does within this time: a look-up that comes later waits until it is
            done. So a test's outcome does not depend on how fast the machine is.
        held_seconds: how long a held answer waits; longer than the caller does.
        watch: told each call's method before anything is done about it, in a thread of that call.
    """

    def __init__(self, base_url: str, upstream: str) -> None:
        self.base_url, self.upstream = base_url, upstream
        self.calls: list[str] = []
        self.faults: list[tuple[str, Fault]] = []
        self.held_seconds = 30.0
        self.visible_seconds = 3.0
        self.watch: Callable[[str], None] = _look_away
        self._plan: list[tuple[frozenset[str], Fault]] = []
        self._lock = threading.Lock()
        self._under_way: dict[int, float] = {}
        self._orphans: dict[int, float] = {}
        self._numbers = itertools.count()

    def lose_next(self, *methods: str) -> None:
        """Lose the answer of the next call that is one of ``methods``, and of no later one; forget what was planned before."""
        with self._lock:
            self._plan = [(frozenset(methods), Fault.LOST)]

    def plan(self, *faults: tuple[str, Fault]) -> None:
        """Add faults, each ``(method, fault)`` for one call of that method, in this order."""
        with self._lock:
            self._plan += [(frozenset({method}), fault) for method, fault in faults]

    def forget(self) -> None:
        """Forget what was planned, watched and done: the next test begins."""
        with self._lock:
            self._plan.clear()
        self.watch = _look_away
        self.calls.clear()
        self.faults.clear()

    def next_fault(self, method: str) -> Fault | None:
        """Take the fault of a call that comes in now."""
        with self._lock:
            found = next((one for one in self._plan if method in one[0]), None)
            if found is None:
                return None
            self._plan.remove(found)
            self.faults.append((method, found[1]))
            return found[1]

    def abandon(self) -> None:
        """Whoever has called up to now is dead: what is under way for him goes on, and nobody waits for it."""
        self._orphans.update(self._under_way)

    def let_orphans_end(self) -> None:
        """Wait until Tryton has done whatever it does for callers that have gone."""
        self._let_end(list(self._orphans))

    def orphan(self) -> int:
        """A call of its own begins, whose caller has gone already; :meth:`forward` it with this number."""
        number = next(self._numbers)
        self._orphans[number] = time.monotonic()
        return number

    def forward(
        self, path: str, headers: dict[str, str], body: bytes, method: str, number: int | None = None
    ) -> tuple[int, str, bytes]:
        """Ask Tryton; returns status, content type and body. Raises ``OSError`` or ``HTTPException`` when it does not answer."""
        if number is None:
            number = next(self._numbers)
            self._let_old_orphans_end()
        self._under_way[number] = time.monotonic()
        try:
            return self._ask(path, headers, body, method)
        finally:
            self._under_way.pop(number)
            self._orphans.pop(number, None)

    def _let_old_orphans_end(self) -> None:
        latest = time.monotonic() - self.visible_seconds
        self._let_end([number for number, begun in list(self._orphans.items()) if begun <= latest])

    def _let_end(self, numbers: Sequence[int]) -> None:
        while any(number in self._orphans for number in numbers):
            time.sleep(0.05)

    def _ask(self, path: str, headers: dict[str, str], body: bytes, method: str) -> tuple[int, str, bytes]:
        connection = http.client.HTTPConnection(urlsplit(self.upstream).netloc, timeout=_TIMEOUT_SECONDS)
        try:
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        self.calls.append(method)
        return answer.status, answer.headers.get("Content-Type", "application/json"), content


def _look_away(_method: str) -> None:
    """Watch nothing."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: FaultProxy

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        method = json.loads(body)["method"]
        self.proxy.watch(method)
        fault = self.proxy.next_fault(method)
        try:
            if fault is Fault.RESET:
                self.close_connection = True
            elif fault is Fault.LATE:
                self._forward_late(method, body)
            else:
                self._answer(fault, *self._forward(method, body))
        except (OSError, http.client.HTTPException):  # Tryton is dead, or the caller has gone
            self.close_connection = True

    def _forward(self, method: str, body: bytes, number: int | None = None) -> tuple[int, str, bytes]:
        headers = {name: value for name, value in self.headers.items() if name.lower() != "accept-encoding"}
        return self.proxy.forward(self.path, headers, body, method, number)

    def _forward_late(self, method: str, body: bytes) -> None:
        self.close_connection = True
        number = self.proxy.orphan()

        def later() -> None:
            time.sleep(_LATE_SECONDS)
            with suppress(OSError, http.client.HTTPException):
                self._forward(method, body, number)

        threading.Thread(target=later, name="late-call", daemon=True).start()

    def _answer(self, fault: Fault | None, status: int, content_type: str, content: bytes) -> None:
        if fault is Fault.LOST:
            self.close_connection = True
            return
        if fault is Fault.HELD:
            time.sleep(self.proxy.held_seconds)
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if fault is Fault.TORN:
            self.close_connection = True
            content = content[: len(content) // 2]
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def fault_proxy(upstream: str) -> Iterator[FaultProxy]:
    """Run a proxy for ``upstream`` on a free loopback port while the context lasts."""

    class Handler(_Handler):
        pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    Handler.proxy = FaultProxy(f"http://127.0.0.1:{server.server_address[1]}", upstream)
    thread = threading.Thread(target=server.serve_forever, name="fault-proxy", daemon=True)
    thread.start()
    try:
        yield Handler.proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
