"""What somebody deleted in the ERP of the documents that stood twice: no list of changes shows it, so it is asked for.

Nothing is called deleted that might only lag: a document counts when its last change is older than the ERP's ``settle_after``, when a look-up
does not show it, and when neither does a list of all that changed since, read to its end. It lands as a deletion, like those of any feed.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pyarrow as pa

from meshline_dagster.core.cursors import Window
from meshline_dagster.core.documents import REVERSE, DocumentKind, ErpDocument
from meshline_dagster.core.duplicates import Doubled, Standing
from meshline_dagster.crm.protocol import FeedSchema, Peek
from meshline_dagster.delivery.readback import ErpFeed, document_table
from meshline_dagster.erp.protocol import ErpReverser, ErpWriter

__all__ = ["Deleted", "DeletedFeed", "deleted_documents"]


class Deleted(NamedTuple):
    """A document that was read back once, and that the ERP does not hold any more."""

    kind: DocumentKind
    external_id: str
    was: Standing


async def deleted_documents(writer: ErpWriter, doubled: Sequence[Doubled], *, now: datetime) -> list[Deleted]:
    """Those of the documents that are gone.

    Args:
        writer: open.
        doubled: as the read-back had them.
        now: before anything is asked.

    Raises:
        MeshlineError: the ERP did not answer, so that nothing can be concluded.
    """
    settled = now - writer.capabilities.settle_after
    old = [Deleted(one.kind, one.external_id, was) for one in doubled for was in one.documents if was.stamp <= settled]
    gone: list[Deleted] = []
    for kind in dict.fromkeys(one.kind for one in old):
        gone += await _gone(writer, kind, [one for one in old if one.kind is kind])
    return gone


async def _gone(writer: ErpWriter, kind: DocumentKind, asked: Sequence[Deleted]) -> list[Deleted]:
    shown = await _shown(writer, kind, asked)
    missing = {one.was.erp_id: one for one in asked if one.was.erp_id not in shown}
    if missing:
        async for page in writer.read(kind, min(one.was.stamp for one in missing.values())):
            for document in page:
                missing.pop(document.erp_id, None)
    return list(missing.values())


async def _shown(writer: ErpWriter, kind: DocumentKind, asked: Sequence[Deleted]) -> set[str]:
    """The ids that a look-up shows: by id where the ERP can be asked so, else by external id."""
    if isinstance(writer, ErpReverser) and (kind, REVERSE) in writer.capabilities.operations:
        return set(await writer.show(kind, [one.was.erp_id for one in asked]))
    found = await writer.find(kind, list(dict.fromkeys(one.external_id for one in asked)))
    return {one.erp_id for documents in found.values() for one in documents}


class DeletedFeed:
    """Deletions, as a :class:`~meshline_dagster.crm.protocol.Feed` of the documents' own name.

    Args:
        gone: of one kind.
        now: when it was found out; a deletion is no older than what it deletes.
    """

    def __init__(self, feed: ErpFeed, gone: Sequence[Deleted], *, now: datetime) -> None:
        self._feed, self._gone = feed, gone
        self._stamps = [max(now, one.was.stamp + timedelta(microseconds=1)) for one in gone]

    @property
    def name(self) -> str:
        """That of the documents' read-back."""
        return self._feed.name

    @property
    def window(self) -> Window:
        """What has all of them inside."""
        return Window(min(self._stamps), max(self._stamps) + timedelta(microseconds=1))

    def now(self) -> datetime:
        """After all of them."""
        return max(datetime.now(UTC), self.window.end)

    def describe(self) -> FeedSchema:
        """The columns of a document."""
        return self._feed.describe()

    def peek(self, since: datetime | None) -> Peek:  # noqa: ARG002 - what is known is all that there is
        """There is something."""
        return Peek(changed=True, hint="")

    def read(self, window: Window) -> Iterator[pa.Table]:  # noqa: ARG002 - all of it is inside
        """One row for each document, marked as deleted."""
        documents = [
            ErpDocument(
                *(one.kind, one.was.erp_id, one.external_id, one.was.number, "cancelled", stamp),
                currency=one.was.currency,
                amount=one.was.amount,
            )
            for one, stamp in zip(self._gone, self._stamps, strict=True)
        ]
        table = document_table(documents)
        deleted = pa.array([True] * len(table), pa.bool_())
        yield table.set_column(table.schema.get_field_index("_deleted"), "_deleted", deleted)
