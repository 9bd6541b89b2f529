"""The ERP-writer protocol: post, find, read.

A writer translates documents into its ERP's calls and answers into outcomes. It keeps no state and never retries on its own:
intent, retries, order and look-ups belong to the delivery engine.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, runtime_checkable

from meshline_dagster.core.documents import BOOKED_KINDS, Answer, Document, DocumentKind, ErpDocument

__all__ = ["Capabilities", "ErpReverser", "ErpWriter"]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the engine may rely on.

    Attributes:
        native_idempotency: the ERP itself remembers our key and repeats its first answer.
        unique_external_id: the ERP refuses a second document with one external id.
        batch_size: how many documents of one kind fit into one request; a batch is one transaction.
        max_in_flight: how many requests the ERP takes at once.
        settle_after: how long after a request's start the ERP may still commit it.
        request_timeout: seconds until a request without an answer counts as unknown.
        operations: the ``(kind, operation)`` pairs that it can bring about; others are rejected before a request. A kind that is only
            looked up stands there with ``find``. Who declares ``reverse`` for a kind is an :class:`ErpReverser`.
        tells_deliveries: lines of sales orders say how much of them is delivered, and a delivery is a change that :meth:`ErpWriter.read` shows.
        books_batch_size: how many invoices, credit notes or payments fit into one request, where that is less; None: as many as of anything.
    """

    native_idempotency: bool
    unique_external_id: bool
    batch_size: int
    max_in_flight: int
    settle_after: timedelta
    request_timeout: float
    operations: frozenset[tuple[DocumentKind, str]]
    books_batch_size: int | None = None
    tells_deliveries: bool = False

    def finds(self, kind: DocumentKind) -> bool:
        """Whether documents of this kind can be looked up: an adapter that can do nothing else with them declares ``find``."""
        return any(one is kind for one, _ in self.operations)

    def batch_of(self, kind: DocumentKind) -> int:
        """How many documents of this kind fit into one request."""
        books = self.books_batch_size if kind in BOOKED_KINDS else None
        return self.batch_size if books is None else min(books, self.batch_size)


@runtime_checkable
class ErpWriter(Protocol):
    """One ERP company that we write to and read back."""

    @property
    def name(self) -> str:
        """The destination's name, e.g. ``sandbox`` or ``tryton``."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What this ERP can do."""
        ...

    async def open(self) -> None:
        """Connect and authenticate. Raises ``AuthError`` or ``ConfigError``; ``TransientError`` when it does not answer."""
        ...

    async def aclose(self) -> None:
        """Give all connections back."""
        ...

    async def company(self) -> str:
        """The ERP's own id of the company that posts go to; the engine compares it with the pinned one."""
        ...

    async def post(self, documents: Sequence[Document]) -> list[Answer]:
        """Bring about all documents (one kind, at most ``batch_size``) in one request; one answer each, same order.

        Never raises for what the ERP or the network did: no answer is ``UNKNOWN``, a refusal is ``REJECTED`` with the
        ERP's words, "not now" is ``RETRY``. ``RETRY`` is only allowed where the ERP surely did nothing. Posting a document
        that exists already in part (``status == 'partial'``) completes it.
        """
        ...

    async def find(self, kind: DocumentKind, external_ids: Sequence[str]) -> Mapping[str, list[ErpDocument]]:
        """Look documents up by external id. Absent ids are absent keys; more than one entry is a duplicate. Ids that differ in upper
        and lower case are different ones, also where the ERP's own search disregards it.

        Raises ``TransientError`` when the ERP does not answer: the caller must not conclude anything then.
        """
        ...

    def read(self, kind: DocumentKind, since: datetime | None) -> AsyncIterator[list[ErpDocument]]:
        """Pages of the documents that changed at or after ``since`` (None: all), oldest first, overlap included."""
        ...


@runtime_checkable
class ErpReverser(ErpWriter, Protocol):
    """A writer whose ERP can cancel one document by its own id: ``post`` takes documents with the operation ``reverse``.

    Such a document names what to cancel by ``erp_id``. One that is cancelled already is ``EXISTS``; one that is not there is ``REJECTED``.
    """

    async def show(self, kind: DocumentKind, erp_ids: Sequence[str]) -> Mapping[str, ErpDocument]:
        """Documents by the ERP's own ids, cancelled ones included. Absent ids are absent keys.

        Raises ``TransientError`` when the ERP does not answer: the caller must not conclude anything then.
        """
        ...
