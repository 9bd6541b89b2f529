"""What a configured ERP's answers mean.

Only an answer that the configuration lists settles a request; every other one is unknown, and the engine looks it up. So is a page
that is no JSON, whatever its status: a log-in page, or one of a proxy in between, is no word of the ERP.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from meshline_dagster.core.errors import AuthError, MeshlineError, SourceError, TransientError
from meshline_dagster.core.text import kept_text
from meshline_dagster.erp.configured_documents import as_text, decode
from meshline_dagster.erp.configured_model import AnswerRule, AnswersApi
from meshline_dagster.erp.configured_text import Pointer, pointer
from meshline_dagster.erp.http import Response
from meshline_dagster.erp.rest_answers import retry_after

__all__ = ["Answers", "Reply", "as_error"]

_MESSAGE_CHARACTERS = 500
_CREDENTIALS = frozenset({401, 403})
_NO_CONTENT = 204
_WORDS_OF_THE_ERP = frozenset({"done", "exists", "rejected"})


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, understood.

    Attributes:
        means: ``done``, ``exists``, ``rejected``, ``retry``, ``unknown`` or ``credentials``.
        message: the ERP's own words. field: ours, or the ERP's where no name of ours is known for it.
        is_blank: the answer has no body.
    """

    means: str
    body: Any
    headers: Mapping[str, str]
    status: int
    message: str
    field: str | None = None
    retry_after: float | None = None
    is_blank: bool = False

    @property
    def is_no_content(self) -> bool:
        """Empty, and says so: the one way to confirm without showing anything."""
        return self.is_blank and self.status == _NO_CONTENT

    @property
    def raw(self) -> dict[str, Any]:
        """A small excerpt for the attempt's record."""
        return {"status": self.status} | ({"message": self.message} if self.means != "done" else {})


class Answers:
    """Understands answers as a configuration has it."""

    def __init__(self, api: AnswersApi) -> None:
        lists = {"done": api.done, "exists": api.exists, "rejected": api.rejected, "retry": api.retry}
        self._means = {status: means for means, statuses in lists.items() for status in statuses}
        self._means |= dict.fromkeys(_CREDENTIALS, "credentials")
        self._rules = [(frozenset(rule.status), _matcher(rule), rule) for rule in api.rules]
        self._message = [pointer(place) for place in api.message]
        self._field = [pointer(place) for place in api.field]
        self._fields = api.fields

    def understand(self, response: Response) -> Reply:
        """One answer."""
        body, status = decode(response.content), response.status_code
        is_blank = not response.content.strip()
        means, field = self._means.get(status, "unknown"), None
        for statuses, matches, rule in self._rules:
            if status in statuses and matches(body):
                means, field = rule.means, rule.field
                break
        if means in _WORDS_OF_THE_ERP and body is None and not is_blank:
            text = f"HTTP {status} with a page that is no JSON, as of a log-in or a proxy; check base_url"
            return Reply("unknown", None, response.headers, status, text)
        if means == "done":
            return Reply(means, body, response.headers, status, "", is_blank=is_blank)
        words = _first(self._message, body) or f"HTTP {status} {response.reason_phrase}".strip()
        named = _first(self._field, body)
        field = field or (None if named is None else self._fields.get(named, named))
        wait = retry_after(response) if means == "retry" else None
        return Reply(means, body, response.headers, status, kept_text(words, _MESSAGE_CHARACTERS), field, wait)


def as_error(reply: Reply, what: str) -> MeshlineError | None:
    """What the answer to a question raises, if anything.

    Args:
        what: the question, for the message.
    """
    if reply.means == "done":
        return None
    if reply.means == "credentials":
        return AuthError(f"the ERP refuses our credentials: {reply.message}; check the secret in the environment")
    if reply.means in {"rejected", "exists"}:
        return SourceError(f"the ERP does not take our question {what}: {reply.message}")
    return TransientError(f"the ERP did not answer {what} as hoped: {reply.message}")


def _matcher(rule: AnswerRule) -> Callable[[Any], bool]:
    find = pointer(rule.at)
    if rule.equals is not None:
        return lambda body: as_text(find(body)) == rule.equals
    if rule.contains is not None:
        text = rule.contains
        return lambda body: text in (as_text(find(body)) or "")
    return lambda body: bool(find(body))


def _first(places: list[Pointer], body: Any) -> str | None:
    return next((text for find in places if (text := as_text(find(body)))), None)
