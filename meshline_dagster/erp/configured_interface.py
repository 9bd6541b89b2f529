"""A configured ERP's whole interface, compiled once: what the writer works with."""

from collections.abc import Mapping
from dataclasses import dataclass

from meshline_dagster.core.documents import MASTER_KINDS, REVERSE, DocumentKind
from meshline_dagster.erp.configured_answers import Answers
from meshline_dagster.erp.configured_calls import Call, compile_calls, compile_texts, taken_fields
from meshline_dagster.erp.configured_lists import Lists
from meshline_dagster.erp.configured_model import DocumentApi, ErpApi
from meshline_dagster.erp.configured_requests import ListRequest, Request
from meshline_dagster.erp.configured_text import Pointer, Template, pointer

__all__ = ["Interface", "Kind", "compile_api"]

_OPERATIONS = ("create", "amend", "cancel", REVERSE)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of document.

    Attributes:
        calls: the declared writing calls by name.
        shown_at, id_at: where an answer shows the document, and inside it the id. revision_at: inside a document; None: it has none.
    """

    calls: Mapping[str, Call]
    lists: Lists
    shown_at: Pointer
    id_at: Pointer
    revision_at: Pointer | None


@dataclass(frozen=True, slots=True)
class Interface:
    """Everything that a configuration says about calls and answers.

    Attributes:
        operations: what the ERP can bring about.
        key_header: under which the ERP remembers our key; None: it remembers none.
    """

    kinds: Mapping[DocumentKind, Kind]
    operations: frozenset[tuple[DocumentKind, str]]
    answers: Answers
    headers: Mapping[str, Template]
    company_path: Template
    company_query: Mapping[str, Template]
    company_id: Pointer
    key_header: str | None


def compile_api(api: ErpApi) -> Interface:
    """Check what no single part of a configuration can check, and compile all of it.

    Raises:
        ValueError: what is wrong, where, and what to write instead.
    """
    _check_company(api)
    kinds = {kind: _kind(kind, one, api) for kind, one in api.documents.items()}
    names = ("company",)
    return Interface(
        kinds=kinds,
        operations=frozenset((kind, how) for kind, one in kinds.items() for how in _OPERATIONS if how in one.calls),
        answers=Answers(api.answers),
        headers=compile_texts(api.headers, names, "headers"),
        company_path=compile_texts({"path": api.company.path}, names, "company", is_path=True)["path"],
        company_query=compile_texts(api.company.query, names, "company.query"),
        company_id=pointer(api.company.id),
        key_header=api.capabilities.idempotency_key_header,
    )


def _kind(kind: DocumentKind, api: DocumentApi, whole: ErpApi) -> Kind:
    revision = api.shown.revision
    return Kind(
        calls=compile_calls(kind, api, whole),
        lists=Lists(kind, api, whole),
        shown_at=pointer(api.shown_at),
        id_at=pointer(api.shown.id),
        revision_at=None if revision is None else pointer(revision),
    )


def _check_company(api: ErpApi) -> None:
    """An ERP that holds several companies has to be told which one, in every call that does not go by a document's id."""
    several = _names_company(api.company.path, *api.company.query.values())
    if not several or _names_company(*api.headers.values()):
        return
    for kind, one in api.documents.items():
        calls: dict[str, Request | ListRequest] = {"create": one.create, "find": one.find, "read": one.read}
        for name, call in calls.items():
            texts = [call.path, *call.query.values(), *call.headers.values()]
            in_body = isinstance(call, Request) and "company" in taken_fields(call.body)
            if kind not in MASTER_KINDS and not in_body and not _names_company(*texts):
                raise ValueError(
                    f"documents.{kind.value}.{name}: it does not say for which company, and `company` shows that the ERP has several: write "
                    "{company} into its path, query or headers"
                    + (", or {from: company} into its body" if name == "create" else "")
                )


def _names_company(*texts: str) -> bool:
    return any("{company}" in text for text in texts)
