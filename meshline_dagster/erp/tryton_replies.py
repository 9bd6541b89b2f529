"""What an answer of Tryton's JSON-RPC means: done, refused, not now, or unknown.

Tryton answers business errors with HTTP 200 and ``"error": [kind, arguments]``. Each call is one transaction, and an error of either
form rolls it back; only what leaves open whether it was committed is unknown.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from meshline_dagster.core.documents import Answer, Outcome
from meshline_dagster.core.errors import AuthError, MeshlineError, RateLimitedError, SourceError, TransientError
from meshline_dagster.erp.http import Response, was_surely_not_sent
from meshline_dagster.erp.tryton_json import decode

__all__ = ["Reply", "no_reply", "read_reply"]

_OK, _BAD, _UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _UNPROCESSABLE, _TOO_MANY = 200, 400, 401, 403, 404, 422, 429
_UNAVAILABLE = 503
_MESSAGE_CHARACTERS = 500
_ROLLED_BACK = re.compile(
    r"deadlock|could not serialize|could not obtain lock|lock timeout|statement timeout", re.IGNORECASE
)
_PERHAPS_COMMITTED = re.compile(r"connection|terminat", re.IGNORECASE)
_UNIQUE = re.compile(r"must be unique", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Reply:
    """What became of one call.

    Attributes:
        outcome: None when it is done; ``REJECTED`` (rolled back), ``RETRY`` (surely not done) or ``UNKNOWN``.
        value: what the method returned.
        message: Tryton's words, or what went wrong on the way.
        is_login_refused: the credentials, or the session, are not accepted.
        retry_after: seconds that Tryton asked us to wait.
        is_locked: it was rolled back because somebody else holds a lock; the same call may go through at once.
    """

    outcome: Outcome | None
    value: Any = None
    message: str = ""
    is_login_refused: bool = False
    retry_after: float | None = None
    is_locked: bool = False

    def says_taken(self, name: str) -> bool:
        """Refused because another record has the same ``name`` (as Tryton calls the field, in lower case)."""
        return self.outcome is Outcome.REJECTED and bool(_UNIQUE.search(self.message)) and name in self.message.lower()

    def as_answer(self, erp_id: str | None = None, *, touched: bool = False) -> Answer:
        """The answer for a document whose call this was.

        Args:
            erp_id: the document's id, when it has one.
            touched: an earlier call did something for the document, so that "not now" may not be said any more.
        """
        outcome = self.outcome or Outcome.UNKNOWN
        if touched and outcome is Outcome.RETRY:
            outcome = Outcome.UNKNOWN
        return Answer(outcome, erp_id=erp_id, message=self.message, retry_after=self.retry_after)

    def as_error(self) -> MeshlineError:
        """The error to raise when the call only asked for something."""
        if self.is_login_refused:
            return AuthError(f"Tryton refuses the log-in: {self.message}; check user and password in the environment")
        if self.outcome is Outcome.REJECTED:
            return SourceError(f"Tryton does not take our question: {self.message}")
        if self.retry_after is not None:
            return RateLimitedError(f"Tryton: {self.message}", retry_after=self.retry_after)
        return TransientError(f"Tryton did not answer as hoped: {self.message}")


def no_reply(error: BaseException) -> Reply:
    """The call got no answer: "not now" when the connection never stood, else unknown."""
    outcome = Outcome.RETRY if was_surely_not_sent(error) else Outcome.UNKNOWN
    return Reply(outcome, message=f"{type(error).__name__}: {error}"[:_MESSAGE_CHARACTERS])


def read_reply(response: Response) -> Reply:
    """Read an answer's status and body."""
    status = response.status_code
    if status == _UNAUTHORIZED:
        return Reply(Outcome.RETRY, message="the session or the password is not accepted", is_login_refused=True)
    if status == _TOO_MANY:
        wait = _seconds(response.headers.get("retry-after", ""))
        return Reply(Outcome.RETRY, message="too many requests or log-ins", retry_after=wait)
    if status in {_BAD, _FORBIDDEN, _NOT_FOUND, _UNPROCESSABLE}:
        return Reply(Outcome.REJECTED, message=f"HTTP {status} {response.reason_phrase}: {_hint(status)}")
    if status == _UNAVAILABLE and _ROLLED_BACK.search(response.content.decode(errors="replace")):
        return Reply(Outcome.RETRY, message="somebody else holds a lock of Tryton's database", is_locked=True)
    if status != _OK:
        return Reply(Outcome.UNKNOWN, message=f"HTTP {status} {response.reason_phrase}")
    return _read_body(response.content)


def _read_body(content: bytes) -> Reply:
    try:
        body = decode(content)
    except ValueError:
        return Reply(Outcome.UNKNOWN, message="the answer is no JSON")
    if isinstance(body, Mapping) and "error" in body:
        return _error(body["error"])
    if isinstance(body, Mapping) and "result" in body:
        return Reply(None, body["result"])
    return Reply(Outcome.UNKNOWN, message="the answer is no JSON-RPC")


def _error(error: Any) -> Reply:
    """``[kind, arguments]`` from Tryton itself, ``[text, traceback]`` from anything below it."""
    kind, arguments = (
        (str(error[0]), error[1] if len(error) > 1 else "") if isinstance(error, list) and error else ("", "")
    )
    parts = arguments if isinstance(arguments, list) else [arguments]
    words = " ".join(str(part) for part in parts if isinstance(part, str) and part)[:_MESSAGE_CHARACTERS]
    if kind in {"UserError", "UserWarning"}:
        return Reply(Outcome.REJECTED, message=words or kind)
    if kind == "ConcurrencyException":
        return Reply(Outcome.RETRY, message="somebody else changed the record at the same time")
    if kind in {"LoginException", "RateLimitException"}:
        return Reply(Outcome.RETRY, message=words or kind, is_login_refused=kind == "LoginException")
    text = kind[:_MESSAGE_CHARACTERS] or "an error without words"
    if _ROLLED_BACK.search(text):
        return Reply(Outcome.RETRY, message=text)
    if _PERHAPS_COMMITTED.search(text):
        return Reply(Outcome.UNKNOWN, message=text)
    return Reply(Outcome.REJECTED, message=f"Tryton failed: {text}")


def _hint(status: int) -> str:
    if status == _NOT_FOUND:
        return "is the database's name right?"
    return "may the user call this method?" if status == _FORBIDDEN else "the server does not understand the call"


def _seconds(text: str) -> float | None:
    try:
        return max(0.0, float(text))
    except ValueError:
        return None
