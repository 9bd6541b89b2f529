"""Runs that every kind of document goes through in the ERP-writer conformance suite: made twice under one key, made without an answer."""

import pytest

from meshline_dagster.core.documents import Document, ErpDocument, Outcome
from meshline_dagster.erp.protocol import ErpWriter
from meshline_dagster.testing.erp_control import ErpControl, find_one, need, post_one, run, settle

__all__ = ["check_made_once", "made_without_an_answer"]


def check_made_once(control: ErpControl, document: Document) -> None:
    """One key twice makes one document: by the ERP's own memory of keys, or because the external id is taken. Skips where neither holds."""
    capabilities = control.writer().capabilities
    if not (capabilities.native_idempotency or capabilities.unique_external_id):
        pytest.skip("this ERP takes everything twice: the engine looks up before it repeats a request")

    async def work(writer: ErpWriter) -> tuple[set[str | None], list[ErpDocument]]:
        answers = await settle(writer, document, document)
        return {answer.erp_id for answer in answers}, await find_one(writer, document)

    ids, [found] = run(control.writer(), work)
    assert ids == {found.erp_id}


def made_without_an_answer(control: ErpControl, document: Document, *before: Document) -> ErpDocument:
    """The one document that a look-up shows after its answer was lost, so that nobody has to send it again. Skips without the means.

    Args:
        before: what is posted first, with its answers.
    """
    need(control, "lose_answer")

    async def work(writer: ErpWriter) -> list[ErpDocument]:
        await settle(writer, *before)
        control.lose_next_answer()
        assert (await post_one(writer, document)).outcome is Outcome.UNKNOWN
        return await find_one(writer, document)

    [found] = run(control.writer(), work)
    return found
