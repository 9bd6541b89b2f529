"""Requests and look-ups about one document of several that carry the same external id: always by the ERP's own id of it."""

from collections.abc import Mapping, Sequence

import orjson

from meshline_dagster.core.documents import REVERSE, Answer, Document, ErpDocument, Outcome
from meshline_dagster.core.duplicates import before_reversal
from meshline_dagster.core.errors import ConfigError, MeshlineError
from meshline_dagster.erp.protocol import ErpReverser, ErpWriter
from meshline_dagster.store.postings import Posting

__all__ = ["find_reversed", "reversal_document", "reverse", "target_of"]


def target_of(row: Posting) -> str:
    """The ERP's id of the document that a reversal takes back."""
    return str(orjson.loads(row.payload)["erp_id"])


def reversal_document(row: Posting) -> Document:
    """What to ask for."""
    payload = orjson.loads(row.payload)
    return Document(
        row.document_kind, row.external_id, row.key, row.event_id, REVERSE, payload, erp_id=str(payload["erp_id"])
    )


async def find_reversed(writer: ErpWriter, rows: Sequence[Posting]) -> Mapping[str, list[ErpDocument]]:
    """The documents that reversals take back, by ERP id, each as a list of one."""
    shown = await _reverser(writer).show(rows[0].document_kind, [target_of(row) for row in rows])
    return {erp_id: [one] for erp_id, one in shown.items()}


async def reverse(writer: ErpWriter, documents: Sequence[Document]) -> list[Answer]:
    """Cancel exactly these documents, each only while it is as it was approved and the one that is kept stands."""
    kept = [str(one.payload["kept"]) for one in documents]
    ids = [str(one.erp_id) for one in documents]
    try:
        shown = await _reverser(writer).show(documents[0].kind, list(dict.fromkeys([*ids, *kept])))
    except MeshlineError as error:  # only looked at: the ERP surely did nothing
        return [Answer(Outcome.RETRY, message=str(error))] * len(documents)
    answers = [before_reversal(one.external_id, one.payload, shown) for one in documents]
    wanted = [one for one, answer in zip(documents, answers, strict=True) if answer is None]
    posted = iter(await writer.post(wanted) if wanted else [])
    return [next(posted) if answer is None else answer for answer in answers]


def _reverser(writer: ErpWriter) -> ErpReverser:
    if not isinstance(writer, ErpReverser):
        raise ConfigError(f"{writer.name} declares that it reverses documents, and cannot show one by its ERP id")
    return writer
