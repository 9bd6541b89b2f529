"""The calls that bring sales about. Each is one transaction over many sales; a sale that is refused leaves the others alone."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from meshline_dagster.erp.tryton_amendments import amendment_lines, emptying_lines
from meshline_dagster.erp.tryton_batches import tell_all
from meshline_dagster.erp.tryton_plan import Step
from meshline_dagster.erp.tryton_replies import Reply
from meshline_dagster.erp.tryton_rpc import TrytonSession
from meshline_dagster.erp.tryton_work import Work

__all__ = ["Steps"]

_SALE, _AMENDMENT = "sale.sale", "sale.amendment"
_Send = Callable[[Sequence[Work]], Awaitable[Reply]]


class Steps:
    """The calls, on one session."""

    def __init__(self, session: TrytonSession, invoice_method: str | None = None) -> None:
        self._session = session
        self._fixed = {"company": session.company} | ({"invoice_method": invoice_method} if invoice_method else {})

    async def create(self, works: Sequence[Work]) -> list[Work]:
        """Create drafts; returns those whose external id was taken in the meantime."""
        taken: list[Work] = []

        async def send(part: Sequence[Work]) -> Reply:
            return await self._session.tell(_SALE, "create", [_new_sale(work) | self._fixed for work in part])

        for work, reply in await tell_all(_open(works), send):
            if reply.outcome is None:
                work.sale, work.touched = int(reply.value), True
            elif reply.says_taken("external id"):
                taken.append(work)
            else:
                work.settle(reply)
        return taken

    async def replace(self, works: Sequence[Work]) -> None:
        """Set sales back to draft where needed, and give them their new content."""
        await self.press("draft", [work for work in works if work.state != "draft"])

        async def send(part: Sequence[Work]) -> Reply:
            pairs = [pair for work in part for pair in ([work.sale], _new_content(work))]
            return await self._session.tell(_SALE, "write", *pairs)

        await self._each(works, send)

    async def amend(self, works: Sequence[Work]) -> None:
        """Change sales in progress: amendments made, then validated."""
        changes = {id(work): _changes(work) for work in works}
        values = {id(work): _header_values(work, changes[id(work)]) for work in works if work.step is Step.AMEND}
        await self._write([work for work in works if values.get(id(work))], lambda work: values[id(work)])
        works = [work for work in works if changes[id(work)]]
        await self._drop_unfinished(_open(works))
        amendments: dict[int, int] = {}

        async def make(part: Sequence[Work]) -> Reply:
            return await self._session.tell(
                _AMENDMENT, "create", [_amendment(work, changes[id(work)]) for work in part]
            )

        async def validate(part: Sequence[Work]) -> Reply:
            return await self._session.tell(_AMENDMENT, "validate_amendment", [amendments[id(work)] for work in part])

        for work, reply in await tell_all(_open(works), make):
            if reply.outcome is None:
                amendments[id(work)], work.touched = int(reply.value), True
            else:
                work.settle(reply)
        await self._each(works, validate)

    async def cancel(self, works: Sequence[Work]) -> None:
        """Cancel sales that are not in progress yet."""
        await self._write(works, lambda work: {"event_id": work.document.event_id})
        await self.withdraw(works)

    async def withdraw(self, works: Sequence[Work]) -> None:
        """Cancel them as they are, and leave the event that they carry."""
        await self.press("draft", [work for work in works if work.state == "confirmed"])
        await self.press("cancel", works)

    async def press(self, button: str, works: Sequence[Work]) -> None:
        """Press a button of the sales' form: ``draft``, ``quote``, ``confirm``, ``process`` or ``cancel``."""

        async def send(part: Sequence[Work]) -> Reply:
            return await self._session.tell(_SALE, button, [work.sale for work in part])

        await self._each(works, send)

    async def undo(self, works: Sequence[Work]) -> None:
        """Remove drafts of ours that were refused later on; what cannot be removed stays a draft, and is completed or replaced."""
        ids = [work.sale for work in works]
        if not ids:
            return
        states = await self._session.tell(_SALE, "read", ids, ["state"])
        back = [row["id"] for row in states.value or [] if row["state"] != "draft"]
        if back:
            await self._session.tell(_SALE, "draft", back)
        await self._session.tell(_SALE, "delete", ids)

    async def _write(self, works: Sequence[Work], values: Callable[[Work], dict[str, Any]]) -> None:
        async def send(part: Sequence[Work]) -> Reply:
            pairs = [pair for work in part for pair in ([work.sale], values(work))]
            return await self._session.tell(_SALE, "write", *pairs)

        await self._each(works, send)

    async def _drop_unfinished(self, works: Sequence[Work]) -> None:
        """Amendments of ours that an earlier post made and did not validate say what was meant then: remove them."""
        if not works:
            return
        domain = [["sale", "in", [work.sale for work in works]], ["state", "=", "draft"], ["event_id", "!=", None]]
        found = await self._session.tell(_AMENDMENT, "search", domain, 0, None, None)
        if found.value:
            await self._session.tell(_AMENDMENT, "delete", found.value)

    async def _each(self, works: Sequence[Work], send: _Send) -> None:
        for work, reply in await tell_all(_open(works), send):
            if reply.outcome is None:
                work.touched = True
            else:
                work.settle(reply)


def _open(works: Sequence[Work]) -> list[Work]:
    return [work for work in works if work.is_open]


def _new_sale(work: Work) -> dict[str, Any]:
    assert work.wanted is not None
    lines = [["create", work.wanted.line_values()]]
    return {**work.header, "external_id": work.document.external_id, "lines": lines}


def _new_content(work: Work) -> dict[str, Any]:
    assert work.wanted is not None
    assert work.row is not None
    old = [line["id"] for line in work.row["lines."] or []]
    return {**work.header, "lines": [["delete", old], ["create", work.wanted.line_values()]]}


def _changes(work: Work) -> list[dict[str, Any]]:
    assert work.row is not None
    return emptying_lines(work.row) if work.wanted is None else amendment_lines(work.row, work.wanted)


def _header_values(work: Work, changes: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What an amendment of Tryton's cannot carry; without one, the event as well."""
    reference = {name: work.header[name] for name in ("reference",) if name in work.header}
    return reference | ({} if changes else {"event_id": work.document.event_id})


def _amendment(work: Work, changes: list[dict[str, Any]]) -> dict[str, Any]:
    return {"sale": work.sale, "event_id": work.document.event_id, "lines": [["create", changes]]}
