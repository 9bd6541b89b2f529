"""An intent that is taken back leaves the posting as it was."""

import asyncio
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from meshline_dagster.core.ledger import PostingState as S
from meshline_dagster.core.partials import PartialPolicy
from meshline_dagster.delivery.recorder import Recorder
from meshline_dagster.store.ledger_writes import Attempt

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Written:
    """A committer that keeps what it is given."""

    async def commit(self, work):
        self.work = work


@pytest.mark.parametrize(("before", "after"), [(S.PARTIAL, S.PARTIAL), (S.PLANNED, S.RETRY_DUE)])
def test_half_a_document_whose_request_was_not_sent_is_still_half_a_document(before, after):
    row = SimpleNamespace(id=1, key="k", shard=0, state=before, attempts=2, cause="derived")
    options = SimpleNamespace(billing=None, partial=PartialPolicy.COMPLETE)
    written, leases = Written(), SimpleNamespace(token=lambda _: 7)
    recorder = Recorder(SimpleNamespace(report=None, options=options), written, leases)
    attempt = Attempt(1, "r-1", "post", "f", 7, NOW)
    asyncio.run(recorder.not_sent([row], [attempt], NOW, cause="paused", due_at=None))
    [change] = written.work.changes
    assert (change.before, change.after, change.attempts) == (S.SENDING, after, 2)


@pytest.mark.parametrize(("cause", "kept"), [("overwrite:0123456789abcdef", None), ("derived", "paused")])
def test_an_operators_word_on_what_may_be_overwritten_outlives_a_request_that_was_not_sent(cause, kept):
    row = SimpleNamespace(id=1, key="k", shard=0, state=S.RETRY_DUE, attempts=2, cause=cause)
    written, leases = Written(), SimpleNamespace(token=lambda _: 7)
    options = SimpleNamespace(billing=None, partial=PartialPolicy.COMPLETE)
    recorder = Recorder(SimpleNamespace(report=None, options=options), written, leases)
    asyncio.run(recorder.not_sent([row], [Attempt(1, "r-1", "post", "f", 7, NOW)], NOW, cause="paused", due_at=None))
    assert [change.cause for change in written.work.changes] == [kept]
