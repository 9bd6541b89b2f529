"""The deletes of one Salesforce object as a feed of their own.

It finds what ``queryAll`` no longer shows because it has left the bin. Salesforce keeps the list for 15 days, may purge it
earlier, ignores the seconds of what is asked for, and says how far its answer reaches: an answer that does not cover the
window is an error, never an empty result.

Source: REST API Developer Guide, "sObject Get Deleted".
"""

import json
from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from meshline_dagster.core.cursors import Window
from meshline_dagster.core.errors import SourceError, TransientError
from meshline_dagster.crm.columns import table_schema
from meshline_dagster.crm.protocol import FeedProblem, FeedSchema, FieldSpec, FieldType, Peek
from meshline_dagster.crm.salesforce_answers import EXCEEDED_ID_LIMIT, INVALID_REPLICATION_DATE, error_code
from meshline_dagster.crm.salesforce_objects import snake_case
from meshline_dagster.crm.salesforce_session import SalesforceSession

__all__ = ["SalesforceDeletesFeed"]

_MINUTE = timedelta(minutes=1)
_KEPT = timedelta(days=15)
_FIELDS = (
    FieldSpec("DeletedDate", FieldType.TIMESTAMP, "datetime", nullable=False),
    FieldSpec("Id", FieldType.STRING, "id", nullable=False, length=18),
)


