"""Masters that are made where they are missing: looked up first, created many in a call, and looked up again where somebody was faster."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from meshline_dagster.core.documents import Answer, Document, ErpDocument, Outcome
from meshline_dagster.core.errors import MeshlineError
from meshline_dagster.erp.tryton_batches import tell_all
from meshline_dagster.erp.tryton_replies import Reply
from meshline_dagster.erp.tryton_rpc import TrytonSession
from meshline_dagster.erp.tryton_values import Refusal

__all__ = ["LookUp", "Prepare", "make_missing"]

LookUp = Callable[[Sequence[str]], Awaitable[Mapping[str, list[ErpDocument]]]]
"""The records under each external id; absent ids are absent keys. Raises as :meth:`TrytonSession.ask` does."""

Prepare = Callable[[Sequence[Document]], Awaitable[Callable[[Document], dict[str, Any]]]]
"""Look up what documents refer to; what it gives makes values of one, or raises :class:`Refusal`."""


async def make_missing(
    session: TrytonSession,
    model: str,
    documents: Sequence[Document],
    *,
    look_up: LookUp,
    prepare: Prepare,
    unique: str = "external id",
    look_again: bool = False,
) -> list[Answer]:
    """Create what is not there; one answer each, same order. Never raises for what Tryton or the network did.

    Args:
        unique: what Tryton calls the field, in lower case, of which it refuses a second one.
        look_again: the id of what is found is another than that of what is created: look for it before anything is claimed.
    """
    names = [document.external_id for document in documents]
    try:
        there = await look_up(names)
        missing = [document for document in documents if not there.get(document.external_id)]
        values_of = await prepare(missing) if missing else None
    except MeshlineError as error:  # only look-ups were sent: Tryton surely did nothing
        return [Answer(Outcome.RETRY, message=str(error))] * len(documents)
    answers = {name: _there(records) for name, records in there.items() if records}
    values: dict[str, dict[str, Any]] = {}
    for document in missing:
        try:
            assert values_of is not None
            values[document.external_id] = values_of(document)
        except Refusal as refusal:
            answers[document.external_id] = Answer(Outcome.REJECTED, message=str(refusal), field=refusal.field)
        except (KeyError, TypeError, ValueError, ArithmeticError) as error:
            text = f"the payload is not one of a {document.kind.value}: {type(error).__name__}: {error}"
            answers[document.external_id] = Answer(Outcome.REJECTED, message=text, field="payload")

    async def send(part: Sequence[str]) -> Reply:
        return await session.tell(model, "create", [values[name] for name in part])

    for name, reply in await tell_all(list(values), send):
        if reply.outcome is None:
            answers[name] = Answer(Outcome.CREATED, erp_id=str(reply.value))
        elif reply.says_taken(unique):
            answers[name] = await _taken(look_up, name, reply)
        else:
            answers[name] = reply.as_answer()
    if look_again:
        answers |= await _shown(look_up, [name for name, one in answers.items() if one.outcome is Outcome.CREATED])
    return [answers[name] for name in names]


async def _shown(look_up: LookUp, names: Sequence[str]) -> dict[str, Answer]:
    """The answers for what was created, by what is there now."""
    try:
        there = await look_up(names) if names else {}
    except MeshlineError as error:
        return dict.fromkeys(names, Answer(Outcome.UNKNOWN, message=f"the last look got no answer: {error}"))
    lost = Answer(Outcome.UNKNOWN, message="Tryton took it and shows nothing")
    return {name: Answer(Outcome.CREATED, erp_id=there[name][0].erp_id) if there.get(name) else lost for name in names}


def _there(records: Sequence[ErpDocument]) -> Answer:
    if len(records) > 1:
        text = f"{len(records)} records carry the code {records[0].external_id}"
        return Answer(Outcome.EXISTS_DIFFERENT, erp_id=records[0].erp_id, message=text, field="duplicate")
    return Answer(Outcome.EXISTS, erp_id=records[0].erp_id)


async def _taken(look_up: LookUp, name: str, reply: Reply) -> Answer:
    """Somebody else created it between our look-up and our request."""
    try:
        records = (await look_up([name])).get(name, [])
    except MeshlineError:
        records = []
    return _there(records) if records else Answer(Outcome.UNKNOWN, message=reply.message)
