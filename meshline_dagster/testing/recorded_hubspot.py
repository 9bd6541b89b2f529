"""An httpx transport that answers from recorded HubSpot exchanges, so that the feed is tested on what a real portal once said.

The recordings' form is that of :mod:`meshline_dagster.testing.recorded`. A path is answered whatever its parameters are, but only once a page:
a search that goes on behind an id, and a list that goes on behind a cursor, were not recorded. What was not recorded is answered by 404,
never invented, unless the test gives it.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import httpx

__all__ = ["RecordedHubSpot"]

_BEHIND = '"GT"'
_KEPT_HEADERS = ("content-type", "date")


class RecordedHubSpot(httpx.BaseTransport):
    """Replays files of recorded HubSpot exchanges.

    Args:
        files: the recordings; later files win where two hold the same call.
        given: path -> answer, for what was not recorded.

    Attributes:
        calls: method and path of every request received, in order.
    """

    def __init__(self, files: Iterable[Path], given: Mapping[str, Any] | None = None) -> None:
        self._answers: dict[tuple[str, str], dict[str, Any]] = {}
        self._given = dict(given or {})
        self.calls: list[str] = []
        for file in files:
            recorded = json.loads(file.read_text(encoding="utf-8"))
            for method, paths in recorded["api"].items():
                self._answers |= {(method.upper(), path): exchange for path, exchange in paths.items()}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        path = request.url.path
        self.calls.append(f"{request.method} {path}")
        if path in self._given:
            return httpx.Response(200, json=self._given[path])
        exchange = self._answers.get((request.method, path))
        goes_on = "after" in request.url.params or _BEHIND in request.read().decode()
        if exchange is None or goes_on:
            return httpx.Response(404, json={"status": "error", "message": f"{path} was not recorded"})
        headers = {name: value for name, value in exchange["headers"].items() if name.lower() in _KEPT_HEADERS}
        return httpx.Response(int(exchange["status"]), json=exchange["response"], headers=headers)
