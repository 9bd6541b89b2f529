"""The grouped commit, seen by those who wait for it."""

import asyncio
from datetime import UTC, datetime

import pytest

from meshline_dagster.delivery.committer import GroupCommitter
from meshline_dagster.delivery.ledger_group import Work

WAITING = 40


@pytest.mark.parametrize("by_a_process", [False, True])
def test_a_large_group_wakes_its_waiters_a_few_at_a_time(ops, by_a_process):
    """Answers that have come meanwhile are read in between: the event loop turns between the first who goes on and the last."""
    turns, woken = 0, []

    async def turn():
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async def inside():
        async with GroupCommitter(ops, held=dict, tell=None, actor="t", clock=lambda: datetime.now(UTC)) as committer:
            if by_a_process:
                committer.hire()
                await committer._hired
                before = committer.commits

            async def wait():
                await committer.commit(Work())
                woken.append(turns)

            turning = asyncio.create_task(turn())
            await asyncio.gather(*(wait() for _ in range(WAITING)))
            turning.cancel()
            return committer.commits - (before if by_a_process else 0)

    assert asyncio.run(inside()) == 1
    assert len(woken) == WAITING
    assert max(woken.count(at) for at in woken) <= 8
