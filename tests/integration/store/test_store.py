"""The ops store's parts, on SQLite and on PostgreSQL."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import inspect, select, text, update

from meshline_dagster.core.errors import ConfigError, LeaseLostError
from meshline_dagster.store import audit, builds, leases
from meshline_dagster.store.counters import current_value, next_values
from meshline_dagster.store.engine import open_store
from meshline_dagster.store.exceptions import (
    Finding,
    entities_in_exception,
    exception_amounts,
    exceptions,
    raise_exceptions,
    resolve,
    sync_origin,
)
from meshline_dagster.store.feeds import advance_watermark, feed_state_of, known_schemas, record_schema
from meshline_dagster.store.manifest import NewFile, add_files, has_new_files, live_files, new_files, replace_files
from meshline_dagster.store.mappings import active_mappings, add_mapping, changed_values, mapping_seq, revoke_mapping
from meshline_dagster.store.tables import audit_entry, metadata
from meshline_dagster.store.verdicts import failed_verdicts, record_verdict

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TTL = timedelta(minutes=1)


def finding(key, **values):
    base = {"origin": "disposition", "code": "product_unmapped", "title": "t", "detail": "d", "fix": "f"}
    return Finding(trace_key=key, **{**base, **values})


def file(path, *, feed="crm/deal", day=date(2026, 2, 1)):
    return NewFile(feed, day, path, 3, 100, NOW, NOW, "s", "run")


def test_migrations_make_exactly_the_tables_that_the_code_declares(ops):
    made = inspect(ops.engine)
    names = set(made.get_table_names()) - {"meshline_schema_version"}
    assert names == set(metadata.tables)
    for name, table in metadata.tables.items():
        columns = {column["name"]: column["nullable"] for column in made.get_columns(name)}
        assert columns == {column.name: bool(column.nullable) for column in table.columns}, name
        partial = (
            {f"ix_posting_{of}" for of in ("open", "dead", "reversal", "duplicate")} if name == "posting" else set()
        )
        assert {index["name"] for index in made.get_indexes(name) if not index.get("unique")} == {
            index.name for index in table.indexes if not index.unique
        } | partial, name


def test_several_processes_may_open_a_new_store_at_once(new_store_url):
    with ThreadPoolExecutor(4) as pool:
        stores = list(pool.map(lambda _: open_store(new_store_url), range(4)))
    for store in stores:
        with store.read() as connection:
            assert current_value(connection, "audit") == 0
        store.close()


def test_a_writer_that_reads_first_does_not_fail_when_another_commits_meanwhile(ops):
    def add(_):
        with ops.write() as connection:
            before = current_value(connection, "n")
            next_values(connection, "n")
            return before

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(40)))
    with ops.read() as connection:
        assert current_value(connection, "n") == 40


def test_counters_count_in_commit_order_without_gaps(ops):
    with ops.write() as connection:
        assert list(next_values(connection, "x", 3)) == [1, 2, 3]
    with pytest.raises(RuntimeError), ops.write() as connection:  # noqa: PT012 - the block is the transaction
        next_values(connection, "x")
        raise RuntimeError
    with ops.write() as connection:
        assert list(next_values(connection, "x")) == [4]


def test_a_lease_is_held_by_one_renewed_by_him_and_taken_over_when_it_ran_out(ops):
    with ops.write() as connection:
        first = leases.acquire(connection, "a", "one", now=NOW, ttl=TTL)
        assert leases.acquire(connection, "a", "two", now=NOW, ttl=TTL) is None
        first = leases.renew(connection, first, now=NOW + TTL / 2, ttl=TTL)
        assert leases.acquire(connection, "a", "two", now=NOW + TTL, ttl=TTL) is None
        second = leases.acquire(connection, "a", "two", now=NOW + 2 * TTL, ttl=TTL)
        assert second.token == first.token + 1
        leases.check(connection, [second])
    for stale in (leases.check, lambda connection, held: leases.renew(connection, held[0], now=NOW, ttl=TTL)):
        with pytest.raises(LeaseLostError), ops.write() as connection:
            stale(connection, [first])
    with ops.write() as connection:
        leases.release(connection, first, now=NOW)
        leases.check(connection, [second])


def test_of_many_takers_one_gets_the_lease(ops):
    def take(number):
        with ops.write() as connection:
            return leases.acquire(connection, "b", str(number), now=NOW, ttl=TTL)

    with ThreadPoolExecutor(6) as pool:
        taken = [lease for lease in pool.map(take, range(12)) if lease is not None]
    assert len(taken) == 1


def test_a_watermark_moves_by_compare_and_set_and_never_back(ops):
    with ops.write() as connection:
        before = feed_state_of(connection, "f")
        after = advance_watermark(connection, before, NOW, now=NOW)
        assert after.watermark == NOW
        later = advance_watermark(connection, after, NOW - TTL, now=NOW)
        assert later.watermark == NOW
    with pytest.raises(LeaseLostError), ops.write() as connection:
        advance_watermark(connection, after, NOW + TTL, now=NOW)
    with ops.read() as connection:
        assert feed_state_of(connection, "f") == later


def test_a_schema_is_remembered_and_a_change_tells_the_one_before(ops):
    with ops.write() as connection:
        assert record_schema(connection, "f", "h1", {"a": 1}, now=NOW) is None
        assert record_schema(connection, "f", "h1", {"a": 1}, now=NOW + TTL) is None
        assert record_schema(connection, "f", "h2", {"a": 2}, now=NOW + 2 * TTL) == {"a": 1}
        assert known_schemas(connection, "f") == [{"a": 2}, {"a": 1}]


def test_a_compacted_file_takes_the_place_of_others_and_is_not_new(ops):
    with ops.write() as connection:
        numbers = add_files(connection, [file("p1"), file("p2")], now=NOW)
        made = replace_files(connection, numbers, file("p3"), now=NOW)
        assert [one.path for one in live_files(connection, "crm/deal")] == ["p3"]
        assert [one.path for one in new_files(connection, "crm/deal", 0, made)] == ["p1", "p2"]
        assert has_new_files(connection, ["crm/deal"], 0)
        assert not has_new_files(connection, ["crm/deal"], numbers[-1])


def test_mappings_are_revoked_never_edited_and_tell_what_changed(ops):
    with ops.write() as connection:
        add_mapping(connection, "product", "GTXPro", "GTX Pro", actor="a", reason="r", now=NOW)
        first = mapping_seq(connection)
        add_mapping(connection, "product", "GTXPro", "GTX Plus", actor="a", reason="r", now=NOW)
        assert [one.target_value for one in active_mappings(connection)] == ["GTX Plus"]
        assert changed_values(connection, first, mapping_seq(connection)) == [("product", "GTXPro")]
        assert revoke_mapping(connection, "product", "GTXPro", actor="a", now=NOW)
        assert not revoke_mapping(connection, "product", "GTXPro", actor="a", now=NOW)
        assert active_mappings(connection) == []
    with pytest.raises(ConfigError), ops.write() as connection:
        add_mapping(connection, "colour", "x", "y", actor="a", reason="", now=NOW)


def test_exceptions_open_refresh_resolve_and_open_again(ops):
    with ops.write() as connection:
        key = finding("k", entity_key="e", amount=Decimal("10.50"), currency="USD")
        assert raise_exceptions(connection, [key, finding("other")], now=NOW) == 2
        assert raise_exceptions(connection, [key], now=NOW + TTL) == 0
        assert exception_amounts(connection) == {"USD": Decimal("10.50")}
        assert entities_in_exception(connection) == 1
        assert sync_origin(connection, "disposition", [finding("other")], now=NOW + TTL) == (0, 1)
        assert [item.trace_key for item in exceptions(connection)] == ["other"]
        assert raise_exceptions(connection, [key], now=NOW + 2 * TTL) == 1
        assert {item.status for item in exceptions(connection)} == {"open", "reopened"}
        assert resolve(connection, ["k", "other", "none"], resolution="done", now=NOW) == 2
        assert exceptions(connection) == []


def test_a_verdict_stands_until_the_next_one(ops):
    verdict = {"detail": "d", "build_id": None, "now": NOW}
    with ops.write() as connection:
        record_verdict(connection, "outbox", "contract", passed=False, **verdict)
        assert [one.subject for one in failed_verdicts(connection)] == ["outbox"]
        record_verdict(connection, "outbox", "contract", passed=True, **verdict)
        assert failed_verdicts(connection) == []


def test_builds_start_from_the_last_planned_one_and_cover_every_replay_asked_for_since(ops):
    first, last = date(2026, 2, 1), date(2026, 2, 3)
    with ops.write() as connection:
        one = builds.start_build(connection, run_id="r1", as_of=NOW)
        builds.finish_build(connection, one.id, succeeded=True, now=NOW)
        builds.mark_planned(connection, one.id, now=NOW)
        for _ in range(2):
            builds.request_replay(connection, first, first, run_id="r2", now=NOW)
        builds.request_replay(connection, last, last, run_id="r3", now=NOW)
        two = builds.start_build(connection, run_id="r2", as_of=NOW)
        builds.finish_build(connection, two.id, succeeded=True, now=NOW)
        three = builds.start_build(connection, run_id="r4", as_of=NOW)
        for build in (two, three):
            assert (build.mode, build.replay_from, build.replay_to, build.after) == ("replay", first, last, one.id)
        assert builds.replay_wanted(connection)
        builds.finish_build(connection, three.id, succeeded=True, now=NOW)
        builds.mark_planned(connection, three.id, now=NOW)
        assert not builds.replay_wanted(connection)
        four = builds.start_build(connection, run_id="r5", as_of=NOW)
        assert (four.mode, four.after) == ("incremental", three.id)


def test_the_audit_log_shows_a_change_and_a_gap(ops, without_guards):
    with ops.write() as connection:
        audit.append(connection, [audit.Entry("a", "did", f"s{n}", {"n": n}) for n in range(5)], at=NOW)
        assert audit.first_broken(connection) is None
        without_guards(connection, "audit_entry")
        kept = connection.execute(select(audit_entry.c.subject).where(audit_entry.c.seq == 3)).scalar_one()
        connection.execute(update(audit_entry).where(audit_entry.c.seq == 3).values(subject="forged"))
        assert audit.first_broken(connection) == 3
        connection.execute(update(audit_entry).where(audit_entry.c.seq == 3).values(subject=kept))
        assert audit.first_broken(connection) is None
        connection.execute(text("DELETE FROM audit_entry WHERE seq = 2"))
        assert audit.first_broken(connection) is not None


def test_an_sqlite_store_in_memory_and_an_unknown_database_are_refused():
    for url in ("sqlite://", "mysql://host/db"):
        with pytest.raises(ConfigError):
            open_store(url)
