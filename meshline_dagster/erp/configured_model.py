"""An ERP's REST interface in words: what a configuration has to say, checked when it is read.

Nothing is guessed: a name that nobody reads, a placeholder that nothing fills, and a capability that nothing would honour are refused,
with their place in the YAML.
"""

from datetime import datetime
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from meshline_dagster.core.documents import ACCOUNTING_KINDS, DocumentKind
from meshline_dagster.erp.configured_bodies import keyed
from meshline_dagster.erp.configured_text import pointer

__all__ = [
    "AnswerRule",
    "AnswersApi",
    "Detail",
    "DocumentApi",
    "ErpApi",
    "Find",
    "Formats",
    "ListRequest",
    "Paging",
    "Read",
    "Request",
    "Shown",
    "ShownLines",
    "Status",
]

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
Means = Literal["exists", "rejected", "retry", "unknown"]


def _checked(text: str) -> str:
    pointer(text)
    return text


def _path(text: str) -> str:
    if not text.startswith("/") or "?" in text or "#" in text:
        raise ValueError("a path starts with a slash below base_url, and its query stands under `query`")
    return text


PointerText = Annotated[str, AfterValidator(_checked)]
PathText = Annotated[str, AfterValidator(_path)]


class _Api(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)


class Request(_Api):
    """One call. Path, query and headers may have ``{names}`` in them; the page on configured ERPs says which.

    Attributes:
        body: a tree of JSON; see :mod:`~meshline_dagster.erp.configured_bodies`.
        id_at: where the answer shows the document's id; ``id_header`` instead: a header whose last path segment it is. Without both, the
            answer shows the document itself, under ``shown_at``.
    """

    method: Method = "POST"
    path: PathText
    query: dict[str, str] = {}
    headers: dict[str, str] = {}
    body: Any = None
    id_at: PointerText | None = None
    id_header: str | None = None


class Paging(_Api):
    """How the next page is asked for.

    Attributes:
        type: ``single``: there is none. ``cursor``: the value at ``at`` goes into the query as ``parameter``. ``next_link``: the address at
            ``at``. ``offset``: the number of rows to leave out goes into the query as ``parameter``.
        page_size: rows on a full page; the request says so itself, with ``{page_size}``.
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


class ListRequest(_Api):
    """A call that answers a list of documents.

    Attributes:
        rows: where the list stands in the answer.
    """

    method: Literal["GET", "POST"] = "GET"
    path: PathText
    query: dict[str, str] = {}
    headers: dict[str, str] = {}
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


class Detail(_Api):
    """The call that shows one document whole, for an ERP whose lists do not.

    Attributes:
        at: where the document stands in the answer.
    """

    path: PathText
    query: dict[str, str] = {}
    at: PointerText = ""


class Status(_Api):
    """Where the status stands, and what its values mean here: ``open``, ``partial`` (a draft) or ``cancelled``."""

    at: PointerText
    map: Annotated[dict[str, Literal["open", "partial", "cancelled"]], BeforeValidator(keyed)]


class ShownLines(_Api):
    """Where the lines stand, and inside a line its numbers."""

    at: PointerText
    sku: PointerText
    quantity: PointerText
    unit_price: PointerText
    amount: PointerText


class Shown(_Api):
    """Where a document that the ERP shows has what we compare; every place is a JSON pointer.

    Attributes:
        stamp: when it last changed. amount: ex tax. revision: what ``If-Match`` wants, e.g. an ETag.
        customer, order, invoice: external ids of ours, where the ERP shows these; leave them out where it shows ids of its own.
    """

    id: PointerText
    external_id: PointerText
    stamp: PointerText
    number: PointerText | None = None
    status: Status | None = None
    event_id: PointerText | None = None
    customer: PointerText | None = None
    currency: PointerText | None = None
    amount: PointerText | None = None
    document_date: PointerText | None = None
    lines: ShownLines | None = None
    order: PointerText | None = None
    invoice: PointerText | None = None
    revision: PointerText | None = None


class DocumentApi(_Api):
    """How documents of one kind are written and read. What is not declared, the writer cannot do, and says so.

    Attributes:
        create: makes one. amend: gives it another content. cancel: takes it back.
        confirm: makes a draft count, where the ERP creates drafts. discard: removes a draft whose confirmation was refused.
        detail: shows one whole, where lists do not.
        shown_at: where the document stands in the answer to ``create`` and ``amend``.
    """

    create: Request
    amend: Request | None = None
    cancel: Request | None = None
    confirm: Request | None = None
    discard: Request | None = None
    find: Find
    read: Read
    detail: Detail | None = None
    shown: Shown
    shown_at: PointerText = ""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        statuses = set(self.shown.status.map.values()) if self.shown.status else {"open"}
        if "open" not in statuses:
            raise ValueError("shown.status.map: no value means open, so that nothing would ever be done")
        if self.confirm and "partial" not in statuses:
            raise ValueError("confirm: say in shown.status.map which status a draft has: partial")
        if self.discard and not self.confirm:
            raise ValueError("discard: only a draft is removed, so there is nothing to remove without confirm")
        if self.cancel and "cancelled" not in statuses:
            raise ValueError("cancel: say in shown.status.map which status is cancelled")
        return self


class AnswerRule(_Api):
    """What an answer means when its status is one of these, and the value at ``at`` is there, or is or contains a text.

    Attributes:
        field: which of our fields the refusal is about.
    """

    status: tuple[int, ...]
    at: PointerText
    equals: str | None = None
    contains: str | None = None
    means: Means
    field: str | None = None


class AnswersApi(_Api):
    """What statuses and bodies mean. Rules come first, in their order; then the lists; every other status is unknown, and looked up.

    Attributes:
        message, field: where the ERP's own words stand, and the field that it names; the first place that has something.
        fields: the ERP's names for our fields.
    """

    done: tuple[int, ...] = (200, 201, 204)
    exists: tuple[int, ...] = ()
    rejected: tuple[int, ...] = (400, 404, 405, 410, 413, 415, 422)
    retry: tuple[int, ...] = (412, 423, 429, 503)
    rules: tuple[AnswerRule, ...] = ()
    message: tuple[PointerText, ...] = ()
    field: tuple[PointerText, ...] = ()
    fields: dict[str, str] = {}

    @model_validator(mode="after")
    def _one_meaning_each(self) -> Self:
        listed = [*self.done, *self.exists, *self.rejected, *self.retry]
        twice = sorted({status for status in listed if listed.count(status) > 1})
        if twice:
            raise ValueError(
                f"the status {twice[0]} has two meanings; leave it in one of done, exists, rejected and retry"
            )
        if {401, 403} & set(listed):
            raise ValueError(
                "401 and 403 always mean that our credentials are refused; use a rule for what else they say"
            )
        return self


class CompanyApi(_Api):
    """The call that tells which company is posted to; its answer is compared with the pinned one before anything is sent."""

    path: PathText
    query: dict[str, str] = {}
    id: PointerText


class Formats(_Api):
    """How the ERP writes days and instants: ``iso``, or as Python's ``strftime`` has it. time_zone: of instants that do not say theirs."""

    date: str = "%Y-%m-%d"
    stamp: str = "iso"
    time_zone: str = "UTC"

    @field_validator("time_zone")
    @classmethod
    def _zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError(f"there is no time zone {name!r}; they are named like Europe/Berlin") from error
        return name

    @field_validator("stamp")
    @classmethod
    def _precise(cls, text: str) -> str:
        if text != "iso" and any(part not in datetime(2017, 4, 1).strftime(text) for part in ("17", "04", "01")):  # noqa: DTZ001 - only its parts
            raise ValueError(
                "write `iso`, or year, month, day and time as strftime has them, e.g. %Y-%m-%d %H:%M:%S.%f"
            )
        return text


