"""The conformance suite for feeds: what every feed must hold, whatever its source.

Subclass :class:`FeedConformance` in a test module and override the fixture ``control`` with a :class:`FeedControl` of a real
source (a sandbox server, a folder) that is empty at first:

    class TestMyFeed(FeedConformance):
        @pytest.fixture
        def control(self):
            with my_server() as server:
                yield MyControl(server)

A test whose means the control does not list in ``can`` is skipped, and says so.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Protocol

import pyarrow as pa
import pytest

from meshline_dagster.core.cursors import Window
from meshline_dagster.crm.columns import META_COLUMNS, arrow_type
from meshline_dagster.crm.protocol import Feed, ReadsAgain

__all__ = ["DECIMALS", "FeedConformance", "FeedControl", "assert_ordered", "keys", "read_all"]

DECIMALS = (
    *(
        "0",
        "-0.5",
        "0.1",
        "0.07",
        "19.99",
        "1234567.89",
        "8.600000000000000477",
        "123456789012.345678",
        "99999999999999.99",
    ),
    *("-123456789.123456789", "1000000000000000000"),
)
"""Amounts that a float, or a careless rounding, would change."""

_SECOND = timedelta(seconds=1)
_PEEK_REQUESTS = 2
_NINE_PLACES = Decimal("0.000000001")


class FeedControl(Protocol):
    """An adopter's hold on the source behind a feed.

    Attributes:
        can: which of ``delete``, ``expire_credentials``, ``expire_pages`` and ``count_requests`` it has the means for.
        page_size: how many records the source gives at once; the suite makes a few pages of them.
        decimal_field: a field of the object that takes any decimal.
        date_field: a field of the object that takes a date.
    """

    can: frozenset[str]
    page_size: int
    decimal_field: str
    date_field: str

    def feed(self) -> Feed:
        """A new feed on the source."""
        ...

    def put(self, records: Sequence[Mapping[str, Any]]) -> list[str]:
        """Write records that all change in the source's present second; answers their ids.

        Decimals come as texts, dates as ISO texts; a record with ``id`` is a new version of that one.
        """
        ...

    def advance(self, seconds: int) -> None:
        """Let the source's time go on."""
        ...

    def delete(self, record_id: str) -> None:
        """Delete a record in the present second (``can`` has ``delete``)."""
        ...

    def expire_credentials(self) -> None:
        """Make the source refuse the credentials that it last gave (``can`` has ``expire_credentials``)."""
        ...

    def expire_pages(self) -> None:
        """From now on, let a read's continuation die after every page (``can`` has ``expire_pages``)."""
        ...

    def requests(self) -> int:
        """How many requests the source has had (``can`` has ``count_requests``)."""
        ...


def read_all(feed: Feed, start: datetime, end: datetime) -> pa.Table:
    """All rows of a window in one table; with the right columns when there are none."""
    tables = list(feed.read(Window(start, end)))
    return pa.concat_tables(tables) if tables else _empty(feed)


def keys(table: pa.Table) -> set[tuple[str, datetime]]:
    """The ``(id, stamp)`` pairs of a table."""
    return set(zip(table["_id"].to_pylist(), table["_stamp"].to_pylist(), strict=True))


def assert_ordered(tables: Sequence[pa.Table]) -> None:
    """Each table is in ``(stamp, id)`` order."""
    for table in tables:
        pairs = list(zip(table["_stamp"].to_pylist(), table["_id"].to_pylist(), strict=True))
        assert pairs == sorted(pairs)


def _empty(feed: Feed) -> pa.Table:
    return pa.schema(_expected_columns(feed)).empty_table()


def _expected_columns(feed: Feed) -> list[tuple[str, pa.DataType]]:
    return [*META_COLUMNS, *((spec.name, arrow_type(spec.type)) for spec in feed.describe().fields)]


def _need(control: FeedControl, means: str) -> None:
    if means not in control.can:
        pytest.skip(f"this source has no {means.replace('_', ' ')}")


