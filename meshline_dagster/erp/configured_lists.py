"""What a configured ERP shows of one kind of document: look-ups by external id, and what changed, oldest first."""

import asyncio
import unicodedata
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from meshline_dagster.core.documents import DocumentKind, ErpDocument
from meshline_dagster.core.errors import ConfigError, SourceError
from meshline_dagster.erp.configured_calls import Sent, compile_texts
from meshline_dagster.erp.configured_documents import as_text, compile_shown, stamp_reader, stamp_writer
from meshline_dagster.erp.configured_model import DocumentApi, ErpApi
from meshline_dagster.erp.configured_pages import compile_pages
from meshline_dagster.erp.configured_requests import Detail
from meshline_dagster.erp.configured_session import Session
from meshline_dagster.erp.configured_text import MISSING, escape, pointer, template

__all__ = ["Lists"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DETAILS_AT_ONCE = 8


class Lists:
    """Reads documents of one kind.

    Raises:
        ValueError: what is wrong in the configuration, and where.
    """

    def __init__(self, kind: DocumentKind, api: DocumentApi, whole: ErpApi) -> None:
        self._where = where = f"documents.{kind.value}"
        self._find = compile_pages(api.find, f"{where}.find", ["external_ids"])
        self._read = compile_pages(api.read, f"{where}.read", ["since"])
        self._asked = api.find
        self._each = template(api.find.each, ["external_id"])
        self._escape = escape(api.find.escape)
        self._detail = None if api.detail is None else _Detail(api.detail, f"{where}.detail")
        self._shown = self._detail if api.show is None else _Detail(api.show, f"{where}.show")
        self.document = compile_shown(kind, api.shown, whole.formats)
        self._id = pointer(api.shown.id)
        self._stamp, self._instant = pointer(api.shown.stamp), stamp_reader(whole.formats)
        self._text = stamp_writer(whole.formats)

    async def find(self, session: Session, fixed: Mapping[str, str], wanted: Sequence[str]) -> list[ErpDocument]:
        """All documents that carry one of the external ids."""
        found: list[ErpDocument] = []
        for start in range(0, len(wanted), self._asked.at_once):
            found += await self._find_all(session, fixed, wanted[start : start + self._asked.at_once])
        return found

    async def show(self, session: Session, fixed: Mapping[str, str], erp_id: str) -> ErpDocument | None:
        """The document with this id of the ERP's; None when the ERP says that there is none."""
        if self._shown is None:
            raise ConfigError(f"{self._where} declares neither show nor detail, so no document is shown by its id")
        row = await self._shown.of(session, {**fixed, "id": erp_id}, absent=True)
        return None if row is None else self.document(row)

    async def _find_all(self, session: Session, fixed: Mapping[str, str], ids: Sequence[str]) -> list[ErpDocument]:
        """An answer that shows some may be cut at a number of rows that nobody knows. So what it does not show is asked for again, until
        an answer shows nothing at all, or shows all.
        """
        found: list[ErpDocument] = []
        left = [ids]
        while left:
            asked = left.pop()
            shown = await self._show(session, fixed, asked)
            found += (ours := [one for one in shown if one.external_id in asked])
            there = {one.external_id for one in ours}
            missing = [one for one in asked if one not in there]
            if shown and missing and len(asked) > 1:
                left += [missing] if there else [[one] for one in missing]
        return found

    async def _show(self, session: Session, fixed: Mapping[str, str], ids: Sequence[str]) -> list[ErpDocument]:
        shown: list[ErpDocument] = []
        sent: Sent | None = self._find.first({**fixed, "external_ids": self._filter(ids)}, self._content(ids))
        while sent is not None:
            rows, sent = await self._find.page(session, sent)
            page = await self._whole(session, fixed, rows)
            self._check_filter(page, ids)
            shown += page
        return shown

    async def read(
        self, session: Session, fixed: Mapping[str, str], since: datetime | None
    ) -> AsyncIterator[list[ErpDocument]]:
        """Pages of what changed at or after ``since``.

        A list that counts rows skips some when a row moves to its end meanwhile. So it is asked anew from the last instant seen on, and
        counts only inside one instant.
        """
        start = since or _EPOCH
        seen: set[tuple[str, str]] = set()
        last: datetime | None = None
        sent: Sent | None = self._read.first({**fixed, "since": self._text(start)})
        while sent is not None:
            rows, sent = await self._read.page(session, sent)
            last = self._last_instant(rows, last if self._read.paging != "offset" else None)
            page = await self._whole(session, fixed, [row for row in rows if self._key(row) not in seen])
            page = sorted(
                (one for one in page if since is None or one.stamp >= since), key=lambda one: (one.stamp, one.erp_id)
            )
            if page:
                yield page
            if sent is None or self._read.paging != "offset":
                continue
            if last is None:
                raise SourceError(
                    f"{self._where}.read: rows of a list that is paged by offset show {self._where}.shown.stamp"
                )
            same = self._text(last) == self._text(start)
            seen = {self._key(row) for row in rows} | (seen if same else set())
            if not same:
                start = last
                sent = self._read.first({**fixed, "since": self._text(start)})

    def _last_instant(self, rows: Sequence[Any], last: datetime | None) -> datetime | None:
        """The stamp of the last row, where rows show stamps. Raises unless they come oldest first."""
        for row in rows:
            value = self._stamp(row)
            if value is MISSING or value is None:
                return None
            try:
                stamp = self._instant(value)
            except (TypeError, ValueError) as error:
                raise SourceError(f"the ERP shows the stamp {value!r}; correct formats.stamp: {error}") from error
            if last is not None and stamp < last:
                raise SourceError(
                    f"the ERP's rows are not oldest first ({stamp} follows {last}): sort by the time of change in {self._where}.read.query"
                )
            last = stamp
        return last

    async def _whole(self, session: Session, fixed: Mapping[str, str], rows: Sequence[Any]) -> list[ErpDocument]:
        """The rows' documents, each shown by a call of its own where lists do not show them whole."""
        if self._detail is None:
            return [self.document(row) for row in rows]
        ids = [as_text(self._id(row)) for row in rows]
        if not all(ids):
            raise SourceError(f"a list shows a row without {self._where}.shown.id, so that it cannot be shown whole")
        slots, detail = asyncio.Semaphore(_DETAILS_AT_ONCE), self._detail

        async def show(erp_id: str) -> ErpDocument:
            async with slots:
                return self.document(await detail.of(session, {**fixed, "id": erp_id}))

        return await asyncio.gather(*(show(erp_id) for erp_id in ids if erp_id))

    def _filter(self, ids: Sequence[str]) -> str:
        if self._asked.body is not None:
            return ""
        return self._asked.join.join(self._each({"external_id": self._escape(one)}) for one in ids)

    def _content(self, ids: Sequence[str]) -> bytes | None:
        if self._asked.body is None:
            return None
        named = {"from": "external_ids"}
        return orjson.dumps({key: list(ids) if value == named else value for key, value in self._asked.body.items()})

    def _check_filter(self, page: Sequence[ErpDocument], ids: Sequence[str]) -> None:
        """An ERP that does not know a filter may show everything: then one page would say nothing about the rest.

        One that searches without regard to case or accents shows what we leave out.
        """
        alike = {_folded(one) for one in ids}
        others = [one.external_id for one in page if _folded(one.external_id) not in alike]
        if others:
            raise SourceError(
                f"a look-up of {len(ids)} external ids shows {others[0]!r}, which was not asked for: the ERP does not understand the filter "
                f"in {self._where}.find"
            )

    def _key(self, row: Any) -> tuple[str, str]:
        return as_text(self._id(row)) or "", as_text(self._stamp(row)) or ""


def _folded(external_id: str) -> str:
    """As a database that disregards case, accents and spaces at the end compares it."""
    parts = unicodedata.normalize("NFKD", external_id.casefold())
    return "".join(one for one in parts if not unicodedata.combining(one)).strip()


class _Detail:
    """The call that shows one document whole."""

    def __init__(self, api: Detail, where: str) -> None:
        known = ("company", "id")
        self._path = compile_texts({"path": api.path}, known, where, is_path=True)["path"]
        self._query = compile_texts(api.query, known, f"{where}.query")
        self._at = pointer(api.at)

    async def of(self, session: Session, values: Mapping[str, str], *, absent: bool = False) -> Any:
        """The document, as the ERP shows it.

        Args:
            absent: None for one that the ERP, in its own words, does not have; else that is an error like any other.
        """
        params = {name: fill(values) for name, fill in self._query.items()}
        body = await session.ask(Sent("GET", self._path(values), params), absent=absent)
        return None if body is None else self._at(body)