class CapabilitiesApi(_Api):
    """What the ERP guarantees; say only what its maker says.

    Attributes:
        idempotency_key_header: the header under which the ERP remembers our key and repeats its first answer; none: it does not.
        unique_external_id: the ERP refuses a second document with one external id, also of two requests at once.
        settle_after: seconds after a request's start until when the ERP may still do it.
        request_timeout: seconds until a request without an answer is unknown.
    """

    idempotency_key_header: str | None = None
    unique_external_id: bool
    max_in_flight: int = Field(8, ge=1, le=256)
    request_timeout: float = Field(30.0, gt=0)
    settle_after: float = Field(ge=0)


class ErpApi(_Api):
    """The whole interface.

    Attributes:
        headers: sent with every request; they may have ``{company}`` in them.
    """

    headers: dict[str, str] = {}
    capabilities: CapabilitiesApi
    company: CompanyApi
    formats: Formats = Formats()
    answers: AnswersApi = AnswersApi()
    documents: dict[DocumentKind, DocumentApi]

    @model_validator(mode="after")
    def _complete(self) -> Self:
        missing = [
            kind.value for kind in (DocumentKind.CUSTOMER, DocumentKind.SALES_ORDER) if kind not in self.documents
        ]
        if missing:
            raise ValueError(f"documents: {' and '.join(missing)} must be declared; nothing can be posted without")
        for kind, api in self.documents.items():
            _check_kind(kind, api)
        can_tell = self.answers.exists or any(rule.means == "exists" for rule in self.answers.rules)
        if self.capabilities.unique_external_id and not can_tell:
            raise ValueError(
                "capabilities.unique_external_id: say how the ERP answers when an external id is taken: answers.exists or a rule that "
                "means exists"
            )
        return self


def _check_kind(kind: DocumentKind, api: DocumentApi) -> None:
    where = f"documents.{kind.value}"
    if kind in ACCOUNTING_KINDS and (api.amend or api.cancel):
        raise ValueError(f"{where}: what is in the books is never changed; leave amend and cancel out")
    if kind is DocumentKind.CUSTOMER and api.cancel:
        raise ValueError(f"{where}.cancel: no customer is ever cancelled; leave it out")
    needed = () if kind is DocumentKind.CUSTOMER else ("number", "currency", "amount", "lines")
    missing = [name for name in needed if getattr(api.shown, name) is None]
    if missing:
        raise ValueError(
            f"{where}.shown: {', '.join(missing)} must be there, to compare what the ERP holds with what was meant"
        )
    if kind is DocumentKind.SALES_ORDER and api.shown.status is None and api.cancel is not None:
        raise ValueError(f"{where}.shown.status: it must be there, to tell a cancelled order from an open one")
