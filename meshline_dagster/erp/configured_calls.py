"""Writing calls of a configured ERP, compiled: from a document's fields to method, address, headers and bytes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from meshline_dagster.core.documents import REVERSE, Document, DocumentKind
from meshline_dagster.erp.configured_bodies import Builder, compile_body
from meshline_dagster.erp.configured_model import DocumentApi, ErpApi
from meshline_dagster.erp.configured_requests import Request
from meshline_dagster.erp.configured_text import Pointer, Template, pointer, template

__all__ = ["Call", "Sent", "compile_calls", "compile_texts", "fields_of", "taken_fields"]

_NAMES = ("company", "external_id", "key")
_OF_ONE = ("id", "revision")
_OPERATIONS = ("create", "amend", "cancel", REVERSE, "confirm", "discard")


@dataclass(frozen=True, slots=True)
class Sent:
    """A request as it goes out."""

    method: str
    path: str
    params: Mapping[str, str] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One writing call.

    Attributes:
        references: fields that name other documents whose ids in the ERP it needs.
        id_at, id_header: where its answer shows the document's id; neither: the answer shows the document.
        takes_revision: it names the document's revision.
        shows: what a change's answer has; None: the document.
    """

    method: str
    path: Template
    query: Mapping[str, Template]
    headers: Mapping[str, Template]
    body: Builder | None
    references: frozenset[str]
    takes_revision: bool = False
    id_at: Pointer | None = None
    id_header: str | None = None
    shows: Pointer | None = None

    def request(self, values: Mapping[str, Any]) -> Sent:
        """Fill everything in. The same values give the same bytes.

        Raises:
            BodyError: the document has something that the body cannot say.
        """
        headers = {name: fill(values) for name, fill in self.headers.items()}
        content = None
        if self.body is not None:
            content = orjson.dumps(self.body(values))
            headers["Content-Type"] = "application/json"
        params = {name: fill(values) for name, fill in self.query.items()} or None
        return Sent(self.method, self.path(values), params, headers, content)


def fields_of(document: Document, company: str) -> dict[str, Any]:
    """What a call may take from a document."""
    return {
        **document.payload,
        "external_id": document.external_id,
        "event_id": document.event_id,
        "key": document.key,
        "company": company,
    }


def compile_calls(kind: DocumentKind, api: DocumentApi, whole: ErpApi) -> dict[str, Call]:
    """The declared calls by their name.

    Raises:
        ValueError: what is wrong, and where.
    """
    calls: dict[str, Call] = {}
    for name in _OPERATIONS:
        request: Request | None = getattr(api, name)
        if request is None:
            continue
        where = f"documents.{kind.value}.{name}"
        calls[name] = _compile(request, kind, whole, where=where, is_new=name == "create")
        if name != "create":
            _check_of_one(request, api, where, ids=("{id}",) if name == REVERSE else ("{id}", "{external_id}"))
    return calls


def _compile(request: Request, kind: DocumentKind, whole: ErpApi, *, where: str, is_new: bool) -> Call:
    names = _NAMES if is_new else (*_NAMES, *_OF_ONE)
    wanted: set[str] = set()
    body: Builder | None = None
    if request.body is not None:
        dates = whole.formats.date
        body = compile_body(request.body, kind, date_format=dates, where=f"{where}.body", wanted=wanted)
    return Call(
        method=request.method,
        path=compile_texts({"path": request.path}, names, where, is_path=True)["path"],
        query=compile_texts(request.query, names, f"{where}.query"),
        headers=compile_texts(request.headers, names, f"{where}.headers"),
        body=body,
        references=frozenset(wanted),
        takes_revision=_takes_revision(request),
        id_at=None if request.id_at is None else pointer(request.id_at),
        id_header=request.id_header,
        shows=None if request.shows is None else pointer(request.shows),
    )


def compile_texts(
    texts: Mapping[str, str], names: tuple[str, ...], where: str, *, is_path: bool = False
) -> dict[str, Template]:
    """Templates of a mapping's values.

    Raises:
        ValueError: with the place of the text that is none.
    """
    made: dict[str, Template] = {}
    for key, text in texts.items():
        try:
            made[key] = template(text, names, is_path=is_path)
        except ValueError as error:
            raise ValueError(f"{where}.{key}: {error}") from error
    return made


def _check_of_one(request: Request, api: DocumentApi, where: str, *, ids: tuple[str, ...]) -> None:
    """It changes one document, so it has to say which: a reversal by the ERP's own id, since others carry the same external id."""
    texts = [request.path, *request.query.values(), *request.headers.values()]
    if not any(name in text for text in texts for name in ids) and "id" not in taken_fields(request.body):
        raise ValueError(f"{where}.path: nothing says which document is meant: write {{id}} into it")
    if _takes_revision(request) and api.shown.revision is None:
        raise ValueError(f"{where}: it takes the revision, and shown.revision does not say where the ERP shows it")


def _takes_revision(request: Request) -> bool:
    texts = [request.path, *request.query.values(), *request.headers.values()]
    return any("{revision}" in text for text in texts) or "revision" in taken_fields(request.body)


def taken_fields(tree: Any) -> set[str]:
    """The fields that a body takes."""
    if isinstance(tree, dict):
        own = {tree["from"]} if isinstance(tree.get("from"), str) else set()
        return own.union(*(taken_fields(one) for one in tree.values()))
    return set[str]().union(*(taken_fields(one) for one in tree)) if isinstance(tree, list) else set()
