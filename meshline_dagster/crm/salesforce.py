"""The change feed of one Salesforce object, over REST and SOQL.

Locators are followed while they live. When one dies the read goes on from the last stamp it saw, that stamp included,
since the order of ids inside one second cannot be trusted; rows that come twice are dropped by the landing zone. A second
that holds more rows than a locator's life brings is read by id instead.
"""

import json
from collections.abc import Iterator, Sequence
from datetime import datetime

import pyarrow as pa

from meshline_dagster.core.cursors import Window
from meshline_dagster.core.errors import MeshlineError, SourceError, TransientError
from meshline_dagster.crm import salesforce_soql as soql
from meshline_dagster.crm.json_rows import JsonRows, RowKeys
from meshline_dagster.crm.prefetch import map_ahead, prefetch
from meshline_dagster.crm.protocol import FeedSchema, FieldType, Peek
from meshline_dagster.crm.salesforce_answers import INVALID_QUERY_LOCATOR, error_code
from meshline_dagster.crm.salesforce_describe import ABSENT, described_schema, read_schema
from meshline_dagster.crm.salesforce_objects import DEFAULT_FIELDS, TEXT_TYPES, snake_case
from meshline_dagster.crm.salesforce_pages import Page, parse_page
from meshline_dagster.crm.salesforce_session import ApiUsage, SalesforceSession

__all__ = ["SalesforceFeed"]

_KEYS = RowKeys(id="Id", stamp="SystemModstamp", deleted="IsDeleted")
_ROWS_PER_TABLE = 10_000
_PAGES_AHEAD = 8  # more than a table is made of, so that reading goes on while one is decoded


class SalesforceFeed:
    """One object's change stream; a :class:`~meshline_dagster.crm.protocol.Feed`.

    Args:
        session: the org.
        object_name: API name, e.g. ``OpportunityLineItem``.
        instance: names the org in the feed's name.
        fields: what to read instead of the default list; Id, SystemModstamp and IsDeleted are always read.
        rows_per_table: how many rows are decoded at once.
    """

    def __init__(
        self,
        session: SalesforceSession,
        object_name: str,
        *,
        instance: str = "salesforce",
        fields: Sequence[str] | None = None,
        rows_per_table: int = _ROWS_PER_TABLE,
    ) -> None:
        wanted = fields if fields is not None else DEFAULT_FIELDS.get(object_name, ())
        self._session = session
        self._object = object_name
        self._wanted = tuple(dict.fromkeys([*wanted, _KEYS.id, _KEYS.stamp, "IsDeleted"]))
        self._rows_per_table = rows_per_table
        self._described: FeedSchema | None = None
        self.name = f"{instance}/{snake_case(object_name)}"

    @property
    def usage(self) -> ApiUsage | None:
        """The org's daily limit as the last answer told it."""
        return self._session.usage

    @property
    def wanted_fields(self) -> tuple[str, ...]:
        """The fields that it asks for."""
        return self._wanted

    @property
    def unread_fields(self) -> tuple[str, ...]:
        """Fields that the last ``describe`` listed and this feed does not read: they are not landed."""
        described = self._described.fields if self._described else ()
        return tuple(spec.name for spec in described if spec.name not in self._wanted)

    def now(self) -> datetime:
        """The org's present, UTC."""
        return self._session.now()

    def describe(self) -> FeedSchema:
        """Ask which fields can be read now; later reads use this answer.

        Raises:
            SourceError: a field asked for is hidden or does not exist.
        """
        body = self._session.get(f"sobjects/{self._object}/describe").text
        try:
            self._described = described_schema(self._object, json.loads(body))
        except ValueError as error:
            raise SourceError(f"describe of {self._object} answered no JSON: {body[:200]!r}") from error
        return read_schema(self._described, self._wanted)

    def peek(self, since: datetime | None) -> Peek:
        """Count what lies at or after ``since`` and name the newest stamp, in one request."""
        body = self._query(soql.newest_query(self._object, since))
        try:
            [row] = json.loads(body)["records"]
            total, newest = int(row["total"]), row["newest"]
        except (ValueError, KeyError, TypeError) as error:
            raise SourceError(f"a count of {self._object} was answered by {body[:200]!r}") from error
        return Peek(changed=total > 0, hint=f"{newest or ''}/{total}")

    def read(self, window: Window) -> Iterator[pa.Table]:
        """All versions of the window, as tables of some thousand rows; what was read before an error is yielded first."""
        if window.is_empty:
            return
        schema = read_schema(self._described, self._wanted) if self._described else self.describe()
        fields = [spec.name for spec in schema.fields if spec.source_type != ABSENT]
        loose = [
            spec.name
            for spec in schema.fields
            if spec.type is FieldType.STRING and spec.source_type not in TEXT_TYPES and spec.source_type != ABSENT
        ]
        decoder = JsonRows(schema.fields, _KEYS, self.name, loose)
        yield from map_ahead(decoder.decode, self._groups(fields, window))

    def _groups(self, fields: Sequence[str], window: Window) -> Iterator[pa.ChunkedArray]:
        """The records of some pages at once; what was read before an error is yielded first."""
        waiting: list[pa.Array] = []
        try:
            for page in prefetch(self._pages(fields, window), ahead=_PAGES_AHEAD):
                if page.count:
                    waiting.append(page.records())
                if sum(map(len, waiting)) >= self._rows_per_table:
                    yield pa.chunked_array(waiting)
                    waiting = []
        except MeshlineError:
            if waiting:
                yield pa.chunked_array(waiting)
            raise
        if waiting:
            yield pa.chunked_array(waiting)

    def _pages(self, fields: Sequence[str], window: Window) -> Iterator[Page]:
        """Pages of the window; every restart begins at or before the first row that is still missing."""
        after_start = False
        while True:
            last: datetime | None = None
            try:
                for page in self._follow(soql.window_query(self._object, fields, window, after_start=after_start)):
                    yield page
                    last = page.last_stamp() or last
            except SourceError as error:
                if error_code(error) != INVALID_QUERY_LOCATOR or last is None:
                    raise
            else:
                return
            if last == window.start and not after_start:
                yield from self._tie(fields, last)
                after_start = True
            else:
                window, after_start = Window(last, window.end), False

    def _tie(self, fields: Sequence[str], stamp: datetime) -> Iterator[Page]:
        """All rows of one stamp, in id order, however often a locator dies."""
        after: str | None = None
        while True:
            before = after
            try:
                for page in self._follow(soql.tie_query(self._object, fields, stamp, after)):
                    ids = page.ids()
                    _check_id_order(self._object, ids, after)
                    yield page
                    after = ids[-1] if ids else after
            except SourceError as error:
                if error_code(error) != INVALID_QUERY_LOCATOR or after == before:
                    raise
            else:
                return

    def _follow(self, query: str) -> Iterator[Page]:
        """The pages of one query, along its locators; as many rows as the first page promised."""
        page = parse_page(self._query(query))
        total, seen = page.total, 0
        while True:
            seen += page.count
            yield page
            if page.next_path is None:
                break
            page = parse_page(self._session.get(page.next_path).content)
        if seen < total:
            raise TransientError(f"{self._object}: {total} rows were promised and {seen} came; read the window again")

    def _query(self, query: str) -> bytes:
        return self._session.get("queryAll", {"q": query}).content


def _check_id_order(object_name: str, ids: list[str], after: str | None) -> None:
    if ids != sorted(ids) or (ids and after is not None and ids[0] <= after):
        raise SourceError(f"{object_name}: rows asked for in Id order behind {after} came in another order")
