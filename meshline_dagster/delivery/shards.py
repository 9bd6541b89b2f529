"""The shard leases of one delivery: taken as they become free, renewed while it works, given back at the end."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

from meshline_dagster.core.errors import LeaseLostError
from meshline_dagster.store import leases
from meshline_dagster.store.engine import Store
from meshline_dagster.store.leases import Lease

__all__ = ["ShardLeases"]


class ShardLeases:
    """Leases on the shards of one destination.

    Args:
        ttl: how long a lease lasts without renewal. It must outlast a request, because no request starts under a lease
            that ends before the request's deadline.
    """

    def __init__(
        self, store: Store, destination: str, *, shards: int, holder: str, ttl: timedelta, clock: Callable[[], datetime]
    ) -> None:
        self._store = store
        self._destination = destination
        self._shards = shards
        self._holder = holder
        self._ttl = ttl
        self._clock = clock
        self.held: dict[int, Lease] = {}

    def take(self) -> list[int]:
        """Take every shard that is free now; returns all that we hold."""
        now = self._clock()
        with self._store.write() as connection:
            for shard in range(self._shards):
                if shard not in self.held:
                    name = f"deliver:{self._destination}:{shard}"
                    lease = leases.acquire(connection, name, self._holder, now=now, ttl=self._ttl)
                    if lease is not None:
                        self.held[shard] = lease
        return sorted(self.held)

    def covers(self, shard: int, seconds: float) -> bool:
        """Tell whether the shard's lease outlives a request that may take ``seconds``."""
        lease = self.held.get(shard)
        return lease is not None and lease.expires_at >= self._clock() + timedelta(seconds=seconds)

    async def keep(self) -> None:
        """Renew until cancelled.

        Raises:
            LeaseLostError: one was taken over: the delivery must stop.
        """
        while True:
            await asyncio.sleep(self._ttl.total_seconds() / 4)
            await asyncio.to_thread(self._renew)

    def release(self) -> None:
        """Give all leases back."""
        now = self._clock()
        with self._store.write() as connection:
            for lease in self.held.values():
                leases.release(connection, lease, now=now)
        self.held = {}

    def _renew(self) -> None:
        now = self._clock()
        with self._store.write() as connection:
            renewed = {
                shard: leases.renew(connection, lease, now=now, ttl=self._ttl)
                for shard, lease in list(self.held.items())
            }
        self.held.update(renewed)

    def token(self, shard: int) -> int:
        """The fencing token of a shard.

        Raises:
            LeaseLostError: the shard is not ours.
        """
        lease = self.held.get(shard)
        if lease is None:
            raise LeaseLostError(shard=shard)
        return lease.token
