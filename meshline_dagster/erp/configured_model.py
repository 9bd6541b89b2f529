"""An ERP's REST interface in words: what a configuration has to say, checked when it is read.

Nothing is guessed: a name that nobody reads, a placeholder that nothing fills, and a capability that nothing would honour are refused,
with their place in the YAML.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field, field_validator, model_validator

from meshline_dagster.core.documents import BOOKED_KINDS, MASTER_KINDS, DocumentKind
from meshline_dagster.erp.configured_bodies import keyed
from meshline_dagster.erp.configured_requests import ApiModel, Detail, Find, PathText, PointerText, Read, Request

__all__ = ["AnswerRule", "AnswersApi", "DocumentApi", "ErpApi", "Formats", "Shown", "ShownLines", "Status"]

_OPEN_END = frozenset({408, 500, 502, 504})
"""Statuses after which nobody knows whether the ERP has acted."""

Means = Literal["exists", "rejected", "retry", "unknown"]


class Status(ApiModel):
    """Where the status stands, and what its values mean here: ``open``, ``partial`` (a draft) or ``cancelled``."""

    at: PointerText
    map: Annotated[dict[str, Literal["open", "partial", "cancelled"]], BeforeValidator(keyed)]


class ShownLines(ApiModel):
    """Where the lines stand, and inside a line its numbers."""

    at: PointerText
    sku: PointerText
    quantity: PointerText
    unit_price: PointerText
    amount: PointerText


class Shown(ApiModel):
    """Where a document that the ERP shows has what we compare; every place is a JSON pointer.

    Attributes:
        stamp: when it last changed. amount: ex tax. revision: what ``If-Match`` wants, e.g. an ETag.
        po_number, order_date: of a sales order, for an ERP in which an amendment overwrites them: what somebody else changed is then not
            overwritten unseen.
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
    po_number: PointerText | None = None
    order_date: PointerText | None = None
    lines: ShownLines | None = None
    order: PointerText | None = None
    invoice: PointerText | None = None
    revision: PointerText | None = None


class DocumentApi(ApiModel):
    """How documents of one kind are written and read. What is not declared, the writer cannot do, and says so.

    Attributes:
        create: makes one. amend: gives it another content. cancel: takes it back.
        reverse: cancels the one with an id of the ERP's, of several orders that carry one external id; what came of it, ``show`` tells.
        confirm: makes a draft count, where the ERP creates drafts. discard: removes a draft whose confirmation was refused.
        detail: shows one whole, where lists do not.
        show: shows the one with an id, where ``detail`` is not there to do so.
        shown_at: where the document stands in the answer to a writing call.
    """

    create: Request
    amend: Request | None = None
    cancel: Request | None = None
    reverse: Request | None = None
    confirm: Request | None = None
    discard: Request | None = None
    find: Find
    read: Read
    detail: Detail | None = None
    show: Detail | None = None
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
        self._check_reversal(statuses)
        if self.create.shows is not None:
            raise ValueError(
                "create: its answer shows the document's id, and that is what counts; only the others have shows"
            )
        for name in ("amend", "cancel", "reverse", "confirm", "discard"):
            request: Request | None = getattr(self, name)
            if request is not None and (request.id_at or request.id_header):
                raise ValueError(f"{name}: the document's id is known by then; only create has id_at or id_header")
        return self

    def _check_reversal(self, statuses: Collection[str]) -> None:
        if self.show and self.detail:
            raise ValueError("show: detail shows one document already; leave show out")
        if self.show and not self.reverse:
            raise ValueError("show: only what is reversed is looked up by its id; leave show out without reverse")
        if self.reverse is None:
            return
        if self.show is None and self.detail is None:
            raise ValueError(
                "reverse: say how one document is shown by its id, to see what came of it: show, or detail"
            )
        if "cancelled" not in statuses:
            raise ValueError("reverse: say in shown.status.map which status is cancelled")


class AnswerRule(ApiModel):
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

    @model_validator(mode="after")
    def _one_condition(self) -> Self:
        if self.equals is not None and self.contains is not None:
            raise ValueError("equals and contains exclude each other; write two rules")
        return self


class AnswersApi(ApiModel):
    """What statuses and bodies mean. Rules come first, in their order; then the lists; every other status is unknown, and looked up.

    Attributes:
        retry: after which the ERP has surely done nothing. A 503 seldom says so: a proxy sends it also while the ERP is at work.
        message, field: where the ERP's own words stand, and the field that it names; the first place that has something.
        fields: the ERP's names for our fields.
    """

    done: tuple[int, ...] = (200, 201, 204)
    exists: tuple[int, ...] = ()
    rejected: tuple[int, ...] = (400, 404, 405, 410, 413, 415, 422)
    retry: tuple[int, ...] = (429,)
    rules: tuple[AnswerRule, ...] = ()
    message: tuple[PointerText, ...] = ()
    field: tuple[PointerText, ...] = ()
    fields: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_meaning_each(self) -> Self:
        listed = [*self.done, *self.exists, *self.rejected, *self.retry]
        twice = sorted({status for status in listed if listed.count(status) > 1})
        if twice:
            raise ValueError(
                f"the status {twice[0]} has two meanings; leave it in one of done, exists, rejected and retry"
            )
        if any(status not in range(200, 300) for status in self.done):
            raise ValueError("done: only a status from 200 to 299 can say that the ERP has done it")
        unsure = sorted(_OPEN_END & {*self.exists, *self.rejected, *self.retry})
        if unsure:
            raise ValueError(
                f"after the status {unsure[0]} nobody knows whether the ERP has acted, so it is looked up; where a body tells more, write a "
                "rule for it"
            )
        if {401, 403} & set(listed):
            raise ValueError(
                "401 and 403 always mean that our credentials are refused; use a rule for what else they say"
            )
        return self


class CompanyApi(ApiModel):
    """The call that tells which company is posted to; its answer is compared with the pinned one before anything is sent."""

    path: PathText
    query: dict[str, str] = Field(default_factory=dict)
    id: PointerText


class Formats(ApiModel):
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


class CapabilitiesApi(ApiModel):
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


class ErpApi(ApiModel):
    """The whole interface.

    Attributes:
        headers: sent with every request; they may have ``{company}`` in them.
    """

    headers: dict[str, str] = Field(default_factory=dict)
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
    if kind in BOOKED_KINDS and (api.amend or api.cancel):
        raise ValueError(f"{where}: what is in the books is never changed; leave amend and cancel out")
    if kind in MASTER_KINDS and api.cancel:
        raise ValueError(f"{where}.cancel: no {kind.value} is ever cancelled; leave it out")
    if kind in MASTER_KINDS - {DocumentKind.CUSTOMER} and api.amend:
        raise ValueError(f"{where}.amend: what is there belongs to the ERP's users and is never changed; leave it out")
    if kind is not DocumentKind.SALES_ORDER and api.reverse:
        raise ValueError(
            f"{where}.reverse: only orders are reversed by their id; the books' own ways are a person's; leave it out"
        )
    needed: tuple[str, ...] = () if kind in MASTER_KINDS else ("number", "currency", "amount", "lines")
    if kind is DocumentKind.PAYMENT:
        needed = ("currency", "amount")
    missing = [name for name in needed if getattr(api.shown, name) is None]
    if missing:
        raise ValueError(
            f"{where}.shown: {', '.join(missing)} must be there, to compare what the ERP holds with what was meant"
        )
    if kind is DocumentKind.SALES_ORDER and api.shown.status is None and api.cancel is not None:
        raise ValueError(f"{where}.shown.status: it must be there, to tell a cancelled order from an open one")
