"""The calls of a configured ERP in words: writing ones, lists, and what shows one document."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from meshline_dagster.erp.configured_text import pointer

__all__ = ["ApiModel", "Detail", "Find", "ListRequest", "Paging", "PathText", "PointerText", "Read", "Request"]

Method = Literal["POST", "PUT", "PATCH", "DELETE"]


def _checked(text: str) -> str:
    pointer(text)
    return text


def _path(text: str) -> str:
    if not text.startswith("/") or "?" in text or "#" in text:
        raise ValueError("a path starts with a slash below base_url, and its query stands under `query`")
    return text


PointerText = Annotated[str, AfterValidator(_checked)]
PathText = Annotated[str, AfterValidator(_path)]


class ApiModel(BaseModel):
    """What all parts of a configuration have in common: nothing unread, and numbers are as good as texts."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)


class Request(ApiModel):
    """One call. Path, query and headers may have ``{names}`` in them; the page on configured ERPs says which.

    Attributes:
        body: a tree of JSON; see :mod:`~meshline_dagster.erp.configured_bodies`.
        id_at: where the answer shows the document's id; ``id_header`` instead: a header whose last path segment it is. Without both, the
            answer shows the document itself, under ``shown_at``.
        shows: what the answer of a change must have to count, where it does not show the document itself.
    """

    method: Method = "POST"
    path: PathText
    query: dict[str, str] = Field(default_factory=dict)
    headers: dict[str, str] = Field(default_factory=dict)
    body: Any = None
    id_at: PointerText | None = None
    id_header: str | None = None
    shows: PointerText | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.id_at is not None and self.id_header is not None:
            raise ValueError("id_at and id_header exclude each other: the id stands in one place")
        return self


class Paging(ApiModel):
    """How the next page is asked for.

    Attributes:
        type: ``single``: there is none. ``cursor``: the value at ``at`` goes into the query as ``parameter``. ``next_link``: the address at
            ``at``. ``offset``: the number of rows to leave out goes into the query as ``parameter``.
        page_size: rows on a full page; the request says so itself, with ``{page_size}``. Of ``single`` it may also be the ERP's own limit.
    """

    type: Literal["single", "cursor", "next_link", "offset"] = "single"
    at: PointerText | None = None
    parameter: str | None = None
    page_size: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        needs = {
            "single": set(),
            "cursor": {"at", "parameter"},
            "next_link": {"at"},
            "offset": {"parameter", "page_size"},
        }[self.type]
        has = {name for name in ("at", "parameter", "page_size") if getattr(self, name) is not None}
        if not needs <= has:
            raise ValueError(f"paging of type {self.type} needs {', '.join(sorted(needs - has))}")
        unread = has - needs - {"page_size"}
        if unread:
            raise ValueError(f"paging of type {self.type} reads no {', '.join(sorted(unread))}")
        return self


class ListRequest(ApiModel):
    """A call that answers a list of documents.

    Attributes:
        rows: where the list stands in the answer.
    """

    method: Literal["GET", "POST"] = "GET"
    path: PathText
    query: dict[str, str] = Field(default_factory=dict)
    headers: dict[str, str] = Field(default_factory=dict)
    rows: PointerText
    paging: Paging = Paging()


class Find(ListRequest):
    """The list of the documents with some external ids.

    Attributes:
        at_once: how many ids one call may name.
        each: how one id is written; ``join`` stands between two. Together they are ``{external_ids}``.
        escape: how an id is written inside: ``json`` as in a JSON text, ``doubled_quotes`` as in SQL and OData, ``plain`` refuses what would
            need it.
        body: sent as it stands; ``{from: external_ids}`` in it is the list of ids.
    """

    at_once: int = Field(50, ge=1)
    each: str = "{external_id}"
    join: str = ","
    escape: Literal["json", "doubled_quotes", "plain"] = "plain"
    body: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _names_the_ids(self) -> Self:
        texts = [self.path, *self.query.values()]
        if self.body is not None and {"from": "external_ids"} not in self.body.values():
            raise ValueError("body: a look-up says which documents it wants: {from: external_ids} is missing")
        if self.body is None and not any("{external_ids}" in text for text in texts):
            raise ValueError("a look-up says which documents it wants: {external_ids} is missing in path and query")
        if self.body is not None and self.method == "GET":
            raise ValueError("a GET has no body: set method to POST, or write {external_ids} into the query")
        if "{external_id}" not in self.each:
            raise ValueError("each: how one id is written has {external_id} in it")
        return self


class Read(ListRequest):
    """The list of what changed at or after ``{since}``, oldest first."""

    @model_validator(mode="after")
    def _says_since(self) -> Self:
        if not any("{since}" in text for text in self.query.values()):
            raise ValueError(
                "query: nothing says from when on; write {since} into the ERP's filter on the time of change"
            )
        return self


class Detail(ApiModel):
    """The call that shows one document whole, for an ERP whose lists do not.

    Attributes:
        at: where the document stands in the answer.
    """

    path: PathText
    query: dict[str, str] = Field(default_factory=dict)
    at: PointerText = ""
