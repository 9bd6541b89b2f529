"""The work of one pass, cut into requests: the pass knows the ids of what is due, and reads the rows a block at a time.

So what a pass keeps in memory does not grow with what is due, its first request does not wait until all of that is read, and a row is
read shortly before it is sent.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import NamedTuple

from meshline_dagster.core.documents import REVERSE, DocumentKind
from meshline_dagster.core.ledger import OPEN_STATES, PostingState
from meshline_dagster.delivery.masters import is_only_matched
from meshline_dagster.delivery.session import Session
from meshline_dagster.store.postings import Posting, last_posted, postings_of

__all__ = ["Unit", "Units", "Way"]

_BLOCK = 200  # rows that are read together
_READ_AT_ONCE = 100  # external ids in one question to the ERP
_PASS = timedelta(seconds=20)
_S = PostingState


class Way(Enum):
    """What is to be done with rows: sent, looked up, or, where a run that died left them as ``sending``, declared unknown first."""

    INHERIT = auto()
    LOOK_UP = auto()
    SEND = auto()


class Unit(NamedTuple):
    """One request's rows, of one kind, each of another entity.

    Attributes:
        before: the last posted row of each entity that has one.
    """

    way: Way
    rows: Sequence[Posting]
    before: Mapping[str, Posting]


class Units:
    """Hands out what is due, unit by unit, until a pass has taken its time: then the whole ledger is worth another look.

    Args:
        due: ids of the oldest open posting of each entity, in the order of their turn.

    Attributes:
        given: how many postings were handed out.
    """

    def __init__(self, session: Session, due: Sequence[int]) -> None:
        self._store, self._options, self._clock = session.store, session.options, session.clock
        self._batch_of = session.writer.capabilities.batch_of
        self._left = deque(due)
        self._ready: deque[Unit] = deque()
        self._until: datetime | None = None
        self.given = 0

    def take(self) -> Unit | None:
        """The next one; None when nothing is left, or the pass has taken its time."""
        if self._until is None:
            self._until = self._clock() + _PASS
        elif self._clock() >= self._until:
            return None
        while self._left and not self._ready:
            self._read([self._left.popleft() for _ in range(min(_BLOCK, len(self._left)))])
        if not self._ready:
            return None
        unit = self._ready.popleft()
        self.given += len(unit.rows)
        return unit

    def _read(self, ids: Sequence[int]) -> None:
        with self._store.read() as connection:
            found = {row.id: row for row in postings_of(connection, ids)}
            rows = [found[one] for one in ids if found[one].state in OPEN_STATES]  # some may have been closed since
            before = last_posted(connection, self._options.destination, [row.entity_key for row in rows])
        parts: dict[tuple[Way, DocumentKind, bool], list[Posting]] = {}
        for row in rows:
            parts.setdefault((_way(row), row.document_kind, row.operation == REVERSE), []).append(row)
        for (way, kind, _), of_one in parts.items():
            step = self._step(way, kind)
            self._ready += [Unit(way, of_one[at : at + step], before) for at in range(0, len(of_one), step)]

    def _step(self, way: Way, kind: DocumentKind) -> int:
        if way is Way.INHERIT:
            return _BLOCK
        return _READ_AT_ONCE if way is Way.LOOK_UP or is_only_matched(kind, self._options) else self._batch_of(kind)


def _way(row: Posting) -> Way:
    if row.state is _S.SENDING:
        return Way.INHERIT
    return Way.LOOK_UP if row.state is _S.UNKNOWN else Way.SEND