class SalesforceDeletesFeed:
    """One object's deletes; a :class:`~meshline_dagster.crm.protocol.Feed` whose rows all have ``_deleted``.

    Args:
        session: the org.
        object_name: API name, e.g. ``Opportunity``.
        instance: names the org in the feed's name.
        accept_gaps: read what is still listed when the window begins before it, and note the rest in :attr:`gaps`, instead of
            failing. Right for the first poll of a new feed: what was deleted before it was never landed.
    """

    def __init__(
        self,
        session: SalesforceSession,
        object_name: str,
        *,
        instance: str = "salesforce",
        accept_gaps: bool = False,
    ) -> None:
        self._session = session
        self._object = object_name
        self._accept_gaps = accept_gaps
        self.gaps: tuple[Window, ...] = ()
        """The parts of the last window read that the source no longer covers."""
        self.name = f"{instance}/{snake_case(object_name)}_deletes"

    def problems(self) -> list[FeedProblem]:
        """The time for which the last read could not learn what was deleted."""
        return [
            FeedProblem(
                key=f"gap:{gap.start.isoformat()}",
                detail=f"deletes of {gap.start.isoformat()} to {gap.end.isoformat()} are no longer listed by the source",
                fix="Compare all ids with what is landed, cancel by hand what the source no longer has, then "
                "`meshline exceptions resolve KEY --reason TEXT`.",
                of_history=True,
            )
            for gap in self.gaps
        ]

    def settled(self, _names: Collection[str]) -> set[str]:
        """None ever: what the source no longer lists it will not list again."""
        return set()

    def now(self) -> datetime:
        """How far the source's list of deletes reaches now: behind the present, and what a window may end at."""
        present = _up(self._session.now())
        return self._ask(present - 2 * _MINUTE, present).covered

    def describe(self) -> FeedSchema:
        """Id and time of the delete; the list has no more."""
        return FeedSchema(f"{self._object}Deletes", _FIELDS)

    def peek(self, since: datetime | None) -> Peek:
        """Tell whether anything was deleted at or after ``since``, as far back as the list goes."""
        present = self._session.now()
        oldest = _up(present - _KEPT) + _MINUTE
        start = max(since, oldest) if since else oldest
        if start >= present:
            return Peek(changed=False, hint="/0")
        rows = [row for row in self._ask(_down(start), _up(present)).rows if row[0] >= start]
        newest = max((stamp for stamp, _ in rows), default=None)
        return Peek(changed=bool(rows), hint=f"{newest.isoformat() if newest else ''}/{len(rows)}")

    def read(self, window: Window) -> Iterator[pa.Table]:
        """Deletes of the window.

        Raises:
            SourceError: the list no longer goes back to the window's start.
            TransientError: the list does not reach the window's end yet; what it has is yielded first.
        """
        self.gaps = ()
        if window.is_empty:
            return
        start = self._first_covered(window) if self._accept_gaps else window.start
        if start >= window.end:
            return
        answers = list(self._answers(_down(start), _up(window.end)))
        earliest = max(answer.earliest for _, answer in answers)
        if earliest > start:
            self._gap(Window(window.start, min(earliest, window.end)))
        rows = sorted({row for _, answer in answers for row in answer.rows if start <= row[0] < window.end})
        if rows:
            yield _table(rows)
        covered = next((answer.covered for end, answer in answers if answer.covered < end), window.end)
        if covered < window.end:
            raise TransientError(
                f"{self.name}: deletes are listed up to {covered.isoformat()} only, the window ends at "
                f"{window.end.isoformat()}; read it again later"
            )

    def _first_covered(self, window: Window) -> datetime:
        oldest = _up(self._session.now() - _KEPT) + _MINUTE
        if window.start < oldest:
            self._gap(Window(window.start, min(oldest, window.end)))
        return max(window.start, oldest)

    def _gap(self, gap: Window) -> None:
        if not self._accept_gaps:
            raise SourceError(
                f"{self.name}: the source no longer lists deletes of {gap.start.isoformat()} to {gap.end.isoformat()}. Compare "
                "all ids with what is landed, then let the feed accept the gap and go on from there"
            )
        self.gaps = (gap,)

    def _answers(self, start: datetime, end: datetime) -> Iterator[tuple[datetime, "_Answer"]]:
        """One answer with the end that was asked for, or several of shorter windows where one would be too long."""
        try:
            yield end, self._ask(start, end)
        except SourceError as error:
            if error_code(error) == INVALID_REPLICATION_DATE:
                raise SourceError(
                    f"{self.name}: the source no longer lists deletes from {start.isoformat()} on ({error}). Compare all ids "
                    "with what is landed, then let the feed accept the gap and go on from there",
                    **error.context,
                ) from error
            if error_code(error) != EXCEEDED_ID_LIMIT or end - start < 2 * _MINUTE:
                raise
            middle = _down(start + (end - start) / 2)
            yield from self._answers(start, middle)
            yield from self._answers(middle, end)

    def _ask(self, start: datetime, end: datetime) -> "_Answer":
        params = {"start": start.isoformat(), "end": end.isoformat()}
        text = self._session.get(f"sobjects/{self._object}/deleted/", params).text
        try:
            return _Answer(json.loads(text))
        except (ValueError, KeyError, TypeError) as error:
            raise SourceError(f"{self.name}: a list of deletes was answered by {text[:200]!r}") from error


class _Answer:
    """``rows`` as ``(stamp, id)``; ``earliest`` and ``covered`` bound what the answer can know."""

    def __init__(self, body: Any) -> None:
        self.rows = [(datetime.fromisoformat(row["deletedDate"]), str(row["id"])) for row in body["deletedRecords"]]
        self.earliest = datetime.fromisoformat(body["earliestDateAvailable"])
        self.covered = datetime.fromisoformat(body["latestDateCovered"]).astimezone(UTC)


def _table(rows: list[tuple[datetime, str]]) -> pa.Table:
    values = [
        {
            "_id": one,
            "_stamp": stamp,
            "_deleted": True,
            "_payload": json.dumps({"DeletedDate": stamp.isoformat(), "Id": one}, separators=(",", ":")),
            "DeletedDate": stamp,
            "Id": one,
        }
        for stamp, one in rows
    ]
    return pa.Table.from_pylist(values, schema=table_schema(_FIELDS))


def _down(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(second=0, microsecond=0)


def _up(moment: datetime) -> datetime:
    floor = _down(moment)
    return floor if floor == moment else floor + _MINUTE
