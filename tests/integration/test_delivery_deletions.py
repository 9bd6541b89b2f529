"""A duplicate that somebody deleted in the ERP, which no list of changes shows: it is asked for, and lands as a deletion."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pyarrow.parquet as pq
import pytest

from meshline_dagster.core.documents import REVERSE, DocumentKind
from meshline_dagster.core.duplicates import Doubled, Standing
from meshline_dagster.core.errors import TransientError
from meshline_dagster.crm.poll import poll, re_extract
from meshline_dagster.delivery.deletions import DeletedFeed, deleted_documents
from meshline_dagster.delivery.readback import ErpFeed
from meshline_dagster.landing.zone import LandingZone
from meshline_dagster.store.manifest import live_files
from meshline_dagster.testing.memory_erp import MemoryErp, MemoryWriter
from tests.integration.test_delivery_engine import document_of, order

ORDER = DocumentKind.SALES_ORDER
SETTLE_AFTER = 60.0
ORIGIN = datetime(2017, 1, 1, tzinfo=UTC)


@pytest.fixture
def erp():
    """Two documents under one external id, entered two hours ago."""
    made = MemoryErp(unique=False)
    stamp = datetime.now(UTC) - timedelta(hours=2)
    documents = [replace(made.build(document_of(order(1)), erp_id), stamp=stamp) for erp_id in ("o1", "o2")]
    made.documents[ORDER] = documents
    return made


def read_back(erp):
    """What the warehouse has of them."""
    documents = [
        Standing(one.erp_id, one.number, one.amount, one.currency, one.stamp) for one in erp.documents.get(ORDER, [])
    ]
    return [Doubled(ORDER, order(1).external_id, order(1).entity_key, tuple(documents))]


class Lagging(MemoryWriter):
    """One whose look-ups show nothing, by id or by external id."""

    async def show(self, kind, erp_ids):
        return {}

    async def find(self, kind, external_ids):
        return {}


class Silent(MemoryWriter):
    """One whose list of changes breaks off."""

    async def read(self, kind, since):
        raise TransientError("no answer")
        yield


def without_reversals(erp, writer=MemoryWriter):
    made = writer(erp, settle_after=SETTLE_AFTER)
    pairs = frozenset(pair for pair in made.capabilities.operations if pair[1] != REVERSE)
    made._capabilities = replace(made.capabilities, operations=pairs)
    return made


def gone(writer, doubled, now=None):
    return [one.was.erp_id for one in asyncio.run(deleted_documents(writer, doubled, now=now or datetime.now(UTC)))]


def delete(erp, erp_id):
    erp.documents[ORDER] = [one for one in erp.documents[ORDER] if one.erp_id != erp_id]


@pytest.mark.parametrize("by_id", [True, False], ids=["by id", "by external id"])
@pytest.mark.parametrize("erp_id", ["o1", "o2"])
def test_what_was_deleted_is_found(erp, by_id, erp_id):
    doubled = read_back(erp)
    writer = MemoryWriter(erp, settle_after=SETTLE_AFTER) if by_id else without_reversals(erp)
    assert gone(writer, doubled) == []
    delete(erp, erp_id)
    assert gone(writer, doubled) == [erp_id]


def test_what_may_only_lag_is_not_deleted(erp):
    doubled = read_back(erp)
    assert gone(Lagging(erp, settle_after=SETTLE_AFTER), doubled) == []
    assert gone(without_reversals(erp, Lagging), doubled) == []


def test_what_the_erp_may_still_be_at_work_on_is_not_deleted(erp):
    doubled = read_back(erp)
    delete(erp, "o2")
    writer, stamp = MemoryWriter(erp, settle_after=SETTLE_AFTER), doubled[0].documents[0].stamp
    assert gone(writer, doubled, stamp + timedelta(seconds=59)) == []
    assert gone(writer, doubled, stamp + timedelta(seconds=60)) == ["o2"]


def test_nothing_is_concluded_from_a_list_that_breaks_off(erp):
    doubled = read_back(erp)
    delete(erp, "o2")
    with pytest.raises(TransientError):
        gone(Silent(erp, settle_after=SETTLE_AFTER), doubled)


def test_a_document_without_our_external_id_any_more_is_no_deletion(erp):
    doubled = read_back(erp)
    erp.documents[ORDER][1] = replace(erp.documents[ORDER][1], external_id="", stamp=datetime.now(UTC))
    assert gone(without_reversals(erp), doubled) == []


def test_a_deletion_lands_after_the_document_and_the_next_poll_adds_nothing(erp, ops, tmp_path):
    zone, writer = LandingZone(str(tmp_path / "landing"), ops), MemoryWriter(erp, settle_after=SETTLE_AFTER)
    feed, more = ErpFeed(writer, ORDER), {"run_id": "run-1", "origin": ORIGIN}
    windows = {"overlap": timedelta(hours=1), "lag": timedelta(0)}
    poll(ops, zone, feed, **more, **windows)
    doubled = read_back(erp)
    delete(erp, "o2")
    now = datetime.now(UTC)
    found = asyncio.run(deleted_documents(writer, doubled, now=now))
    deleted = DeletedFeed(feed, found, now=now)
    assert re_extract(ops, zone, deleted, deleted.window, **more).rows_landed == 1
    assert poll(ops, zone, feed, **more, **windows).rows_landed == 0
    rows = landed(zone, ops, feed.name)
    assert [(row["_id"], row["_deleted"]) for row in rows] == [("o1", False), ("o2", False), ("o2", True)]
    assert rows[-1]["_stamp"] == now
    assert rows[-1]["amount"] == Decimal(10)


def landed(zone, store, feed):
    with store.read() as connection:
        files = live_files(connection, feed)
    rows = [row for one in files for row in pq.read_table(zone.absolute(one.path)).to_pylist()]
    return sorted(rows, key=lambda row: (row["_id"], row["_stamp"]))
