"""A process that writes groups for a delivery, so that the ledger takes no time from the requests.

Python runs one thread at a time, and a large pass is bound by it: statements, hashes and audit entries are half of its work. They
leave for a child that shares nothing with us but a pipe. It ends with us, whatever ends us: its pipe closes then, and a group that it
has begun is either written whole or not at all, under leases that it checks itself.
"""

import asyncio
import gc
import os
import pickle
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, BinaryIO, Self

from meshline_dagster.core.errors import MeshlineError, StoreUnavailableError
from meshline_dagster.delivery.ledger_group import Work, write_works
from meshline_dagster.store.engine import Store
from meshline_dagster.store.leases import Lease
from meshline_dagster.store.ledger_writes import Attempt, AttemptEnd, Change

__all__ = ["LedgerProcess", "answer", "read_message", "write_message"]

_LENGTH = 8
_END_SECONDS = 10.0

Results = list[Exception | None]


class LedgerProcess:
    """The child, seen from the delivery. One group at a time; close it with :meth:`aclose`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process, self._requests, self._replies = process, process.stdin, process.stdout

    @classmethod
    async def start(cls, store: Store, actor: str) -> Self:
        """Start it and wait until its store is open.

        Raises:
            MeshlineError: it ended instead; its last words are on standard error.
        """
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", __name__),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,  # a terminal's interrupt is for us: the child ends when we do
        )
        one = cls(process)
        try:
            await one._ask((store.reopener(), actor))
        except BaseException:
            await one.aclose()
            raise
        return one

    async def write(self, works: Sequence[Work], held: Mapping[int, Lease], now: datetime) -> Results:
        """Write works in one transaction; if that fails, each in one of its own. Returns what went wrong with each.

        Raises:
            MeshlineError: the process has ended; whether these works are durable is not known.
        """
        results: Results = await self._ask(([_flat(work) for work in works], _flat_leases(held), now))
        return results

    async def aclose(self) -> None:
        """Let it end after what it has begun."""
        self._requests.close()
        try:
            await asyncio.wait_for(self._process.wait(), _END_SECONDS)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def _ask(self, message: Any) -> Any:
        data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        try:
            self._requests.write(len(data).to_bytes(_LENGTH) + data)
            await self._requests.drain()
            length = int.from_bytes(await self._replies.readexactly(_LENGTH))
            return pickle.loads(await self._replies.readexactly(length))  # noqa: S301 - from our own child
        except (EOFError, OSError) as error:
            text = "the process that writes the ledger has ended: see its last words on standard error, then run again"
            raise MeshlineError(text, pid=self._process.pid) from error


def main() -> None:
    """The child: answer until the pipe closes. What libraries print goes to standard error, not between the answers."""
    requests, replies = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    opener, actor = read_message(requests)
    store: Store = opener()
    try:
        gc.freeze()
        write_message(replies, None)
        while (request := read_message(requests)) is not None:
            write_message(replies, answer(store, actor, request))
    finally:
        store.close()


def answer(store: Store, actor: str, request: Any) -> Results:
    """What the child does about one message of :meth:`LedgerProcess.write`."""
    flat, flat_leases, now = request
    held = {shard: Lease(*fields) for shard, *fields in flat_leases}
    return _write_group(store, [_unflat(one) for one in flat], held=held, actor=actor, now=now)


def _flat(work: Work) -> tuple[Any, ...]:
    """Plain tuples, which are pickled three times as fast as named ones."""
    changes, opened, closed, *rest = work
    return [tuple(one) for one in changes], [tuple(one) for one in opened], [tuple(one) for one in closed], *rest


def _flat_leases(held: Mapping[int, Lease]) -> list[tuple[Any, ...]]:
    return [(shard, one.name, one.holder, one.token, one.expires_at) for shard, one in held.items()]


def _unflat(flat: tuple[Any, ...]) -> Work:
    changes, opened, closed, *rest = flat
    return Work(
        [Change(*one) for one in changes],
        [Attempt(*one) for one in opened],
        [AttemptEnd(*one) for one in closed],
        *rest,
    )


def _write_group(store: Store, works: Sequence[Work], **under: Any) -> Results:
    error = _write(store, works, **under)
    if error is None or len(works) == 1 or isinstance(error, StoreUnavailableError):
        return [error] * len(works)
    return [_write(store, [work], **under) for work in works]


def _write(store: Store, works: Sequence[Work], **under: Any) -> Exception | None:
    try:
        with store.write() as connection:
            write_works(connection, works, **under)
    except Exception as error:  # noqa: BLE001 - handed to whoever waits for it
        return _portable(error)
    return None


def _portable(error: Exception) -> Exception:
    """The error itself where it survives the way, else one with its words."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - just made here
    except Exception:  # noqa: BLE001 - whatever a driver's error does when it is copied
        return MeshlineError(f"{type(error).__name__}: {error}")
    return error


def read_message(pipe: BinaryIO) -> Any:
    """The next message; None when the other side has closed, or died in the middle of one."""
    length = pipe.read(_LENGTH)
    if len(length) < _LENGTH:
        return None
    data = pipe.read(int.from_bytes(length))
    return pickle.loads(data) if len(data) == int.from_bytes(length) else None  # noqa: S301 - from our own parent


def write_message(pipe: BinaryIO, message: Any) -> None:
    """Send a message at once."""
    data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    pipe.write(len(data).to_bytes(_LENGTH) + data)
    pipe.flush()


if __name__ == "__main__":
    main()
