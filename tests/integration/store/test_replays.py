"""Who asked for the replays that a build covers, and what they were limited to."""

from datetime import UTC, date, datetime

from meshline_dagster.store.builds import (
    Replay,
    finish_build,
    mark_planned,
    next_build,
    replay_of,
    request_replay,
    start_build,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MAY, JUNE = date(2026, 5, 1), date(2026, 6, 1)


def built(ops, *, planned=True):
    with ops.write() as connection:
        build = start_build(connection, run_id="r", as_of=NOW)
        finish_build(connection, build.id, succeeded=True, now=NOW)
        if planned:
            mark_planned(connection, build.id, now=NOW)
    return build.id


def ask(ops, run_id, first, last, **words):
    with ops.write() as connection:
        for _ in range(2):  # each raw asset of the run asks
            request_replay(connection, first, last, run_id=run_id, now=NOW, **words)


def covered(ops, build_id):
    with ops.read() as connection:
        return replay_of(connection, build_id)


def test_a_build_tells_who_asked_and_for_which_orders_until_the_ledger_has_taken_it_over(ops):
    built(ops)
    ask(ops, "run-1", MAY, MAY, requested_by="cli:ann", entities=["a", "b"])
    first = built(ops, planned=False)
    assert covered(ops, first) == Replay(MAY, MAY, ("cli:ann",), frozenset({"a", "b"}))
    ask(ops, "run-2", JUNE, JUNE, requested_by="cli:ben", entities=["c"])
    both = built(ops, planned=False)
    assert covered(ops, both) == Replay(MAY, JUNE, ("cli:ann", "cli:ben"), frozenset({"a", "b", "c"}))
    ask(ops, "run-3", JUNE, JUNE)
    every = built(ops, planned=False)
    assert covered(ops, every) == Replay(MAY, JUNE, ("cli:ann", "cli:ben", "run:run-3"), None)
    with ops.write() as connection:
        mark_planned(connection, every, now=NOW)
    assert covered(ops, every) is None
    assert covered(ops, built(ops, planned=False)) is None


def test_the_first_build_is_no_replay_though_one_was_asked_for(ops):
    ask(ops, "run-1", MAY, MAY)
    assert covered(ops, built(ops, planned=False)) is None


def test_what_a_replay_would_cover_is_told_without_asking_for_it(ops):
    built(ops)
    with ops.read() as connection:
        row = next_build(connection, number=0, as_of=NOW, days=(MAY, JUNE))
        assert (row.mode, row.replay_from, row.replay_to) == ("replay", MAY, JUNE)
        assert next_build(connection, number=0, as_of=NOW).mode == "incremental"