class FeedConformance:
    """Subclass it, and give it a ``control``."""

    @pytest.fixture
    def control(self) -> FeedControl:
        """The adopter's hold on an empty source."""
        pytest.fail("override the fixture `control` with a hold on your source")

    def test_it_keeps_the_protocol(self, control: FeedControl) -> None:
        """Names, a UTC present, columns as described; ages at which stamps are read again, shortest first."""
        feed = control.feed()
        assert isinstance(feed, Feed)
        instance, _, name = feed.name.partition("/")
        assert instance
        assert name
        assert feed.name == feed.name.lower()
        assert feed.now().utcoffset() == timedelta(0)
        ages = [timedelta(0), *(feed.again_after if isinstance(feed, ReadsAgain) else ())]
        assert ages == sorted(set(ages))
        control.put([{}])
        before = feed.now()
        control.advance(2)
        [table] = feed.read(Window(before - 60 * _SECOND, feed.now()))
        assert [(field.name, field.type) for field in table.schema] == _expected_columns(feed)

    def test_its_present_goes_on_with_the_source(self, control: FeedControl) -> None:
        """Windows are cut by the source's clock."""
        feed = control.feed()
        before = feed.now()
        control.advance(60)
        assert timedelta(seconds=55) <= feed.now() - before <= timedelta(seconds=65)

    def test_describe_is_stable_and_sorted(self, control: FeedControl) -> None:
        """The same source says the same, in the same order."""
        first, second = control.feed().describe(), control.feed().describe()
        assert first == second
        assert first.hash == second.hash
        names = [spec.name for spec in first.fields]
        assert names == sorted(set(names))

    def test_every_row_of_a_tie_over_pages_comes_out(self, control: FeedControl) -> None:
        """More rows share one second than a page holds."""
        start = control.feed().now()
        ids = control.put([{}] * (control.page_size * 2 + 3))
        control.advance(2)
        feed = control.feed()
        tables = list(feed.read(Window(start - _SECOND, feed.now())))
        read = [one for table in tables for one in table["_id"].to_pylist()]
        assert sorted(read) == sorted(ids)
        assert_ordered(tables)

    def test_adjacent_windows_lose_nothing_and_share_nothing(self, control: FeedControl) -> None:
        """A window has its start and not its end, to the second of a stamp."""
        feed = control.feed()
        start = feed.now()
        for _ in range(4):
            control.put([{}] * 3)
            control.advance(5)
        end = feed.now()
        everything = keys(read_all(feed, start - _SECOND, end))
        assert len(everything) == 4 * 3
        for cut in sorted({stamp for _, stamp in everything}):
            left, right = keys(read_all(feed, start - _SECOND, cut)), keys(read_all(feed, cut, end))
            assert left | right == everything
            assert not left & right
            assert all(stamp < cut for _, stamp in left)
            assert any(stamp == cut for _, stamp in right)

    def test_reading_twice_gives_the_same_rows(self, control: FeedControl) -> None:
        """A read changes nothing, and payloads are the same to the byte."""
        feed = control.feed()
        start = feed.now()
        control.put([{}] * (control.page_size + 1))
        control.advance(2)
        end = feed.now()
        assert read_all(feed, start - _SECOND, end).equals(read_all(control.feed(), start - _SECOND, end))

    def test_an_empty_window_has_no_rows(self, control: FeedControl) -> None:
        """No rows is no error."""
        feed = control.feed()
        control.put([{}])
        control.advance(10)
        now = feed.now()
        assert len(read_all(feed, now, now)) == 0
        assert len(read_all(feed, now - 2 * _SECOND, now)) == 0

    def test_decimals_are_exact(self, control: FeedControl) -> None:
        """To nine places, whatever the source's notation."""
        feed = control.feed()
        start = feed.now()
        ids = control.put([{control.decimal_field: text} for text in DECIMALS])
        control.advance(2)
        table = read_all(feed, start - _SECOND, feed.now())
        read = dict(zip(table["_id"].to_pylist(), table[control.decimal_field].to_pylist(), strict=True))
        expected = {one: Decimal(text).quantize(_NINE_PLACES) for one, text in zip(ids, DECIMALS, strict=True)}
        assert read == expected

    def test_dates_are_not_shifted_by_a_time_zone(self, control: FeedControl) -> None:
        """The last day of a year stays in it."""
        feed = control.feed()
        start = feed.now()
        control.put([{control.date_field: "2026-12-31"}])
        control.advance(2)
        [day] = read_all(feed, start - _SECOND, feed.now())[control.date_field].to_pylist()
        assert day.isoformat() == "2026-12-31"

    def test_a_later_version_is_a_row_of_its_own_stamp(self, control: FeedControl) -> None:
        """A change is found by a window that begins after the first version."""
        feed = control.feed()
        [one] = control.put([{control.decimal_field: "1"}])
        control.advance(10)
        middle = feed.now()
        control.put([{"id": one, control.decimal_field: "2"}])
        control.advance(2)
        table = read_all(feed, middle, feed.now())
        assert table["_id"].to_pylist() == [one]
        assert table[control.decimal_field].to_pylist() == [Decimal(2)]

    def test_a_delete_appears(self, control: FeedControl) -> None:
        """As a row of its own, with ``_deleted``."""
        _need(control, "delete")
        feed = control.feed()
        one, other = control.put([{}, {}])
        control.advance(10)
        middle = feed.now()
        control.delete(one)
        control.advance(2)
        table = read_all(feed, middle, feed.now())
        assert dict(zip(table["_id"].to_pylist(), table["_deleted"].to_pylist(), strict=True)) == {one: True}
        assert other not in table["_id"].to_pylist()

    def test_peek_tells_the_truth(self, control: FeedControl) -> None:
        """At or after: a row on the watermark itself counts, since a window has not had its end."""
        feed = control.feed()
        before = feed.now()
        assert not feed.peek(before).changed
        control.put([{}])
        control.advance(10)
        [stamp] = read_all(feed, before - _SECOND, feed.now())["_stamp"].to_pylist()
        first = feed.peek(stamp)
        assert first.changed
        assert feed.peek(None).changed
        assert not feed.peek(stamp + _SECOND).changed
        assert feed.peek(stamp).hint == first.hint
        control.put([{}])
        control.advance(2)
        assert feed.peek(stamp).hint != first.hint

    def test_peek_is_cheap(self, control: FeedControl) -> None:
        """Two requests at most, once the feed has credentials."""
        _need(control, "count_requests")
        feed = control.feed()
        control.put([{}] * (control.page_size * 2))
        feed.peek(None)
        before = control.requests()
        feed.peek(None)
        assert control.requests() - before <= _PEEK_REQUESTS

    def test_a_read_survives_pages_that_expire(self, control: FeedControl) -> None:
        """Nothing is lost when a continuation dies after every page, inside a tie too; rows may repeat."""
        _need(control, "expire_pages")
        feed = control.feed()
        start = feed.now()
        ids = control.put([{}] * 3)
        control.advance(3)
        ids += control.put([{}] * (control.page_size * 3 + 1))
        control.advance(3)
        ids += control.put([{}] * 2)
        control.advance(2)
        control.expire_pages()
        table = read_all(feed, start - _SECOND, feed.now())
        assert set(table["_id"].to_pylist()) == set(ids)

    def test_expired_credentials_are_renewed(self, control: FeedControl) -> None:
        """Once, without losing the read."""
        _need(control, "expire_credentials")
        feed = control.feed()
        start = feed.now()
        ids = control.put([{}] * 2)
        control.advance(2)
        assert len(read_all(feed, start - _SECOND, feed.now())) == len(ids)
        control.expire_credentials()
        assert set(read_all(feed, start - _SECOND, feed.now())["_id"].to_pylist()) == set(ids)
