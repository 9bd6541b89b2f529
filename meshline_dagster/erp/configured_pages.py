"""One list call of a configured ERP, compiled: its first page, and the one after each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from meshline_dagster.core.errors import ConfigError, SourceError
from meshline_dagster.erp.configured_answers import Reply
from meshline_dagster.erp.configured_calls import Sent, compile_texts
from meshline_dagster.erp.configured_cuts import asked_limit, says_more, says_total
from meshline_dagster.erp.configured_documents import as_text
from meshline_dagster.erp.configured_requests import Find, ListRequest
from meshline_dagster.erp.configured_session import Session
from meshline_dagster.erp.configured_text import Pointer, Template, pointer

__all__ = ["Pages", "compile_pages"]


@dataclass(frozen=True, slots=True)
class Pages:
    """The call. Made by :func:`compile_pages`.

    Attributes:
        where: its place in the configuration, for messages.
        paging: ``single``, ``cursor``, ``next_link`` or ``offset``.
        limit: of ``single``, the number of rows at which an answer may be cut; None: it is not known.
    """

    where: str
    method: str
    path: Template
    query: Mapping[str, Template]
    headers: Mapping[str, Template]
    rows_at: Pointer
    paging: str
    next_at: Pointer
    parameter: str
    page_size: str
    limit: int | None

    def first(self, values: Mapping[str, str], content: bytes | None = None) -> Sent:
        """The request for the first page."""
        values = {**values, "page_size": self.page_size}
        params = {name: fill(values) for name, fill in self.query.items()}
        headers = {name: fill(values) for name, fill in self.headers.items()}
        if self.paging == "offset":
            params[self.parameter] = "0"
        if content is not None:
            headers["Content-Type"] = "application/json"
        return Sent(self.method, self.path(values), params, headers, content)

    async def page(self, session: Session, sent: Sent) -> tuple[list[Any], Sent | None]:
        """The rows of a page, and the request for the next one; None after the last.

        Raises:
            TransientError, AuthError, SourceError: there is no such answer, or it is no list.
            ConfigError: it may be cut, and nothing says how to get the rest.
        """
        reply = await session.answer(sent)
        body = reply.body
        rows = self.rows_at(body)
        if not isinstance(rows, list):
            raise SourceError(
                f"the answer to {sent.method} {sent.path} shows no list where {self.where}.rows says; correct it"
            )
        following = self._following(session, sent, body, rows)
        if following == sent:
            raise SourceError(f"the page after {sent.path} is itself; correct {self.where}.paging")
        if following is None:
            self._check_whole(sent, reply, rows)
        return rows, following

    def _check_whole(self, sent: Sent, reply: Reply, rows: Sequence[Any]) -> None:
        """After the last page: does anything say that it was not the last?"""
        where = says_more(reply.body, reply.headers)
        if where is None and self.paging == "single":
            where = says_total(reply.body, len(rows))
        if where is not None:
            raise ConfigError(
                f"the answer to {sent.method} {sent.path} says in {where} that it does not show all; set {self.where}.paging so that the "
                "rest is asked for"
            )
        if self.limit is not None and len(rows) >= self.limit:
            raise ConfigError(
                f"the answer to {sent.method} {sent.path} shows {len(rows)} rows, as many as it may have, so that others may be missing: "
                f"set {self.where}.paging to cursor, next_link or offset, or raise its page_size"
            )

    def _following(self, session: Session, sent: Sent, body: Any, rows: Sequence[Any]) -> Sent | None:
        params = dict(sent.params or {})
        if self.paging == "offset":
            params[self.parameter] = str(int(params[self.parameter]) + len(rows))
            return replace(sent, params=params) if len(rows) >= int(self.page_size) else None
        mark = None if self.paging == "single" else as_text(self.next_at(body))
        if not mark:
            return None
        if self.paging == "next_link":
            return replace(sent, path=session.below(mark, sent.path), params=None)
        return replace(sent, params={**params, self.parameter: mark})


def compile_pages(request: ListRequest, where: str, names: Sequence[str]) -> Pages:
    """Check a list call and compile it.

    Args:
        names: what its texts may have in braces, besides company and page size.

    Raises:
        ValueError: what is wrong, and where.
    """
    paging = request.paging
    says_size = any("{page_size}" in text for text in [request.path, *request.query.values()])
    is_single = paging.type == "single"
    if says_size != (paging.page_size is not None) and (says_size or not is_single):
        raise ValueError(
            f"{where}: {{page_size}} in the query and paging.page_size go together; one of them is missing"
        )
    limit = asked_limit(request) if is_single else None
    if isinstance(request, Find) and limit is not None and request.at_once >= limit:
        raise ValueError(
            f"{where}.at_once: {request.at_once} documents do not surely fit into one answer of {limit} rows at most, and paging is single: "
            f"set at_once below {limit}, or another paging"
        )
    known = ("company", "page_size", *names)
    return Pages(
        where=where,
        method=request.method,
        path=compile_texts({"path": request.path}, known, where, is_path=True)["path"],
        query=compile_texts(request.query, known, f"{where}.query"),
        headers=compile_texts(request.headers, known, f"{where}.headers"),
        rows_at=pointer(request.rows),
        paging=paging.type,
        next_at=pointer(paging.at or ""),
        parameter=paging.parameter or "",
        page_size=str(paging.page_size or ""),
        limit=limit,
    )
