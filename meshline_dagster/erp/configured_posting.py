"""Bringing one document about in a configured ERP: one request, and where the ERP makes drafts first, the confirmation.

A request that was sent never ends as "not now": whatever follows it may only say done, refused or unknown.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import unquote, urlsplit

from meshline_dagster.core.documents import REVERSE, Answer, Document, DocumentKind, ErpDocument, Outcome, standing
from meshline_dagster.core.errors import MeshlineError
from meshline_dagster.core.settle import difference
from meshline_dagster.erp.configured_answers import Reply
from meshline_dagster.erp.configured_bodies import REFERENCES, BodyError, erp_id_name
from meshline_dagster.erp.configured_calls import Call, Sent, fields_of
from meshline_dagster.erp.configured_documents import as_text
from meshline_dagster.erp.configured_interface import Interface, Kind
from meshline_dagster.erp.configured_session import Session
from meshline_dagster.erp.configured_text import MISSING
from meshline_dagster.erp.rest_answers import is_done

__all__ = ["bring_about", "look_up"]

_STEPS = ("confirm", "discard")
_OUTCOMES = {"rejected": Outcome.REJECTED, "retry": Outcome.RETRY, "credentials": Outcome.RETRY}


async def look_up(
    session: Session, interface: Interface, kind: DocumentKind, wanted: Sequence[str], company: str
) -> list[ErpDocument]:
    """All documents under some external ids. Raises ``TransientError``, ``AuthError`` or ``SourceError``."""
    return await interface.kinds[kind].lists.find(session, {"company": company}, wanted)


async def bring_about(session: Session, interface: Interface, document: Document, company: str) -> Answer:
    """Post one document. Raises nothing for what the ERP or the network did."""
    if (document.kind, document.operation) not in interface.operations:
        text = f"this ERP cannot {document.operation} a {document.kind.value}"
        return Answer(Outcome.REJECTED, message=text, field="operation")
    posting = _Posting(session, interface, document, company)
    if document.operation == REVERSE:
        return await posting.reverse()
    return await (posting.create() if document.operation == "create" else posting.change())


class _Posting:
    """One document on its way."""

    def __init__(self, session: Session, interface: Interface, document: Document, company: str) -> None:
        self._session, self._interface, self._document, self._company = session, interface, document, company
        self._kind: Kind = interface.kinds[document.kind]
        self._values: dict[str, Any] = fields_of(document, company)

    async def create(self) -> Answer:
        """Make it. Where the ERP makes drafts, what an earlier request left is gone on with."""
        if "confirm" in self._kind.calls:
            try:
                have = await self._there()
            except MeshlineError as error:  # only a question was asked
                return Answer(Outcome.RETRY, message=str(error))
            if have:
                return await self._go_on(have)
            if self._document.erp_id is not None:
                return self._not_shown()
        answer = await self._send("create")
        if answer.outcome is Outcome.CREATED and "confirm" in self._kind.calls:
            return await self._confirm(answer, is_new=True)
        return answer

    async def change(self) -> Answer:
        """Amend or cancel the one document that carries the external id."""
        document = self._document
        try:
            found = await self._there()
        except MeshlineError as error:  # as above
            return Answer(Outcome.RETRY, message=str(error))
        if not found:
            return self._not_shown()
        if len(found) != 1:
            text = f"{len(found)} documents carry this external id"
            return Answer(Outcome.REJECTED, message=text, field="external_id")
        have = found[0]
        if is_done(document, have) or (document.operation == "cancel" and have.status == "cancelled"):
            return Answer(Outcome.EXISTS, erp_id=have.erp_id)
        return await self._change(document.operation, have)

    async def reverse(self) -> Answer:
        """Cancel the one document with the given id, whatever else carries its external id."""
        erp_id = self._document.erp_id or ""
        try:
            have = await self._kind.lists.show(self._session, {"company": self._company}, erp_id)
        except MeshlineError as error:  # as above
            return Answer(Outcome.RETRY, message=str(error))
        if have is None:
            return Answer(Outcome.REJECTED, message=f"there is no document {erp_id}", field="erp_id")
        if have.status == "cancelled":
            return Answer(Outcome.EXISTS, erp_id=erp_id)
        self._values |= self._names_of(have)
        return await self._send(REVERSE, erp_id=erp_id)

    async def _change(self, operation: str, have: ErpDocument) -> Answer:
        self._values |= self._names_of(have)
        answer = await self._send(operation, erp_id=have.erp_id)
        if answer.outcome is not Outcome.UPDATED or operation != "amend" or "confirm" not in self._kind.calls:
            return answer
        now = await self._seen_again(have.erp_id)
        if isinstance(now, Answer):
            return now
        return await self._confirm(answer, is_new=False) if now.status == "partial" else answer

    async def _go_on(self, found: Sequence[ErpDocument]) -> Answer:
        """What is there in part is completed; what is there as meant exists; nothing else is touched."""
        if len(found) > 1:
            text = f"{len(found)} documents carry this external id"
            return Answer(Outcome.EXISTS_DIFFERENT, erp_id=found[0].erp_id, message=text, field="duplicate")
        have = found[0]
        if have.status != "partial":
            return self._compared(have)
        as_meant = replace(have, status=self._document.payload.get("status", "open"))
        field = difference(self._document.kind, self._document.payload, as_meant)
        if field is None:
            self._values |= self._names_of(have)
            return await self._confirm(Answer(Outcome.UPDATED, erp_id=have.erp_id), is_new=False)
        if "amend" in self._kind.calls:
            return await self._change("amend", have)
        text = "a draft with another content is there, and this ERP cannot amend"
        return Answer(Outcome.EXISTS_DIFFERENT, erp_id=have.erp_id, message=text, field=field)

    async def _send(self, operation: str, *, erp_id: str | None = None) -> Answer:
        """The request itself."""
        call = self._kind.calls[operation]
        sent = await self._prepare(call, *(() if operation in {"cancel", REVERSE} else self._steps()))
        if isinstance(sent, Answer):
            return sent
        reply = await self._session.tell(sent)
        if isinstance(reply, Answer):
            return reply
        if reply.means == "exists" and operation == "create":
            return await self._taken(reply)
        if reply.means != "done":
            return _as_answer(reply, erp_id)
        return self._made(reply, call) if erp_id is None else self._changed(reply, operation, erp_id)

    def _made(self, reply: Reply, call: Call) -> Answer:
        erp_id = self._id_in(reply, call)
        if not erp_id:
            text = "the ERP confirms a document without an id"
            return Answer(Outcome.UNKNOWN, message=text, raw=reply.raw)
        self._values["revision"] = self._revision(self._kind.shown_at(reply.body))
        return Answer(Outcome.CREATED, erp_id=erp_id, raw=reply.raw)

    def _changed(self, reply: Reply, operation: str, erp_id: str) -> Answer:
        if self._is_done(reply, operation, erp_id):
            return Answer(Outcome.UPDATED, erp_id=erp_id, raw=reply.raw)
        text = f"the answer does not show the document; say in {operation}.shows what it shows instead"
        return Answer(Outcome.UNKNOWN, erp_id=erp_id, message=text, raw=reply.raw)

    async def _prepare(self, call: Call, *following: Call) -> Sent | Answer:
        """What goes out; an answer when it cannot.

        Args:
            following: calls after it, whose references are looked up before anything is sent.
        """
        try:
            self._values |= await self._references(call, *following)
            sent = call.request(self._values)
        except BodyError as error:
            return Answer(Outcome.REJECTED, message=str(error), field=error.field, absent=error.absent)
        except MeshlineError as error:  # only a question was asked
            return Answer(Outcome.RETRY, message=str(error))
        if self._interface.key_header is None:
            return sent
        return replace(sent, headers={**sent.headers, self._interface.key_header: self._document.key})

    async def _confirm(self, made: Answer, *, is_new: bool) -> Answer:
        """Make a draft count. A refusal leaves nothing behind where the draft is ours and can be removed."""
        assert made.erp_id is not None
        self._values["id"] = made.erp_id
        if self._lacks_revision():
            seen = await self._seen_again(made.erp_id)
            if isinstance(seen, Answer):
                return seen
        reply = await self._step("confirm")
        if isinstance(reply, Answer):
            return replace(reply, outcome=Outcome.UNKNOWN, erp_id=made.erp_id)
        if self._is_done(reply, "confirm", made.erp_id):
            return made
        if reply.means == "rejected" and is_new and "discard" in self._kind.calls:
            removed = await self._step("discard")
            if isinstance(removed, Reply) and self._is_done(removed, "discard", made.erp_id):
                return _as_answer(reply, None)
        words = reply.message or "the answer does not show it; say in confirm.shows what it shows instead"
        text = f"the draft is there, and is not confirmed: {words}"
        return Answer(Outcome.UNKNOWN, erp_id=made.erp_id, message=text, field=reply.field, raw=reply.raw)

    def _lacks_revision(self) -> bool:
        return not self._values.get("revision") and any(call.takes_revision for call in self._steps())

    def _steps(self) -> list[Call]:
        """What may follow upon the request, where the ERP makes drafts."""
        return [self._kind.calls[name] for name in _STEPS if name in self._kind.calls]

    async def _seen_again(self, erp_id: str) -> ErpDocument | Answer:
        """The document as it is after a request of ours, from which its next revision is known."""
        try:
            [now] = await self._there()
        except (MeshlineError, ValueError) as error:
            return Answer(Outcome.UNKNOWN, erp_id=erp_id, message=f"written, and then not to be seen: {error}")
        self._values |= self._names_of(now)
        return now

    async def _step(self, name: str) -> Reply | Answer:
        call = self._kind.calls[name]
        try:
            self._values |= await self._references(call)
            return await self._session.tell(call.request(self._values))
        except BodyError as error:
            return Answer(Outcome.UNKNOWN, message=str(error), field=error.field)
        except MeshlineError as error:
            return Answer(Outcome.UNKNOWN, message=str(error))

    async def _taken(self, reply: Reply) -> Answer:
        """The external id is taken: by the same content, or by another that a person has to look at."""
        try:
            found = await self._there()
        except MeshlineError as error:
            return Answer(Outcome.UNKNOWN, message=str(error), raw=reply.raw)
        if len(found) != 1 or found[0].status == "partial":
            text = f"the ERP says that it is there, and shows {len(found)}: {reply.message}"
            return Answer(Outcome.UNKNOWN, message=text, raw=reply.raw)
        return replace(self._compared(found[0]), message=reply.message, raw=reply.raw)

    def _compared(self, have: ErpDocument) -> Answer:
        field = difference(self._document.kind, self._document.payload, have)
        outcome = Outcome.EXISTS if field is None else Outcome.EXISTS_DIFFERENT
        return Answer(outcome, erp_id=have.erp_id, field=field)

    async def _there(self) -> Sequence[ErpDocument]:
        """What counts of it: what was reversed beside a live document is out of the way."""
        document = self._document
        found = await look_up(self._session, self._interface, document.kind, [document.external_id], self._company)
        return standing(found)

    def _not_shown(self) -> Answer:
        external_id = self._document.external_id
        text = "there is no such document"
        return Answer(Outcome.REJECTED, message=text, field="external_id", absent=external_id)

    def _names_of(self, have: ErpDocument) -> dict[str, Any]:
        """How a call names the document that it changes."""
        return {"id": have.erp_id, "revision": self._revision(have.raw)}

    def _revision(self, shown: Any) -> str:
        return "" if self._kind.revision_at is None else as_text(self._kind.revision_at(shown)) or ""

    async def _references(self, *calls: Call) -> dict[str, Any]:
        """The ERP's own ids of the documents that this one names, as the ERP writes them: as a number or as text."""
        ids: dict[str, Any] = {}
        for field in sorted(frozenset[str]().union(*(call.references for call in calls))):
            name = self._values.get(field)
            if name is None or erp_id_name(field) in self._values:
                continue
            kind = REFERENCES[field]
            found = standing(await look_up(self._session, self._interface, kind, [name], self._company))
            if len(found) != 1:
                text = f"the ERP has {len(found) or 'no'} {kind.value}s with the external id {name}"
                raise BodyError(text, field, absent=None if found else name)
            ids[erp_id_name(field)] = self._interface.kinds[kind].id_at(found[0].raw)
        return ids

    def _is_done(self, reply: Reply, operation: str, erp_id: str) -> bool:
        return reply.means == "done" and self._shows(reply, self._kind.calls[operation], erp_id)

    def _shows(self, reply: Reply, call: Call, erp_id: str) -> bool:
        """Whether an answer to a change is the ERP's own word: it shows the document, or what the configuration says, or is a 204."""
        if reply.is_blank:
            return reply.is_no_content
        if call.shows is not None:
            return call.shows(reply.body) not in (MISSING, None)
        return as_text(self._kind.id_at(self._kind.shown_at(reply.body))) == erp_id

    def _id_in(self, reply: Reply, call: Call) -> str | None:
        if call.id_header is not None:
            path = urlsplit(reply.headers.get(call.id_header, "")).path
            return unquote(path.rstrip("/").rsplit("/", 1)[-1]) or None
        if call.id_at is not None:
            return as_text(call.id_at(reply.body))
        return as_text(self._kind.id_at(self._kind.shown_at(reply.body)))


def _as_answer(reply: Reply, erp_id: str | None) -> Answer:
    outcome = _OUTCOMES.get(reply.means, Outcome.UNKNOWN)
    text = f"the ERP refuses our credentials: {reply.message}" if reply.means == "credentials" else reply.message
    return Answer(outcome, erp_id, text, reply.field, reply.retry_after, reply.raw)
