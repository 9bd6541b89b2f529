"""What the ERP-writer conformance suite stands on: the adopter's hold on an ERP, and short ways to use a writer."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal
from typing import Protocol, TypeVar

import pytest

from meshline_dagster.core.documents import Answer, Document, DocumentKind, ErpDocument, Outcome
from meshline_dagster.erp.protocol import ErpWriter
from meshline_dagster.testing.erp_documents import Line, Sample

__all__ = [
    "ErpControl",
    "ErpFixtures",
    "find_one",
    "need",
    "need_operation",
    "post_one",
    "read_ours",
    "run",
    "settle",
]

_SETTLED = frozenset({Outcome.CREATED, Outcome.UPDATED, Outcome.EXISTS})
_T = TypeVar("_T")


class ErpControl(Protocol):
    """An adopter's hold on the ERP behind a writer.

    Attributes:
        can: which of ``deliver``, ``hide_order``, ``lose_answer``, ``refuse_connection``, ``refuse_credentials``, ``refuse_skus``, ``show_name`` and
            ``show_po_number`` it has the means for.
        company: the id that ``company()`` must answer.
        currency: one that the company sells in; it has cents.
        skus: two items that the ERP knows, or more.
    """

    can: frozenset[str]
    company: str
    currency: str
    skus: Sequence[str]

    def writer(self) -> ErpWriter:
        """A new writer on the ERP, not yet open."""
        ...

    def unreachable(self) -> ErpWriter:
        """A new writer whose posts find nobody listening; its ``open`` may fail (``can`` has ``refuse_connection``)."""
        ...

    def stranger(self) -> ErpWriter:
        """A new writer with wrong credentials (``can`` has ``refuse_credentials``)."""
        ...

    def lose_next_answer(self) -> None:
        """Let the ERP do what the next posting asks for, and the answer not arrive (``can`` has ``lose_answer``)."""
        ...

    def hide_order(self, external_id: str) -> Callable[[], None]:
        """Let nobody find the sales order until what is returned is called, so that it is entered once more (``can`` has ``hide_order``).

        Only where the ERP takes two orders with one external id.
        """
        ...

    def deliver(self, external_id: str, sku: str, quantity: Decimal) -> None:
        """Have so much of a sales order's item be delivered in all, less what came back (``can`` has ``deliver``)."""
        ...

    def name_of(self, external_id: str) -> str:
        """The name of a customer, as the ERP has it (``can`` has ``show_name``)."""
        ...

    def po_number_of(self, external_id: str) -> str | None:
        """The customer's number of a sales order, as the ERP has it (``can`` has ``show_po_number``)."""
        ...


def need(control: ErpControl, means: str) -> None:
    """Skip unless the control has the means."""
    if means not in control.can:
        pytest.skip(f"no means to {means.replace('_', ' ')} here")


def run(writer: ErpWriter, work: Callable[[ErpWriter], Awaitable[_T]]) -> _T:
    """Open the writer, work, give it back."""

    async def inside() -> _T:
        await writer.open()
        try:
            return await work(writer)
        finally:
            await writer.aclose()

    return asyncio.run(inside())


async def post_one(writer: ErpWriter, document: Document) -> Answer:
    """Post one document."""
    [answer] = await writer.post([document])
    return answer


async def settle(writer: ErpWriter, *documents: Document) -> list[Answer]:
    """Post one after the other what must be taken."""
    answers = [await post_one(writer, document) for document in documents]
    for answer in answers:
        assert answer.outcome in _SETTLED, answer
        assert answer.erp_id
    return answers


async def find_one(writer: ErpWriter, document: Document) -> list[ErpDocument]:
    """Everything under one document's external id."""
    found = await writer.find(document.kind, [document.external_id])
    assert set(found) <= {document.external_id}
    return list(found.get(document.external_id, []))


async def read_ours(writer: ErpWriter, kind: DocumentKind, documents: Sequence[Document]) -> list[ErpDocument]:
    """Read everything back; keep what belongs to ``documents``, in the order it came."""
    ours = {document.external_id for document in documents}
    return [one async for page in writer.read(kind, None) for one in page if one.external_id in ours]


def need_operation(control: ErpControl, document: Document) -> None:
    """Skip unless the writer declares the document's operation."""
    if (document.kind, document.operation) not in control.writer().capabilities.operations:
        pytest.skip(f"this ERP cannot {document.operation} a {document.kind.value}")


class ErpFixtures:
    """The fixtures that the suite's tests use."""

    @pytest.fixture
    def control(self) -> ErpControl:
        """The adopter's hold on an ERP."""
        pytest.fail("override the fixture `control` with a hold on your ERP")

    @pytest.fixture
    def sample(self, control: ErpControl) -> Sample:
        """Documents with names of their own."""
        return Sample(control.currency)

    @pytest.fixture
    def lines(self, control: ErpControl) -> list[Line]:
        """Two lines of known items."""
        return [(control.skus[0], "2", "10.50"), (control.skus[1], "1", "0.07")]
