"""An httpx transport that answers from recorded exchanges, so that a feed is tested on what a real org once said.

The recordings' form: ``{"api": {"get": {path: {"response", "status", "headers", "request"}}}}``. Matching is generous where our
calls differ from the recorded ones: any API version, ``queryAll`` for ``query``, any SOQL on the recorded object. What was
not recorded is answered by 404, never invented; only the token is, since no recording holds one.
"""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import httpx

__all__ = ["RecordedExchanges"]

_VERSION = re.compile(r"^/services/data/v[\d.]+")
_FROM = re.compile(r"\bFROM\s+(\w+)", re.IGNORECASE)
_KEPT_HEADERS = ("content-type", "date", "sforce-limit-info")


class RecordedExchanges(httpx.BaseTransport):
    """Replays files of recorded Salesforce exchanges.

    Args:
        files: the recordings; later files win where two hold the same call.
        describes: object name -> describe answer, for objects whose describe was not recorded.

    Attributes:
        calls: method and path of every request received, in order.
    """

    def __init__(self, files: Iterable[Path], describes: Mapping[str, Any] | None = None) -> None:
        self._answers: dict[tuple[str, str, str], dict[str, Any]] = {}
        self.calls: list[str] = []
        for file in files:
            recorded = json.loads(file.read_text(encoding="utf-8"))
            for method, paths in recorded["api"].items():
                for path, exchange in paths.items():
                    soql = (exchange.get("request", {}).get("params") or {}).get("q", "")
                    self._answers[method.upper(), _normal(path), _object_of(path, soql)] = exchange
        for name, body in (describes or {}).items():
            self._answers["GET", f"/sobjects/{name}/describe", ""] = {"response": body, "status": 200, "headers": {}}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        path = request.url.path
        self.calls.append(f"{request.method} {path}")
        if path.endswith("/oauth2/token"):
            return httpx.Response(200, json={"access_token": "recorded", "token_type": "Bearer"})
        if path.rstrip("/") == "/services/data":
            return httpx.Response(200, json=[], headers=self._any_headers())
        exchange = self._answers.get((request.method, _normal(path), _object_of(path, request.url.params.get("q", ""))))
        if exchange is None:
            return httpx.Response(404, json=[{"errorCode": "NOT_FOUND", "message": f"{path} was not recorded"}])
        return httpx.Response(int(exchange["status"]), json=exchange["response"], headers=_headers(exchange))

    def _any_headers(self) -> dict[str, str]:
        return next((_headers(exchange) for exchange in self._answers.values() if exchange["headers"]), {})


def _normal(path: str) -> str:
    return re.sub(r"^/queryAll", "/query", _VERSION.sub("", path))


def _object_of(path: str, soql: str) -> str:
    """The object of a query; locators and other paths need none to be told apart."""
    found = _FROM.search(soql) if _normal(path) == "/query" else None
    return found[1].lower() if found else ""


def _headers(exchange: Mapping[str, Any]) -> dict[str, str]:
    return {name: value for name, value in exchange["headers"].items() if name.lower() in _KEPT_HEADERS}
