"""The pace of one delivery: within the destination's rate limit, which all runs share, and after the wait that it asked for.

Tokens are taken from the ops store for half a second's requests at once, so that the limit costs two transactions a second. Those that
are not used within a second are forfeited: nobody saves them up for a burst.
"""

import asyncio
from datetime import datetime, timedelta

from sqlalchemy import Connection

from meshline_dagster.core.bucket import Taken
from meshline_dagster.delivery.session import Session
from meshline_dagster.store.rates import delay_all, not_before, take_tokens

__all__ = ["Pace"]

_CHUNK_SECONDS = 0.5
_KEEP = timedelta(seconds=1)
_LONGEST_DELAY = timedelta(minutes=15)


class Pace:
    """Lets requests start, one by one.

    Attributes:
        not_before: until when the destination asked everybody to wait; may be past.
    """

    def __init__(self, session: Session) -> None:
        options = session.options
        self._store, self._clock, self._destination = session.store, session.clock, options.destination
        self._rate = options.rate_per_second
        self._burst = options.burst or max(1, round(options.rate_per_second or 0))
        self._tokens, self._taken_at = 0, session.clock()
        self._filling = asyncio.Lock()
        self.not_before: datetime | None = None

    def read(self, connection: Connection) -> None:
        """See what other runs were asked."""
        self.not_before = not_before(connection, self._destination)

    def delay(self, connection: Connection, seconds: float) -> None:
        """The destination asked for a wait of so many seconds (15 minutes at most): for everybody, in the caller's transaction."""
        until = self._clock() + min(timedelta(seconds=seconds), _LONGEST_DELAY)
        delay_all(connection, self._destination, until)
        self.not_before = until if self.not_before is None else max(until, self.not_before)

    @property
    def is_delayed(self) -> bool:
        """Whether the destination asked for a wait that is not over."""
        return self.not_before is not None and self._clock() < self.not_before

    async def turn(self) -> None:
        """Wait until one request may start."""
        if self._rate is None:
            return
        async with self._filling:
            while not self._has_token():
                taken = await asyncio.to_thread(self._take, self._rate)
                self._tokens, self._taken_at = taken.tokens, self._clock()
                if not taken.tokens:
                    await asyncio.sleep(taken.wait)
            self._tokens -= 1

    def _has_token(self) -> bool:
        return self._tokens > 0 and self._clock() - self._taken_at < _KEEP

    def _take(self, rate: float) -> Taken:
        wanted = max(1, min(self._burst, int(rate * _CHUNK_SECONDS)))
        with self._store.write() as connection:
            return take_tokens(
                connection, self._destination, wanted=wanted, per_second=rate, burst=self._burst, now=self._clock()
            )
