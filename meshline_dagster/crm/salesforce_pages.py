"""Cut a Salesforce query answer into its records without parsing them.

Every record begins with its ``attributes`` object. Inside a JSON string a quote is always escaped, so the unescaped
marker occurs nowhere else and plain splitting is safe; the digits of every number stay as they were received.
"""

import json
import re
from dataclasses import dataclass
from datetime import datetime

from meshline_dagster.core.errors import SourceError

__all__ = ["Page", "parse_page"]

_MARKER = '{"attributes":{'
_SPACED_MARKER = re.compile(r'\{\s*"attributes"\s*:\s*\{')
_BETWEEN = ", \t\r\n"
_LOCATOR_ROOT = "/services/data/"


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a query's answer.

    Attributes:
        payloads: each record's JSON text without ``attributes``, in the order received.
        total: how many rows the whole query has.
        next_path: where the next page is, or None on the last.
    """

    payloads: list[str]
    total: int
    next_path: str | None

    def last(self) -> tuple[datetime, str]:
        """Stamp and id of the last record."""
        return _key(self.payloads[-1])

    def ids(self) -> list[str]:
        """The ids of all records, in the order received."""
        return [_key(text)[1] for text in self.payloads]


def parse_page(text: str) -> Page:
    """Cut the answer of ``query`` or ``queryAll``.

    Raises:
        SourceError: it is no query answer. An empty body is an error too: it must not be taken for "no rows".
    """
    try:
        if _MARKER not in text:
            text = _SPACED_MARKER.sub(_MARKER, text)
        head, *pieces = text.split(_MARKER)
        payloads = ["{" + piece[piece.index("}") + 1 :].strip(_BETWEEN) for piece in pieces]
        tail = ""
        if payloads:
            end = json.JSONDecoder().raw_decode(payloads[-1])[1]
            payloads[-1], tail = payloads[-1][:end], payloads[-1][end:]
        envelope = json.loads(head + tail)
        total, done, next_path = envelope["totalSize"], envelope["done"], envelope.get("nextRecordsUrl")
        consistent = envelope["records"] == [] and done == (next_path is None)
    except (ValueError, KeyError, TypeError) as error:
        raise SourceError(f"the answer to a query is no page of records: {text[:200]!r}") from error
    if not consistent:
        raise SourceError(f"a page says done={done} but its nextRecordsUrl is {next_path!r}: {text[:200]!r}")
    if next_path is not None and not next_path.startswith(_LOCATOR_ROOT):
        raise SourceError(f"nextRecordsUrl leaves {_LOCATOR_ROOT}: {next_path!r}; nothing is sent there")
    return Page(payloads, int(total), next_path)


def _key(text: str) -> tuple[datetime, str]:
    try:
        record = json.loads(text)
        return datetime.fromisoformat(record["SystemModstamp"]), record["Id"]
    except (ValueError, KeyError, TypeError) as error:
        raise SourceError(f"a record without Id or SystemModstamp: {text[:200]!r}") from error
