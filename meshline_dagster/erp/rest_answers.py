"""What the REST ERP's answers mean.

Only an answer that says so settles a request: what neither confirms nor refuses is unknown, and the engine looks it up.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import orjson

from meshline_dagster.core.documents import Answer, Document, DocumentKind, ErpDocument, Outcome
from meshline_dagster.core.errors import AuthError, MeshlineError, SourceError, TransientError
from meshline_dagster.core.settle import difference
from meshline_dagster.core.text import kept_text
from meshline_dagster.erp.http import Response, was_surely_not_sent
from meshline_dagster.erp.rest_documents import from_json

__all__ = ["as_answer", "as_error", "is_done", "no_answer", "read_json", "retry_after"]

_MESSAGE_CHARACTERS = 500
_SHAPE_ERRORS = (KeyError, TypeError, ValueError, ArithmeticError, AttributeError)

_CREATED, _OK, _UNAUTHORIZED, _FORBIDDEN, _TIMED_OUT, _CONFLICT = 201, 200, 401, 403, 408, 409
_TOO_MANY = 429
_CLIENT_ERRORS = range(400, 500)


def as_answer(document: Document, response: Response) -> Answer:
    """The outcome of one document's request.

    Refused credentials are "not now": they concern every request, and the order itself is fine. A 503 is unknown: a proxy in between
    sends it also when the ERP is at work on the request.
    """
    status, body = response.status_code, read_json(response)
    raw = {"status": status, **_excerpt(body)}
    message, field = _words(response, body)
    if status in {_CREATED, _OK}:
        return _confirmed(response, body, raw)
    if status == _CONFLICT:
        return _exists(document, body, message, raw)
    if status in {_UNAUTHORIZED, _FORBIDDEN}:
        return Answer(Outcome.RETRY, message=f"the ERP refuses our credentials: {message}", raw=raw)
    if status == _TOO_MANY:
        return Answer(Outcome.RETRY, message=message, retry_after=retry_after(response), raw=raw)
    if status in _CLIENT_ERRORS and status != _TIMED_OUT:
        return Answer(Outcome.REJECTED, message=message, field=field, raw=raw)
    return Answer(Outcome.UNKNOWN, message=message, raw=raw)


def no_answer(error: BaseException) -> Answer:
    """The outcome of a request that got no answer: "not now" when the connection never stood, else unknown."""
    outcome = Outcome.RETRY if was_surely_not_sent(error) else Outcome.UNKNOWN
    return Answer(outcome, message=f"{type(error).__name__}: {error}"[:_MESSAGE_CHARACTERS])


def as_error(response: Response) -> MeshlineError | None:
    """What a reading request's answer raises, if anything."""
    status = response.status_code
    if status == _OK:
        return None
    message, _ = _words(response, read_json(response))
    if status in {_UNAUTHORIZED, _FORBIDDEN}:
        return AuthError(f"the ERP refuses our credentials: {message}; check the token in the environment")
    if status in {_TIMED_OUT, _TOO_MANY} or status not in _CLIENT_ERRORS:
        return TransientError(f"the ERP did not answer as hoped: {message}")
    return SourceError(f"the ERP does not take our question: {message}")


def read_json(response: Response) -> Mapping[str, Any]:
    """The answer's object; empty when it is none, as from a proxy in between."""
    try:
        body = orjson.loads(response.content)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def is_done(document: Document, have: ErpDocument) -> bool:
    """An order that carries the event and its content already, as after a lost answer."""
    return (
        document.kind is DocumentKind.SALES_ORDER
        and have.event_id == document.event_id
        and difference(document.kind, document.payload, have) is None
    )


def _confirmed(response: Response, body: Mapping[str, Any], raw: Mapping[str, Any]) -> Answer:
    if not body.get("id"):
        return Answer(Outcome.UNKNOWN, message="the ERP confirms a document without an id", raw=raw)
    outcome = Outcome.CREATED if response.status_code == _CREATED else Outcome.UPDATED
    if response.headers.get("idempotency-replayed") == "true":
        outcome = Outcome.EXISTS
    return Answer(outcome, erp_id=str(body["id"]), raw=raw)


def _exists(document: Document, body: Mapping[str, Any], message: str, raw: Mapping[str, Any]) -> Answer:
    """The external id is taken: by the same content, or by another that a person has to look at."""
    if not body.get("id"):
        return Answer(Outcome.UNKNOWN, message=message, raw=raw)
    erp_id = str(body["id"])
    try:
        field = difference(document.kind, document.payload, from_json(document.kind, body["existing"]))
    except _SHAPE_ERRORS:
        return Answer(Outcome.UNKNOWN, erp_id=erp_id, message=message, raw=raw)
    if field is not None:
        return Answer(Outcome.EXISTS_DIFFERENT, erp_id=erp_id, message=message, field=field, raw=raw)
    return Answer(Outcome.EXISTS, erp_id=erp_id, message=message, raw=raw)


def _words(response: Response, body: Mapping[str, Any]) -> tuple[str, str | None]:
    """The ERP's own words and the field it names."""
    error = body.get("error")
    fallback = f"HTTP {response.status_code} {response.reason_phrase}".strip()
    if not isinstance(error, dict):
        return fallback, None
    message = kept_text(str(error.get("message") or fallback), _MESSAGE_CHARACTERS)
    field = error.get("field")
    return message, None if field is None else str(field)


def _excerpt(body: Mapping[str, Any]) -> dict[str, Any]:
    return {key: body[key] for key in ("id", "number", "updated_at", "error") if key in body}


def retry_after(response: Response) -> float | None:
    """Seconds from a Retry-After header in either of its forms (RFC 9110, 10.2.3)."""
    text = response.headers.get("retry-after", "")
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    wait: timedelta = moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)
    return max(0.0, wait.total_seconds())
